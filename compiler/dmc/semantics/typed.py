"""The typed tree: what the checker makes of a function body and lowering reads.

Names are resolved, brackets have their meaning, generic arguments and index ranges are known,
literals have types. Sizes are still symbolic; lowering substitutes a value for each. Types may
contain numbers and holes that later statements filled in: read them through `resolved` and
`pruned`.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field

from dmc.ir.location import Span
from dmc.semantics.builtins.elementwise import Elementwise
from dmc.semantics.builtins.reduction import Reduction
from dmc.semantics.primitive import Primitive
from dmc.semantics.signature import Parameter
from dmc.semantics.sizes import Size
from dmc.semantics.types import (
    Declared,
    Element,
    GenericValue,
    RecordDeclaration,
    Shape,
    TensorType,
    TupleType,
    Type,
)
from dmc_runtime.budget import NO_BUDGET, Budget

# ---- names ------------------------------------------------------------------------------------


class SymbolKind(enum.Enum):
    """Where a local name comes from."""

    PARAMETER = "parameter"
    LET = "let"
    VAR = "var"
    INDEX = "index"
    SELF = "self"
    KEY = "key"


@dataclass(eq=False, slots=True)
class Symbol:
    """A local name. `affine` is its value as a size expression, where it has one."""

    name: str
    kind: SymbolKind
    type: Type
    span: Span
    is_mutable: bool = False
    affine: Size | None = None
    statement: Span | None = None
    barrier: int = 0
    loop_depth: int = 0
    callee: Callee | None = None

    def __repr__(self) -> str:
        return f"<{self.kind.value} {self.name}>"


# ---- expressions ------------------------------------------------------------------------------


@dataclass(eq=False, slots=True)
class Node:
    """A typed expression or statement; a statement has the empty tuple type."""

    type: Type
    span: Span


@dataclass(eq=False, slots=True)
class Literal(Node):
    """A number or truth value, at compile time."""

    value: bool | int | float


@dataclass(eq=False, slots=True)
class SizeValue(Node):
    """A size used as a number."""

    size: Size


@dataclass(eq=False, slots=True)
class Local(Node):
    """A use of a local name."""

    symbol: Symbol


@dataclass(eq=False, slots=True)
class MakeTuple(Node):
    """`(a, b)`."""

    items: tuple[Node, ...]


@dataclass(eq=False, slots=True)
class MakeArray(Node):
    """`[a, b]`: items of equal type along a new leading axis."""

    items: tuple[Node, ...]


@dataclass(eq=False, slots=True)
class MakeRecord(Node):
    """`Camera(focal = f)`: one value per field, in order of declaration."""

    declaration: RecordDeclaration
    fields: tuple[Node, ...]


@dataclass(eq=False, slots=True)
class WithFields(Node):
    """`cam.with(focal = 2.0)`."""

    record: Node
    changes: tuple[tuple[str, Node], ...]


@dataclass(eq=False, slots=True)
class FieldOf(Node):
    """`net.l1`."""

    record: Node
    name: str


@dataclass(eq=False, slots=True)
class ParamsOf(Node):
    """`net.params`: the `Grad`-shaped part."""

    record: Node


@dataclass(eq=False, slots=True)
class Fill(Node):
    """`zeros`, `ones`, `zeros[B, H]`: every leaf of the type filled with one value."""

    value: int


@dataclass(eq=False, slots=True)
class Apply(Node):
    """An elementwise function or operator, on broadcast operands or records."""

    function: Elementwise
    operands: tuple[Node, ...]


@dataclass(eq=False, slots=True)
class Convert(Node):
    """`f32(x)`, or a whole record with `cast`."""

    element: Element
    operand: Node


@dataclass(eq=False, slots=True)
class Builtin(Node):
    """Any other operation on arrays; `axes` are static."""

    function: Primitive
    operands: tuple[Node, ...]
    axes: tuple[int, ...] = ()
    shape: Shape = ()


@dataclass(frozen=True, slots=True)
class AxisChoice:
    """Which axes: all of them, or positions (negative ones from the end), or those of a pack."""

    positions: tuple[int, ...] = ()
    pack_start: int | None = None
    everything: bool = False


@dataclass(eq=False, slots=True)
class Reduce(Node):
    """`sum[D](x)`, `softmax[-1](x)`, `sum(x)`."""

    reduction: Reduction
    axes: AxisChoice
    operand: Node


@dataclass(eq=False, slots=True)
class IndexRange:
    """An index with its half-open range; the bounds may use enclosing indexes."""

    symbol: Symbol
    start: Node
    stop: Node
    count: Size | None


@dataclass(eq=False, slots=True)
class Build(Node):
    """`[i, j] => body`."""

    indexes: tuple[IndexRange, ...]
    body: Node


@dataclass(eq=False, slots=True)
class ReduceIndexes(Node):
    """`sum[k](body)`: a reduction over indexes."""

    reduction: Reduction
    indexes: tuple[IndexRange, ...]
    body: Node


# ---- indexing ---------------------------------------------------------------------------------


@dataclass(eq=False, slots=True)
class AtIndex:
    """One element along an axis; an integer tensor gathers."""

    index: Node


@dataclass(eq=False, slots=True)
class AtSlice:
    """`start : start + length` with stride `step`; the length is a size."""

    start: Node
    length: Size
    step: int


@dataclass(eq=False, slots=True)
class AtRest:
    """`...` or axes not mentioned: `count` whole axes, or as many as are left (None)."""

    count: int | None


@dataclass(eq=False, slots=True)
class AtNew:
    """`_`: a new axis that stretches."""


At = AtIndex | AtSlice | AtRest | AtNew


@dataclass(eq=False, slots=True)
class Access(Node):
    """`x[i, 1:, ..., _]`; of a stack of records, on the leading axis of each leaf."""

    base: Node
    items: tuple[At, ...]


# ---- control ----------------------------------------------------------------------------------


@dataclass(eq=False, slots=True)
class Block(Node):
    """Statements, then the value, if any."""

    statements: tuple[Node, ...]
    value: Node | None


@dataclass(eq=False, slots=True)
class Bind(Node):
    """`let` and `var`: a pattern of symbols (None for `_`)."""

    pattern: BindPattern
    value: Node


BindPattern = Symbol | None | tuple["BindPattern", ...]


@dataclass(eq=False, slots=True)
class Place:
    """The target of an assignment: a variable, then fields and indexes into it."""

    symbol: Symbol
    path: tuple[str | tuple[At, ...], ...]
    type: Type
    span: Span


@dataclass(eq=False, slots=True)
class Assign(Node):
    """`target = value`; several targets take a tuple apart.

    `+=` is expanded, save on gathered elements: there `change` takes in each occurrence.
    """

    targets: tuple[Place, ...]
    value: Node
    change: Elementwise | None = None


@dataclass(eq=False, slots=True)
class If(Node):
    """`if`; without `otherwise` its value is empty."""

    condition: Node
    then: Node
    otherwise: Node | None


@dataclass(eq=False, slots=True)
class For(Node):
    """`for`: over a range (`index`) or over the leading axis of `scanned` values.

    `count` is the number of iterations as a size where it is one; the type is the stack of the
    body's. `checkpoint`: 0 keeps everything, -1 about every square root, k > 0 every k-th step.
    """

    pattern: BindPattern
    start: Node | None
    stop: Node | None
    scanned: Node | None
    count: Size | None
    body: Node
    checkpoint: int = 0


@dataclass(eq=False, slots=True)
class While(Node):
    """`while`, at most `limit` times; `checkpoint` as of `for`."""

    condition: Node
    limit: Node | None
    body: Node
    checkpoint: int = 0


# ---- functions --------------------------------------------------------------------------------


@dataclass(eq=False, slots=True)
class DerivativeRule:
    """A `jvp` or `vjp` of a `derivative`: the names it sees and its value, of type `result`.

    One that is `unchecked` is not, or need not be, the derivative of what the function computes.
    """

    inputs: tuple[Symbol, ...]
    output: BindPattern
    vectors: tuple[Symbol, ...]
    body: Node
    result: Type
    unchecked: bool = False


@dataclass(eq=False, slots=True)
class DeclaredFunction(Declared):
    """A declared function or method, as those see it that call, differentiate or lower it.

    `body` and `defaults` are filled in when the body is checked. `is_mutable` when it is a
    `mut fn`, which also gives the updated receiver.
    """

    span: Span
    is_mutable: bool
    parameters: tuple[Parameter, ...] = ()
    result: Type | None = None
    symbols: tuple[Symbol, ...] = ()
    self_symbol: Symbol | None = None
    defaults: tuple[Node | None, ...] = ()
    body: Node | None = None
    rules: dict[str, DerivativeRule] = field(default_factory=dict[str, DerivativeRule])

    @property
    def name(self) -> str:
        """As it was declared: of the method `MLP.forward`, `forward`."""
        return self.full_name.rpartition(".")[2]

    @property
    def gives(self) -> Type:
        """The type of what a call gives: of a `mut fn` the result and the updated receiver."""
        assert self.result is not None
        if self.is_mutable and self.self_symbol is not None:
            return TupleType((self.result, self.self_symbol.type))
        return self.result


@dataclass(eq=False, slots=True)
class UserFunction:
    """A declared function or method with its generic arguments in terms of the caller."""

    declaration: DeclaredFunction
    generics: Mapping[str, GenericValue]
    receiver: Node | None = None


@dataclass(eq=False, slots=True)
class LocalFunction:
    """A parameter or local of function type."""

    symbol: Symbol


@dataclass(eq=False, slots=True)
class Lambda:
    """`fn(x) => body`; it sees the names around it."""

    parameters: tuple[Symbol, ...]
    body: Node


@dataclass(eq=False, slots=True)
class PreludeFunction:
    """An elementwise function of the prelude used as a value."""

    function: Elementwise


class Operator(enum.Enum):
    """The differentiation operators, by their name in the language."""

    GRAD = "grad"
    VALUE_AND_GRAD = "value_and_grad"
    JVP = "jvp"
    VJP = "vjp"
    JACOBIAN = "jacobian"
    HESSIAN = "hessian"
    HVP = "hvp"


@dataclass(eq=False, slots=True)
class Derived:
    """A function made by a differentiation operator.

    `wrt` are paths: a parameter's position, then field names. `along` are tangents for them.
    `output` is the type of what is differentiated.
    `budget` is what the program with the derivative may take. Directions that are `stacked` have a
    leading axis for several at once. `entries` names the number of entries of a sparse matrix, a
    size that is known when sizes are.
    """

    operator: Operator
    function: Callee
    wrt: tuple[tuple[int, tuple[str, ...]], ...]
    is_tuple: bool
    output: Type
    along: tuple[Node, ...] = ()
    budget: Budget = NO_BUDGET
    stacked: bool = False
    entries: str | None = None


@dataclass(eq=False, slots=True)
class Variation:
    """How the result of a function changes with what it has captured: its tangent in a `jvp`.

    Each captured name is paired with one for the tangents of what it holds.
    """

    function: Callee
    pairs: tuple[tuple[Symbol, Symbol], ...]


Callee = UserFunction | LocalFunction | Lambda | PreludeFunction | Derived | Variation


@dataclass(eq=False, slots=True)
class FunctionValue(Node):
    """A function as an argument or a local."""

    callee: Callee


@dataclass(eq=False, slots=True)
class Call(Node):
    """A call with one argument per parameter; None takes the default.

    `updates` is where the new state of the receiver goes, for a `mut fn`.
    """

    callee: Callee
    arguments: tuple[Node | None, ...]
    updates: Place | None = None


@dataclass(eq=False, slots=True)
class Pull(Node):
    """`pull(dy)`, where `let (y, pull) = vjp(f)(…)`; cotangents may be `stacked`."""

    function: Symbol
    cotangent: Node
    stacked: bool = False


@dataclass(eq=False, slots=True)
class MapLeaves(Node):
    """`map(fn(p) => …, tree, …)`: a function run on corresponding leaves of records."""

    function: Lambda
    trees: tuple[Node, ...]
    leaf: TensorType


@dataclass(eq=False, slots=True)
class MarkLeaves(Node):
    """`leaves[bias](tree)`: 1 or 0 on every trained leaf, by the names on the way to it."""

    operand: Node
    paths: tuple[tuple[str, ...], ...]
    path_spans: tuple[Span, ...]


# ---- randomness -------------------------------------------------------------------------------


@dataclass(eq=False, slots=True)
class Draw(Node):
    """`normal[B](key)`, `bernoulli[*S](key, p)`; the shape is that of the type."""

    distribution: Primitive
    key: Node
    parameters: tuple[Node, ...]


@dataclass(eq=False, slots=True)
class SplitKey(Node):
    """`split(key, n)`: a tuple of keys."""

    key: Node
    count: int


@dataclass(eq=False, slots=True)
class FoldKey(Node):
    """`fold(key, i)`."""

    key: Node
    data: Node


# ---- walking ----------------------------------------------------------------------------------


def walk(root: object) -> Iterator[Node]:
    """Every typed node at or below `root`, parents first; called functions are not entered."""
    pending: list[object] = [root]
    while pending:
        item = pending.pop()
        if isinstance(item, Node):
            yield item
        if isinstance(item, tuple):
            pending.extend(reversed(item))  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(item, _TREE):
            values = [getattr(item, f.name) for f in dataclasses.fields(item)]
            pending.extend(reversed(values))


_TREE = (
    Node, IndexRange, AtIndex, AtSlice, Place, UserFunction, Lambda, Derived,
)  # fmt: skip


def chain(node: Node, functions: Container[Elementwise] | None = None) -> tuple[Node, list[Apply]]:
    """What the chain of applications that `node` ends starts with, and they, innermost first.

    Each is the first operand of the next: `a + b - c` is a chain, long ones of which are no deep
    nesting. So who reads nodes goes along chains, and not into them. `functions` may limit them.
    """
    found: list[Apply] = []
    while isinstance(node, Apply) and (functions is None or node.function in functions):
        found.append(node)
        node = node.operands[0]
    return node, found[::-1]


def assigned(root: object) -> list[Symbol]:
    """Variables assigned somewhere below, in order of first assignment."""
    found: dict[Symbol, None] = {}
    for node in walk(root):
        if isinstance(node, Assign):
            for target in node.targets:
                found.setdefault(target.symbol)
        elif isinstance(node, Call) and node.updates is not None:
            found.setdefault(node.updates.symbol)
    return list(found)
