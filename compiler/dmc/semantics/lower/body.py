"""Lowering of one function body: the environment, and a method for each kind of node."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import Protocol

from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.diagnostics.errors import CompilerBug, Error, error
from dmc.dialects import arith, func, tensor
from dmc.dialects.derivatives import Compressed, Problem
from dmc.ir import (
    Block,
    Builder,
    DType,
    Location,
    Module,
    TensorType,
    Value,
    dtype_of,
    shape_of,
)
from dmc.ir.location import Span
from dmc.semantics import typed
from dmc.semantics.lower.values import (
    UNIT,
    Array,
    Cell,
    Lowered,
    Record,
    Static,
    Tuple,
    flatten,
    rebuild,
)
from dmc.semantics.ranges import fits, not_fitting
from dmc.semantics.sizes import Size
from dmc.semantics.typed import DeclaredFunction, DerivativeRule, Symbol
from dmc.semantics.types import (
    Element,
    KeyType,
    RecordType,
    StackType,
    Substitution,
    TupleType,
    Type,
    children,
    gradient_type,
    pruned,
    resolved,
)
from dmc.semantics.types import TensorType as Tensor

__all__ = ["Body", "Surroundings"]


class Surroundings(Protocol):
    """What a body needs of the module that it is lowered into."""

    @property
    def module(self) -> Module: ...

    def instance(self, declaration: DeclaredFunction, substitution: Substitution) -> func.Func:
        """The function of the module for these generic arguments."""
        ...

    def compress(self, problem: Problem, of: Sequence[int], is_symmetric: bool) -> Compressed:
        """Where the derivatives of the results `of` may differ from zero, and what is at once."""
        ...

    def read_nothing(self, block: Block, span: Span) -> None:
        """An element of an axis without elements is read or written in `block`."""
        ...

    def add_rule(
        self,
        instance: func.Func,
        function: func.Func,
        name: str,
        vectors: int,
        rule: DerivativeRule,
    ) -> None:
        """`function` is a rule of `instance`, whose last `vectors` arguments are vectors."""
        ...


class Body:
    """Lowers typed nodes at an insertion point.

    `bounds` are exclusive upper bounds of indexes, `opened` sizes that lowering itself has found,
    `cells` what the variables that function values change hold here.
    """

    def __init__(
        self,
        lowering: Surroundings,
        builder: Builder,
        substitution: Substitution,
        environment: dict[Symbol, Lowered],
        bounds: dict[Symbol, int] | None = None,
        opened: dict[str, Size] | None = None,
        cells: dict[Cell, Lowered] | None = None,
    ) -> None:
        self.lowering = lowering
        self.builder = builder
        self.opened: dict[str, Size] = opened if opened is not None else {}
        self._given = substitution
        self.environment = environment
        self.bounds: dict[Symbol, int] = bounds if bounds is not None else {}
        self.cells: dict[Cell, Lowered] = cells if cells is not None else {}

    def inside(self, block: Block) -> Body:
        """The same names, building into a region; assignments inside stay inside."""
        builder = Builder(block, location=self.builder.location)
        return Body(
            self.lowering,
            builder,
            self._given,
            dict(self.environment),
            dict(self.bounds),
            self.opened,
            dict(self.cells),
        )

    @contextmanager
    def independent(self, block: Block, span: Span) -> Generator[Body]:
        """`inside`, for what is computed in any order. Raises Error if that changes a variable."""
        inner = self.inside(block)
        yield inner
        for cell, held in self.cells.items():
            if inner.cells[cell] is not held:
                raise self.fail(
                    "loop.builder",
                    f"a function that is called here changes `{cell.name}`",
                    span,
                    "elements of a builder are independent",
                    ["use `for` for ordered steps"],
                )

    # -- types

    @property
    def substitution(self) -> Substitution:
        """What generics and sizes stand for here."""
        if not self.opened:
            return self._given
        return replace(self._given, sizes={**self._given.sizes, **self.opened})

    def type(self, node: typed.Node) -> Type:
        """The concrete type of a node."""
        return self.substitution.type(pruned(node.type))

    def dtype(self, element: Element, span: Span | None = None) -> DType:
        element = self.substitution.element(resolved(element))
        element = resolved(element)
        if isinstance(element, DType):
            return element
        raise CompilerBug(f"no dtype for {element} at {span}")

    def size(self, size: Size, span: Span) -> int:
        """The value of a size. Raises ShapeError when it is not a whole number from 0."""
        value = self.substitution.size(size)
        constant = value.constant
        if constant is None or constant < 0:
            what = "a size" if size == value else f"the size {size}"
            raise self.fail("shape.size", f"{what} is {value} here", span)
        return constant

    def sizes(self, node: typed.Node) -> tuple[int, ...]:
        """The shape of a node that gives an array. Raises as `size`."""
        type_ = pruned(node.type)
        if not isinstance(type_, Tensor):
            type_ = self.type(node)
            assert isinstance(type_, Tensor)
        found: list[int] = []
        for axis in type_.shape:
            axes = (axis,) if isinstance(axis, Size) else self.substitution.shape((axis,))
            found += [self.size(part, node.span) for part in axes if isinstance(part, Size)]
        return tuple(found)

    def fail(
        self, code: str, title: str, span: Span, text: str = "", help: Sequence[str] = ()
    ) -> Error:
        """An error that only concrete sizes and types reveal."""
        return error(Diagnostic(code, title, Label(span, text), help=tuple(help)))

    # -- dispatch

    def lower(self, node: typed.Node) -> Lowered:
        """The value of a node, built at the insertion point."""
        outer = self.builder.location
        self.builder.location = Location(node.span)
        try:
            return _LOWER[type(node)](self, node)
        finally:
            self.builder.location = outer

    def value(self, node: typed.Node) -> Lowered:
        """The value of a node with its numbers made tensors of the node's type."""
        return self.materialize(self.lower(node), self.type(node))

    def array(self, node: typed.Node) -> Value:
        """The tensor that a node gives."""
        value = self.value(node)
        if not isinstance(value, Array):
            raise CompilerBug(f"{type(node).__name__} gives no tensor")
        return value.value

    def materialize(self, value: Lowered, type_: Type) -> Lowered:
        """Turn compile-time numbers into constants of the type, and leaves of unknown elements."""
        match value:
            case Static(number, span):
                target = pruned(type_)
                dtype = DType.I64
                if isinstance(target, Tensor):
                    dtype = self.dtype(target.element)
                elif isinstance(number, float):
                    dtype = DType.F64
                if not fits(number, dtype):
                    raise self.not_fitting(dtype, span)
                return Array(self.constant(number, dtype))
            case Tuple(items):
                target = pruned(type_)
                parts = target.items if isinstance(target, TupleType) else ()
                return Tuple(
                    tuple(self.materialize(i, p) for i, p in zip(items, parts, strict=True))
                )
            case Record(inner, fields):
                parts = {name: part for name, part, _ in children(inner)}
                return Record(
                    inner, {name: self.materialize(v, parts[name]) for name, v in fields.items()}
                )
            case Array(inner, stretch) if isinstance(target := pruned(type_), Tensor):
                element = self.substitution.element(resolved(target.element))
                known = resolved(element)
                if (
                    isinstance(known, DType)
                    and known.is_float
                    and known is not dtype_of(inner.type)
                ):
                    return Array(arith.convert(self.builder, inner, known), stretch)
                return value
            case _:
                return value

    def not_fitting(self, dtype: DType, span: Span | None = None) -> Error:
        """The error for a number, by default what is built, that `dtype` does not hold."""
        span = span or self.builder.location.span
        assert span is not None
        title, text = not_fitting(span, dtype)
        return self.fail("value.range", title, span, text)

    def constant(self, number: bool | int | float, dtype: DType, *shape: int) -> Value:
        """A constant tensor. Raises Error for a number that its element type does not hold.

        So it does for an array that is larger than addresses reach.
        """
        if not fits(number, dtype):
            raise self.not_fitting(dtype)
        if prod(shape) * dtype.bytes >= 2**63:
            span = self.builder.location.span
            assert span is not None
            sizes = " × ".join(map(str, shape))
            title = f"an array of {sizes} needs more memory than any machine has"
            raise self.fail(
                "memory.size", title, span, help=["sum a large array where it is built"]
            )
        if dtype.is_integer and isinstance(number, float):
            number = int(number)
        return arith.constant(self.builder, number, TensorType(shape, dtype))

    def leaves(self, node: typed.Node) -> list[Value]:
        """The flattened tensors of a node."""
        return flatten(self.value(node))

    def rebuild(self, type_: Type, values: Iterator[Value]) -> Lowered:
        return rebuild(type_, values)

    # -- statements

    def held(self, name: Symbol | Cell) -> Lowered:
        """What a variable holds here, as tensors of its type."""
        if isinstance(name, Cell):
            return self.cells[name]
        value = self.environment[name]
        if isinstance(value, Cell):
            return self.cells[value]
        return self.materialize(value, symbol_type(self, name))

    def hold(self, name: Symbol | Cell, value: Lowered) -> None:
        """Give a variable its value."""
        if isinstance(name, Cell):
            self.cells[name] = value
        else:
            self.assign(name, value)

    def assign(self, symbol: Symbol, value: Lowered) -> None:
        """Give a name its value; unnamed IR values take its name for printing."""
        if isinstance(value, Array) and not value.value.name:
            value.value.name = symbol.name
        self.environment[symbol] = value

    def bind(self, pattern: typed.BindPattern, value: Lowered) -> None:
        match pattern:
            case None:
                return
            case Symbol():
                self.assign(pattern, value)
            case _:
                if not isinstance(value, Tuple):
                    raise CompilerBug("only tuples come apart")
                for part, item in zip(pattern, value.items, strict=True):
                    self.bind(part, item)


