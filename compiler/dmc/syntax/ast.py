"""The syntax tree of the whole dm language: what the parser makes and the checker reads.

Every node is frozen, carries the span of its source text, and compares by identity, so a table
keyed by nodes distinguishes two equal expressions in different places. Names are unresolved:
one `Bracket` serves shapes, axes, indexes, literals and generic arguments alike, exactly as one
grammar rule does. Parentheses leave no node; they widen the span of what they enclose.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from dataclasses import dataclass

from dmc.ir.location import Span


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """Anything with a place in the source text."""

    span: Span


# ---- names ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Identifier(Node):
    """A name where it is declared or selected (not used as a value: that is `Name`)."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class QualifiedName(Node):
    """`nn`, `nn.Linear`, `deep.lib.optim`."""

    parts: tuple[Identifier, ...]

    @property
    def text(self) -> str:
        return ".".join(part.text for part in self.parts)


# ---- operators --------------------------------------------------------------------------------


class BinaryOp(enum.Enum):
    """Arithmetic between two values; the value is the operator as written."""

    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"
    FLOOR_DIVIDE = "//"
    REMAINDER = "%"
    MATMUL = "@"
    POWER = "**"


class CompareOp(enum.Enum):
    """Comparisons, which do not chain."""

    EQUAL = "=="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_EQUAL = "<="
    GREATER = ">"
    GREATER_EQUAL = ">="


class LogicalOp(enum.Enum):
    """`and` and `or`."""

    AND = "and"
    OR = "or"


class UnaryOp(enum.Enum):
    """Negation of numbers and of truth values."""

    NEGATE = "-"
    NOT = "not"


# ---- what may stand inside brackets -----------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Binder(Node):
    """`i in 0..N` or `x in xs`: an index with its range."""

    name: Identifier
    iterable: Iterable


@dataclass(frozen=True, slots=True, eq=False)
class Slice(Node):
    """`start : stop : step`, each part optional."""

    start: Expr | None
    stop: Expr | None
    step: Expr | None


@dataclass(frozen=True, slots=True, eq=False)
class Ellipsis(Node):
    """`...`: all axes not mentioned."""


@dataclass(frozen=True, slots=True, eq=False)
class Splat(Node):
    """`*S`: a pack of sizes."""

    name: Identifier


@dataclass(frozen=True, slots=True, eq=False)
class NewAxis(Node):
    """`_` as a whole item: an axis that stretches."""


@dataclass(frozen=True, slots=True, eq=False)
class Bracket(Node):
    """`[item, ...]` in any of its uses; never empty."""

    items: tuple[Item, ...]


# ---- types ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class NamedType(Node):
    """`f32`, `f32[B, D]`, `Key`, `Linear[D, D]`, `Grad[M]`, `nn.Linear`."""

    name: QualifiedName
    arguments: Bracket | None


@dataclass(frozen=True, slots=True, eq=False)
class StackType(Node):
    """`12 * Block[D]` or `L * Block[D]`."""

    count: IntLit | Name
    element: TypeExpr


@dataclass(frozen=True, slots=True, eq=False)
class TupleType(Node):
    """`(f32, f32[N])`; `()` is the empty tuple, and `(f32)` is just `f32`, never a node."""

    elements: tuple[TypeExpr, ...]


@dataclass(frozen=True, slots=True, eq=False)
class FunctionType(Node):
    """`(f64[N], Key) -> f64`."""

    parameters: tuple[TypeExpr, ...]
    result: TypeExpr


# ---- patterns ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class NamePattern(Node):
    """Binds one name; `_` binds nothing."""

    name: Identifier


@dataclass(frozen=True, slots=True, eq=False)
class TuplePattern(Node):
    """`(a, (b, c))`."""

    elements: tuple[Pattern, ...]


