"""The state of checking one body: scopes, facts, open numbers, diagnostics so far."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from dmc.diagnostics.report import Diagnostics
from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics import elsewhere, typed
from dmc.semantics.inference import unify
from dmc.semantics.library import import_help, member_help
from dmc.semantics.primitive import Constant, Fill, Primitive
from dmc.semantics.program import (
    ElementEntity,
    Entity,
    FieldEntity,
    FunctionDeclaration,
    ModelBody,
    PackEntity,
    Poison,
    RecordEntity,
    SizeEntity,
    SourceModule,
)
from dmc.semantics.ranges import converts, fits, not_fitting
from dmc.semantics.sizes import Facts, Size
from dmc.semantics.typed import Symbol, SymbolKind
from dmc.semantics.types import (
    Element,
    Hole,
    Number,
    NumberKind,
    RecordDeclaration,
    TensorType,
    Type,
    pruned,
    resolved,
)
from dmc.semantics.zero import DerivativeRequest
from dmc.syntax import ast, foreign
from dmc_runtime.spelling import did_you_mean

__all__ = [
    "BoundsCheck",
    "Context",
    "Evidence",
    "IndexInfo",
    "Scope",
    "Stop",
]


class Stop(Exception):
    """Ends the checking of one statement: its error has been reported."""


class Scope:
    """Names of one block; `parent` is the block around it."""

    def __init__(self, parent: Scope | None = None) -> None:
        self.parent = parent
        self.names: dict[str, Entity] = {}

    def find(self, name: str) -> Entity | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return None

    def visible(self) -> Iterator[tuple[str, Entity]]:
        scope: Scope | None = self
        while scope is not None:
            yield from scope.names.items()
            scope = scope.parent


@dataclass(slots=True)
class BoundsCheck:
    """An index expression to be compared with its axis once every index has its range."""

    index: Size
    axis: Size
    span: Span
    access: Span
    is_conditional: bool


@dataclass(slots=True)
class Evidence:
    """An access `base[i]` that says how far the index `i` runs."""

    axis: Size
    span: Span
    base: typed.Node


@dataclass(slots=True)
class IndexInfo:
    """What is known of an index while its body is checked."""

    symbol: Symbol
    node: ast.Identifier
    construct: ast.Builder | ast.Call | ast.For
    is_explicit: bool
    start: Size | None = None
    stop: Size | None = None
    start_node: typed.Node | None = None
    stop_node: typed.Node | None = None
    evidence: list[Evidence] = field(default_factory=list[Evidence])


@dataclass(slots=True)
class Context:
    """State while one body is checked. `dispatch` checks an expression (it knows every kind)."""

    module: SourceModule
    diagnostics: Diagnostics
    dispatch: Callable[[Context, ast.Expr, Type | None], typed.Node]
    prelude: Mapping[str, Primitive]
    facts: Facts
    scope: Scope
    function: FunctionDeclaration | None = None
    model: ModelBody | None = None
    record: RecordDeclaration | None = None
    """The struct or model whose fields are read."""
    self_symbol: Symbol | None = None
    bare: dict[RecordDeclaration, tuple[Size, ...]] = field(
        default_factory=dict[RecordDeclaration, tuple[Size, ...]]
    )
    numbers: list[Number] = field(default_factory=list[Number])
    reciprocals: list[typed.Apply] = field(default_factory=list[typed.Apply])
    literals: dict[typed.Literal, None] = field(default_factory=dict[typed.Literal, None])
    converted: dict[typed.Literal, Element] = field(default_factory=dict[typed.Literal, Element])
    holes: list[Hole] = field(default_factory=list[Hole])
    conversions: list[tuple[Hole, Hole, Span]] = field(
        default_factory=list[tuple[Hole, Hole, Span]]
    )
    bounds: list[BoundsCheck] = field(default_factory=list[BoundsCheck])
    indexes: dict[str, IndexInfo] = field(default_factory=dict[str, IndexInfo])
    conditions: int = 0
    barrier: int = 0
    loop_depth: int = 0
    loop_count: Size | None = None
    requests: list[DerivativeRequest] = field(default_factory=lambda: [])

    # -- checking

    def check(self, node: ast.Expr, expected: Type | None = None) -> typed.Node:
        """The typed form of an expression; `expected` guides but is not enforced.

        Raises Stop when an error was reported.
        """
        return self.dispatch(self, node, expected)

    # -- reporting

    def fail(
        self,
        code: str,
        title: str,
        span: Span,
        text: str = "",
        also: Sequence[tuple[Span, str]] = (),
        help: Sequence[str] = (),
    ) -> Stop:
        """Report an error; raise the result."""
        self.diagnostics.report(code, title, span, text, also, help)
        return Stop()

    def quote(self, node: ast.Node | Span) -> str:
        """The source text of a node, on one line."""
        span = node if isinstance(node, Span) else node.span
        return " ".join(self.module.source.quote(span).split())

    def with_fewer(self, span: Span, arguments: Sequence[ast.Node], wanted: int) -> list[str]:
        """Help for a call with too many arguments: the call with the first of them."""
        texts = [self.quote(argument) for argument in arguments]
        if len(texts) <= wanted:
            return []
        callee, found, _ = self.quote(span).partition(f"({texts[0]}")
        return [f"`{callee}({', '.join(texts[:wanted])})`"] if found else []

    # -- scopes

    @contextmanager
    def nested(self) -> Generator[Scope]:
        """A block's own scope."""
        outer, self.scope = self.scope, Scope(self.scope)
        try:
            yield self.scope
        finally:
            self.scope = outer

    @contextmanager
    def independent(self) -> Generator[None]:
        """What is computed in any order, or at once: nothing outside is changed in it."""
        self.barrier += 1
        try:
            yield
        finally:
            self.barrier -= 1

    def sees(self, symbol: Symbol) -> bool:
        """Whether a local name, or the receiver, is in scope."""
        return symbol is self.self_symbol or self.scope.find(symbol.name) is symbol

    def lookup(self, name: str) -> object | None:
        """An entity, or None; module-level names come after local ones."""
        found = self.scope.find(name)
        return found if found is not None else self.module.names.get(name)

    def is_prelude_function(self, name: str) -> bool:
        """Whether the prelude has a function of this name."""
        return not isinstance(self.prelude.get(name), Constant | Fill | None)

    def declare(self, name: ast.Identifier, entity: Entity) -> None:
        """Add a local name. Reports shadowing of locals, fields and sizes."""
        if name.text == "_":
            return
        known = self.scope.find(name.text)
        if known is not None and not isinstance(known, Poison):
            raise self.fail(
                "name.shadowed",
                f"`{name.text}` is already {describe(known)}",
                name.span,
                "declared again here",
                [(entity_span(known), "first declared here")],
                ["choose another name"],
            )
        self.scope.names[name.text] = entity

    def unknown(self, name: str, span: Span, arguments: Sequence[ast.Argument] = ()) -> Stop:
        """The error for a name that nothing has, called with `arguments` if with any.

        A name that means something elsewhere is never taken for one of the prelude: its letters
        may be near, but its meaning is another.
        """
        habit = foreign.WORDS.get(name)
        if habit is not None:
            title = f"dm has no `{name}`"
            return self.fail("name.unknown", title, span, habit.fact, (), [habit.help])
        means_more = elsewhere.known_elsewhere(name)
        known = [*self._known(), *(() if means_more else self.prelude)]
        help_ = self._elsewhere(name, arguments) or did_you_mean(name, known)
        if not help_ and means_more:
            help_ = (f"dm has no `{name}`: write it as a function, or pass its value from Python",)
        return self.fail("name.unknown", f"unknown name `{name}`", span, "", (), help_)

    def undeclared(self, name: str, span: Span) -> Stop:
        """The error for a name that is assigned and that nothing declares."""
        variables = [
            known
            for known, entity in self.scope.visible()
            if isinstance(entity, Symbol) and entity.is_mutable
        ]
        help_ = did_you_mean(name, variables) or (f"declare it: `let {name} = …`",)
        return self.fail("name.unknown", f"unknown name `{name}`", span, "", (), help_)

    def unknown_size(self, name: str, span: Span) -> Stop:
        """The error for a size that nothing declares."""
        sizes = [known for known in self._known() if isinstance(self.lookup(known), SizeEntity)]
        help_ = self._of_model(name) or did_you_mean(name, sizes)
        help_ = help_ or (f"declare it behind the name: `fn f[{name}](…)`",)
        return self.fail("name.unknown", f"unknown name `{name}`", span, "", (), help_)

    def unknown_type(self, name: str, span: Span, built_in: Sequence[str]) -> Stop:
        """The error for a type that nothing has."""
        help_ = self._elsewhere(name) or did_you_mean(name, [*self._known(), *built_in])
        return self.fail("name.unknown", f"unknown type `{name}`", span, "", (), help_)

    def unknown_member(self, module: SourceModule, name: ast.Identifier) -> Stop:
        """The error for a name that another module does not have."""
        help_ = member_help(module, name.text, self.is_prelude_function(name.text))
        title = f"module `{module.name}` has no `{name.text}`"
        return self.fail("name.unknown", title, name.span, "", (), help_)

    def _known(self) -> list[str]:
        """Names of this place and of the module, but not those that could not be imported."""
        named = {**dict(self.scope.visible()), **self.module.names}
        return [name for name, entity in named.items() if not isinstance(entity, Poison)]

    def _elsewhere(self, name: str, arguments: Sequence[ast.Argument] = ()) -> Sequence[str]:
        """Help for a size of a model at hand, a name of other languages, or of the library."""
        positional = [self.quote(a.value) for a in arguments if a.name is None]
        advice = elsewhere.advice(name, positional)
        help_ = advice or import_help(name)
        return self._of_model(name) or ([help_] if help_ else [])

    def _of_model(self, name: str) -> Sequence[str]:
        """Help for a size of a model that is at hand."""
        sizes = (str(size) for bare in self.bare.values() for size in bare)
        return [f"write `{size}`" for size in sizes if size.endswith(f".{name}")][:1]

    def local(
        self,
        name: ast.Identifier,
        kind: SymbolKind,
        type_: Type,
        statement: Span | None = None,
        affine: Size | None = None,
    ) -> Symbol:
        """Declare a local name."""
        symbol = Symbol(
            name.text,
            kind,
            type_,
            name.span,
            is_mutable=kind is SymbolKind.VAR,
            affine=affine,
            statement=statement,
            barrier=self.barrier,
            loop_depth=self.loop_depth,
        )
        self.declare(name, symbol)
        return symbol

    # -- numbers and holes

    def number(self, kind: NumberKind) -> Number:
        """A fresh element type for a literal."""
        new = Number(kind)
        self.numbers.append(new)
        return new

    def untyped(self, kind: NumberKind) -> TensorType:
        return TensorType(self.number(kind))

    def literal(self, kind: NumberKind, span: Span, value: int | float) -> typed.Literal:
        """A number as written, of a type that context fixes."""
        new = typed.Literal(self.untyped(kind), span, value)
        self.literals[new] = None
        return new

    def negated(self, literal: typed.Literal, span: Span) -> typed.Literal:
        """`-1` is one number."""
        new = typed.Literal(literal.type, span, -literal.value)
        self.literals.pop(literal, None)
        self.literals[new] = None
        return new

    def hole(self, kind: NumberKind = NumberKind.NUMBER) -> Hole:
        """A fresh type for a value whose shape comes from context."""
        new = Hole(self.number(kind))
        self.holes.append(new)
        return new

    def settle(self) -> None:
        """Give what no context fixed its default type.

        A conversion changes elements and not shapes: its two sides have one shape.
        """
        for operand, converted, _ in reversed(self.conversions):
            _share_shape(converted, operand)
        for operand, converted, _ in self.conversions:
            _share_shape(operand, converted)
        for hole in self.holes:
            if hole.target is None:
                hole.target = TensorType(hole.element)
        for number in self.numbers:
            if number.target is None:
                is_float = number.kind is NumberKind.FLOAT
                number.target = DType.F64 if is_float else DType.I64
        for operand, converted, span in self.conversions:
            if not unify(self.facts, _elements_aside(operand), _elements_aside(converted)):
                title = f"{pruned(operand)} is not converted to {pruned(converted)}"
                self.diagnostics.report("shape.mismatch", title, span)
        self.conversions.clear()
        for literal in self.literals:
            self._check_range(literal)
        self.literals.clear()
        self.converted.clear()
        for power in self.reciprocals:
            self._check_reciprocal(power)
        self.reciprocals.clear()

    def _check_reciprocal(self, power: typed.Apply) -> None:
        base = pruned(power.operands[0].type)
        element = resolved(base.element) if isinstance(base, TensorType) else None
        if isinstance(element, DType) and element.is_integer:
            self.diagnostics.report(
                "type.operand",
                f"a power below 0 of {base} is no whole number",
                power.span,
                help=[f"convert: `f64({self.quote(power.operands[0].span)})`"],
            )

    def _check_range(self, literal: typed.Literal) -> None:
        type_ = pruned(literal.type)
        element = resolved(type_.element) if isinstance(type_, TensorType) else None
        asked = [(element, fits)]
        if literal in self.converted:
            asked.append((resolved(self.converted[literal]), converts))
        for dtype, holds in asked:
            if isinstance(dtype, DType) and not holds(literal.value, dtype):
                title, text = not_fitting(literal.span, dtype)
                self.diagnostics.report("value.range", title, literal.span, text)
                return