def symbol_type(body: Body, symbol: Symbol) -> Type:
    """The concrete type of a variable."""
    return body.substitution.type(pruned(symbol.type))


# ---- simple nodes -----------------------------------------------------------------------------


def _literal(body: Body, node: typed.Literal) -> Lowered:
    return Static(node.value, node.span)


def _size_value(body: Body, node: typed.SizeValue) -> Lowered:
    value = body.substitution.size(node.size).constant
    if value is None:
        raise body.fail("shape.size", f"{node.size} is not a whole number here", node.span)
    return Static(value, node.span)


def _local(body: Body, node: typed.Local) -> Lowered:
    value = body.environment[node.symbol]
    if isinstance(value, Cell):
        value = body.cells[value]
    if node.symbol.kind is typed.SymbolKind.INDEX and isinstance(value, Array):
        wanted = body.type(node)
        if isinstance(wanted, Tensor):
            dtype = body.dtype(wanted.element)
            return Array(arith.convert(body.builder, value.value, dtype))
    return value


def _tuple(body: Body, node: typed.MakeTuple) -> Lowered:
    return Tuple(tuple(body.lower(item) for item in node.items))


def _make_array(body: Body, node: typed.MakeArray) -> Lowered:
    items = [body.value(item) for item in node.items]
    return join_items(body, items, body.type(node))


