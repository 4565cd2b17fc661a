"""What an expression is during lowering: numbers, IR values, structures of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from dmc.diagnostics.errors import CompilerBug
from dmc.dialects.derivatives import Problem
from dmc.ir import Value, dtype_of
from dmc.ir.location import Span
from dmc.semantics import typed
from dmc.semantics.typed import Symbol
from dmc.semantics.types import (
    KeyType,
    RecordType,
    StackType,
    Substitution,
    TensorType,
    TupleType,
    Type,
    children,
    gradient_type,
    pruned,
)

__all__ = [
    "Array", "Cell", "Function", "Lowered", "Pullback", "Record", "Static", "Tuple", "cells_in",
    "values_in", "flatten", "rebind", "rebuild", "trained_positions",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Static:
    """A number known at compile time; it adapts to the element type it meets.

    `span` is what gave it.
    """

    value: bool | int | float
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Array:
    """A tensor or key. `stretch` are the axes of size 1 made by `_`."""

    value: Value
    stretch: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Tuple:
    """A tuple; the empty one is what statements give."""

    items: tuple[Lowered, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """A record or a stack of records (then its leaves have leading axes)."""

    type: RecordType | StackType
    fields: Mapping[str, Lowered]


@dataclass(frozen=True, slots=True)
class Function:
    """A function value: what to call, the names it sees and what its generics stand for."""

    callee: typed.Callee
    environment: Mapping[Symbol, Lowered]
    substitution: Substitution


@dataclass(frozen=True, slots=True)
class Pullback:
    """The second result of `vjp`: the function and arguments to pull cotangents back through."""

    problem: Problem
    of: tuple[int, ...]
    target: Type


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A variable that function values change; `Body.cells` has what it holds at one point.

    So all that a function is passed through, and whoever passed it, see one variable.
    """

    name: str
    type: Type


Lowered = Static | Array | Tuple | Record | Function | Pullback | Cell

UNIT = Tuple(())


def flatten(value: Lowered) -> list[Value]:
    """The IR values of a structure, in the order of the leaves of its type."""
    match value:
        case Array(inner):
            return [inner]
        case Tuple(items):
            return [leaf for item in items for leaf in flatten(item)]
        case Record(_, fields):
            return [leaf for item in fields.values() for leaf in flatten(item)]
        case Static() | Function() | Pullback() | Cell():
            raise CompilerBug(f"{type(value).__name__} has no leaves")


def rebuild(type_: Type, leaves: Iterator[Value]) -> Lowered:
    """The structure of a concrete type from its leaves."""
    match pruned(type_):
        case TensorType() | KeyType():
            return Array(next(leaves))
        case TupleType(items):
            return Tuple(tuple(rebuild(item, leaves) for item in items))
        case RecordType() | StackType() as record:
            if isinstance(record, StackType) and not isinstance(_innermost(record), RecordType):
                return rebuild(record.item, leaves)
            return Record(
                record, {name: rebuild(part, leaves) for name, part, _ in children(record)}
            )
        case other:
            raise CompilerBug(f"{other} has no leaves")


def _innermost(type_: Type) -> Type:
    while isinstance(type_, StackType):
        type_ = type_.item
    return type_


def values_in(value: Lowered) -> Iterator[Value]:
    """Every IR value that a structure holds, those captured by functions too."""
    match value:
        case Array(inner):
            yield inner
        case Tuple(items):
            for item in items:
                yield from values_in(item)
        case Record(_, fields):
            for item in fields.values():
                yield from values_in(item)
        case Function(_, environment):
            for item in environment.values():
                yield from values_in(item)
        case Pullback(problem):
            yield from problem.arguments
        case Static() | Cell():
            return


def cells_in(value: Lowered) -> Iterator[Cell]:
    """Every variable that calls of the functions in a structure may change."""
    match value:
        case Cell():
            yield value
        case Tuple(items):
            for item in items:
                yield from cells_in(item)
        case Function(_, environment):
            for item in environment.values():
                yield from cells_in(item)
        case _:
            return


def rebind(value: Lowered, change: Callable[[Value], Value]) -> Lowered:
    """The same structure with its IR values replaced."""
    match value:
        case Array(inner, stretch):
            return Array(change(inner), stretch)
        case Tuple(items):
            return Tuple(tuple(rebind(item, change) for item in items))
        case Record(type_, fields):
            return Record(type_, {name: rebind(item, change) for name, item in fields.items()})
        case Function(callee, environment, substitution):
            changed = {symbol: rebind(item, change) for symbol, item in environment.items()}
            return Function(callee, changed, substitution)
        case Pullback(problem, of, target):
            arguments = tuple(map(change, problem.arguments))
            return Pullback(replace(problem, arguments=arguments), of, target)
        case Static() | Cell():
            return value


def trained_positions(value: Lowered) -> list[int]:
    """Positions of the differentiable leaves of a value among its leaves."""
    found: list[int] = []
    position = 0

    def visit(item: Lowered, istrained_positions: bool) -> None:
        nonlocal position
        match item:
            case Array(inner):
                if istrained_positions and dtype_of(inner.type).is_float:
                    found.append(position)
                position += 1
            case Tuple(items):
                for part in items:
                    visit(part, istrained_positions)
            case Record(type_, fields):
                kept = {name for name, _, _ in children(gradient_type(type_))}
                for name, part in fields.items():
                    visit(part, istrained_positions and name in kept)
            case _:
                raise CompilerBug("functions carry no derivative")

    visit(value, True)
    return found