def _share_shape(known: Hole, other: Hole) -> None:
    """Give an open type the shape of another."""
    type_, open_ = pruned(known), pruned(other)
    if isinstance(open_, Hole) and isinstance(type_, TensorType):
        open_.target = TensorType(open_.element, type_.shape)


def _elements_aside(type_: Type) -> Type:
    """A type that is equal for equal shapes."""
    type_ = pruned(type_)
    return TensorType(DType.F64, type_.shape) if isinstance(type_, TensorType) else type_


def describe(entity: Entity) -> str:
    match entity:
        case Symbol(kind=kind):
            return {
                typed.SymbolKind.PARAMETER: "a parameter",
                typed.SymbolKind.LET: "a local",
                typed.SymbolKind.VAR: "a local",
                typed.SymbolKind.INDEX: "an index",
                typed.SymbolKind.SELF: "the receiver",
                typed.SymbolKind.KEY: "the key of this field",
            }[kind]
        case SizeEntity() | PackEntity():
            return "a size"
        case ElementEntity():
            return "an element type"
        case RecordEntity():
            return "a record parameter"
        case FieldEntity():
            return "a field"
        case FunctionDeclaration():
            return "a function"
        case RecordDeclaration(is_model=is_model):
            return "a model" if is_model else "a struct"
        case _:
            return "a name"


def entity_span(entity: Entity) -> Span:
    if isinstance(entity, SourceModule):
        return entity.file.span
    return entity.span
