"""Names, operators, bracket items, types, patterns, expressions and statements."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeVar

from dmc.syntax.ast.node import Node

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
    """`checkpoint { ... }`, `checkpoint for ...`, `checkpoint[32] while ...`."""

    every: Bracket | None
    body: Block | For | While


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


# ---- unions -----------------------------------------------------------------------------------

Expr = (
    Name | IntLit | FloatLit | BoolLit | Tuple | ArrayLit | Builder | Lambda | Unary | Binary
    | Compare | Logical | Pipe | Call | Index | Member | Block | If | For | While | Checkpoint
)  # fmt: skip
ChainT = TypeVar("ChainT", Binary, Logical)


def chain(node: ChainT) -> tuple[Expr, list[ChainT]]:
    """What the chain of operators that `node` ends starts with, and they, innermost first.

    Each is the left operand of the next: `a + b - c` nests without meaning to, however long it is.
    So who reads expressions goes along chains, and not into them. `@` is in none.
    """
    kind = type(node)
    found: list[ChainT] = []
    at: Expr = node
    while isinstance(at, kind) and at.op is not BinaryOp.MATMUL:
        found.append(at)
        at = at.left
    return at, found[::-1]


Iterable = Expr | Range
Item = Expr | Binder | Slice | Ellipsis | Splat | NewAxis
TypeExpr = NamedType | StackType | TupleType | FunctionType
Pattern = NamePattern | TuplePattern
Target = Name | Index | Member | Tuple
Stmt = Let | Var | Assign | AugAssign | ExprStmt