# ---- expressions ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Name(Node):
    """A use of a name: value, size, field, function, type or module."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class IntLit(Node):
    """`10_000`; adapts to the type it meets."""

    value: int


@dataclass(frozen=True, slots=True, eq=False)
class FloatLit(Node):
    """`3e-4`, `0.5`; adapts to the type it meets."""

    value: float


@dataclass(frozen=True, slots=True, eq=False)
class BoolLit(Node):
    """`true` or `false`."""

    value: bool


@dataclass(frozen=True, slots=True, eq=False)
class Tuple(Node):
    """`(a, b)`, or `()`. Never one element."""

    elements: tuple[Expr, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ArrayLit(Node):
    """`[a, b]` on its own: an array literal."""

    bracket: Bracket


@dataclass(frozen=True, slots=True, eq=False)
class Builder(Node):
    """`[i, j in 0..N] => body`."""

    bracket: Bracket
    body: Expr


@dataclass(frozen=True, slots=True, eq=False)
class LambdaParam(Node):
    """`x` or `x: f64`."""

    name: Identifier
    type: TypeExpr | None


@dataclass(frozen=True, slots=True, eq=False)
class Lambda(Node):
    """`fn(x, y: f64) => body`."""

    parameters: tuple[LambdaParam, ...]
    body: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Unary(Node):
    """`-x`, `not x`."""

    op: UnaryOp
    operand: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Binary(Node):
    """`left op right` on numbers."""

    op: BinaryOp
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Compare(Node):
    """`left < right` and its kin."""

    op: CompareOp
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Logical(Node):
    """`left and right`, `left or right`."""

    op: LogicalOp
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Pipe(Node):
    """`value |> stage`: a call of `stage` with `value` as its first argument."""

    value: Expr
    stage: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Argument(Node):
    """One argument of a call; `name` is None for a positional one."""

    name: Identifier | None
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Call(Node):
    """`function(arguments)`."""

    function: Expr
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Index(Node):
    """`base[items]`: indexing, axes of a reduction, or generic arguments."""

    base: Expr
    bracket: Bracket


@dataclass(frozen=True, slots=True, eq=False)
class Member(Node):
    """`base.name`."""

    base: Expr
    name: Identifier


@dataclass(frozen=True, slots=True, eq=False)
class Range(Node):
    """`start..stop`, only after `in`."""

    start: Expr
    stop: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Block(Node):
    """`{ statements }`; its value is that of its last statement, if that is an expression."""

    statements: tuple[Stmt, ...]

    @property
    def result(self) -> Expr | None:
        """The expression whose value is the block's, or None."""
        last = self.statements[-1] if self.statements else None
        return last.value if isinstance(last, ExprStmt) else None


@dataclass(frozen=True, slots=True, eq=False)
class If(Node):
    """`if condition { } else { }`; an expression."""

    condition: Expr
    then: Block
    otherwise: Block | If | None


@dataclass(frozen=True, slots=True, eq=False)
class For(Node):
    """`for pattern in iterable { }`; its value is the stack of its body's values."""

    pattern: Pattern
    iterable: Iterable
    body: Block


@dataclass(frozen=True, slots=True, eq=False)
class While(Node):
    """`while condition limit n { }`."""

    condition: Expr
    limit: Expr | None
    body: Block


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint(Node):
    """`checkpoint { ... }`, `checkpoint for ...`, `checkpoint[32] for ...`."""

    every: Bracket | None
    body: Block | For


# ---- statements -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Let(Node):
    """`let pattern: type = value`: an immutable local."""

    pattern: Pattern
    type: TypeExpr | None
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Var(Node):
    """`var pattern: type = value`: a local that may be assigned."""

    pattern: Pattern
    type: TypeExpr | None
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Assign(Node):
    """`target = value`. The parser has checked the form of the target, not what it names."""

    target: Target
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class AugAssign(Node):
    """`target += value` and its kin; `op` is ADD, SUBTRACT, MULTIPLY or DIVIDE."""

    op: BinaryOp
    target: Target
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class ExprStmt(Node):
    """An expression on its own: the value of its block, or an error."""

    value: Expr


# ---- declarations -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Declaration(Node):
    """Base of everything `##` can document; `doc` is the text without `##`, or None."""

    doc: str | None


@dataclass(frozen=True, slots=True, eq=False)
class GenericParam(Node):
    """`N`, `F: float`, `M: record`, `F: float = f32`, or the pack `*S`."""

    name: Identifier
    kind: Identifier | None
    default: Identifier | None
    is_pack: bool


@dataclass(frozen=True, slots=True, eq=False)
class Param(Node):
    """A parameter of a function or a model; `mutable` when written with `var`."""

    name: Identifier
    type: TypeExpr
    default: Expr | None
    mutable: bool


@dataclass(frozen=True, slots=True, eq=False)
class ImportDecl(Declaration):
    """`import nn`, `import deep.lib as lib`."""

    module: QualifiedName
    alias: Identifier | None