def join_items(body: Body, items: list[Lowered], type_: Type) -> Lowered:
    """Values of one type along a new leading axis."""
    columns = [flatten(item) for item in items]
    joined: list[Value] = []
    for parts in zip(*columns, strict=True):
        shape = shape_of(parts[0].type)
        if not shape:
            joined.append(tensor.from_elements(body.builder, parts))
            continue
        lifted = [tensor.reshape(body.builder, part, (1, *shape)) for part in parts]
        joined.append(tensor.concatenate(body.builder, lifted, 0))
    return rebuild(type_, iter(joined))


def _make_record(body: Body, node: typed.MakeRecord) -> Lowered:
    type_ = body.type(node)
    assert isinstance(type_, RecordType)
    parts = {name: part for name, part, _ in children(type_)}
    fields: dict[str, Lowered] = {}
    for entry, value in zip(node.declaration.fields, node.fields, strict=True):
        fields[entry.name] = body.materialize(body.lower(value), parts[entry.name])
    return Record(type_, fields)


def _with_fields(body: Body, node: typed.WithFields) -> Lowered:
    record = body.value(node.record)
    assert isinstance(record, Record)
    parts = {name: part for name, part, _ in children(record.type)}
    changes = {
        name: body.materialize(body.lower(value), parts[name]) for name, value in node.changes
    }
    return Record(record.type, {**record.fields, **changes})


def _field(body: Body, node: typed.FieldOf) -> Lowered:
    record = body.lower(node.record)
    assert isinstance(record, Record)
    return record.fields[node.name]


def _params(body: Body, node: typed.ParamsOf) -> Lowered:
    return trained_part(body.value(node.record))


def trained_part(value: Lowered) -> Lowered:
    """The `Grad`-shaped part of a value."""
    match value:
        case Record(type_, fields):
            grad = gradient_type(type_)
            assert isinstance(grad, RecordType | StackType)
            parts = {name: trained_part(fields[name]) for name, _, _ in children(grad)}
            return Record(grad, parts)
        case Tuple(items):
            return Tuple(tuple(trained_part(item) for item in items))
        case _:
            return value


def _fill(body: Body, node: typed.Fill) -> Lowered:
    type_ = body.type(node)
    if isinstance(type_, Tensor) and not type_.shape:
        return Static(node.value)
    return fill(body, type_, node.value, node.span)


def fill(body: Body, type_: Type, value: int | float, span: Span) -> Lowered:
    """Every leaf of a concrete type filled with one number."""
    match pruned(type_):
        case Tensor(element, shape):
            sizes = [body.size(axis, span) for axis in shape if isinstance(axis, Size)]
            return Array(body.constant(value, body.dtype(element), *sizes))
        case TupleType(items):
            return Tuple(tuple(fill(body, item, value, span) for item in items))
        case RecordType() | StackType() as record:
            fields = {n: fill(body, part, value, span) for n, part, _ in children(record)}
            return Record(record, fields)
        case KeyType():
            return Array(body.constant(0, DType.I64))
        case other:
            raise CompilerBug(f"{other} cannot be filled")


def _block(body: Body, node: typed.Block) -> Lowered:
    for statement in node.statements:
        body.lower(statement)
    return body.lower(node.value) if node.value is not None else UNIT


def _bind(body: Body, node: typed.Bind) -> Lowered:
    body.bind(node.pattern, body.lower(node.value))
    return UNIT


Lower = Callable[[Body, typed.Node], Lowered]
_LOWER: dict[type[typed.Node], Lower] = {}


def register(kind: type[typed.Node], lower: Callable[..., Lowered]) -> None:
    """Say how nodes of a kind are lowered."""
    _LOWER[kind] = lower


for _kind, _lower in (
    (typed.Literal, _literal),
    (typed.SizeValue, _size_value),
    (typed.Local, _local),
    (typed.MakeTuple, _tuple),
    (typed.MakeArray, _make_array),
    (typed.MakeRecord, _make_record),
    (typed.WithFields, _with_fields),
    (typed.FieldOf, _field),
    (typed.ParamsOf, _params),
    (typed.Fill, _fill),
    (typed.Block, _block),
    (typed.Bind, _bind),
):
    register(_kind, _lower)