@dataclass(frozen=True, slots=True, eq=False)
class FromDecl(Declaration):
    """`from nn import Linear, relu`."""

    module: QualifiedName
    names: tuple[Identifier, ...]


@dataclass(frozen=True, slots=True, eq=False)
class DimDecl(Declaration):
    """`dim K = D / H`, at the top level or in a model."""

    name: Identifier
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class ConstDecl(Declaration):
    """`let eps: f64 = 1e-6` at the top level."""

    name: Identifier
    type: TypeExpr | None
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Field(Declaration):
    """`w: f64[D]` in a struct."""

    name: Identifier
    type: TypeExpr


@dataclass(frozen=True, slots=True, eq=False)
class StructDecl(Declaration):
    """`struct Camera[N] { fields }`."""

    name: Identifier
    generics: tuple[GenericParam, ...]
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ParamMember(Declaration):
    """`[frozen] param w: f32[D] = initializer`."""

    name: Identifier
    type: TypeExpr
    value: Expr
    frozen: bool


@dataclass(frozen=True, slots=True, eq=False)
class StateMember(Declaration):
    """`state seen: i64 = 0`."""

    name: Identifier
    type: TypeExpr
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class SubMember(Declaration):
    """`[frozen] mlp: Linear[D, D](std = 0.01)`: a sub-model; `arguments` are hyperparameters."""

    name: Identifier
    type: TypeExpr
    arguments: tuple[Argument, ...]
    frozen: bool


@dataclass(frozen=True, slots=True, eq=False)
class FnDecl(Declaration):
    """A function, at the top level or in a model; `body` is a `Block` or the `= expr` form."""

    name: Identifier
    generics: tuple[GenericParam, ...]
    parameters: tuple[Param, ...]
    result: TypeExpr
    requires: tuple[Expr, ...]
    body: Expr
    mutable: bool
    checkpoint: bool


@dataclass(frozen=True, slots=True, eq=False)
class ModelDecl(Declaration):
    """`model Block[D, H](rate: f32 = 0.1) requires D % H == 0 { members }`."""

    name: Identifier
    generics: tuple[GenericParam, ...]
    parameters: tuple[Param, ...]
    requires: tuple[Expr, ...]
    members: tuple[ModelMember, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Rule(Node):
    """`jvp(de, dm) = ...` or `vjp(dy) { ... }` inside a derivative."""

    name: Identifier
    parameters: tuple[Identifier, ...]
    body: Expr


@dataclass(frozen=True, slots=True, eq=False)
class DerivativeDecl(Declaration):
    """`derivative [unchecked] f(x, y) -> z { rules }`."""

    function: QualifiedName
    inputs: tuple[Identifier, ...]
    output: Pattern
    rules: tuple[Rule, ...]
    unchecked: bool


@dataclass(frozen=True, slots=True, eq=False)
class File(Node):
    """A whole source file."""

    declarations: tuple[Decl, ...]


# ---- unions -----------------------------------------------------------------------------------

Expr = (
    Name | IntLit | FloatLit | BoolLit | Tuple | ArrayLit | Builder | Lambda | Unary | Binary
    | Compare | Logical | Pipe | Call | Index | Member | Block | If | For | While | Checkpoint
)  # fmt: skip
Iterable = Expr | Range
Item = Expr | Binder | Slice | Ellipsis | Splat | NewAxis
TypeExpr = NamedType | StackType | TupleType | FunctionType
Pattern = NamePattern | TuplePattern
Target = Name | Index | Member | Tuple
Stmt = Let | Var | Assign | AugAssign | ExprStmt
ModelMember = ParamMember | StateMember | SubMember | DimDecl | FnDecl
Decl = (
    ImportDecl | FromDecl | DimDecl | ConstDecl | StructDecl | ModelDecl | FnDecl | DerivativeDecl
)


# ---- walking ----------------------------------------------------------------------------------


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below `node`, in the order of its fields."""
    for field in dataclasses.fields(node):
        value: object = getattr(node, field.name)
        if isinstance(value, Node):
            yield value
        elif isinstance(value, tuple):
            for element in value:  # pyright: ignore[reportUnknownVariableType]
                if isinstance(element, Node):
                    yield element


def walk(node: Node) -> Iterator[Node]:
    """`node` and everything below it, parents first; needs no recursion."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(reversed(tuple(children(current))))
