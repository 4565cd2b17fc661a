"""Zones of a dimension: in each, clamps, wraps and comparisons of subscripts are decided.

`x[maximum(i - 1, 0)]` is `x[i - 1]` from 1 on, and `x[(i + 1) % n]` is `x[i + 1]` but for the last
element. So most of a loop needs no clamps and reads vectors as they lie; what is left over is a
thin border, where the code stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dmc.dialects import arith
from dmc.dialects.arith import Direction
from dmc.ir.affine import AffineExpr
from dmc.ir.attributes import DenseElements
from dmc.ir.operation import Block, Builder, Operation, Value
from dmc.ir.types import DType
from dmc.lowering.schedules.nest import Nest
from dmc.transforms.generics import affine_value
from dmc.transforms.scalar_subscripts import Space, Subscripts

MOST_ZONES = 4
"""Code that would fall into more zones stays as it is."""


@dataclass(frozen=True)
class Zone:
    """The body as it is for subscripts from `lower` to `upper` of one dimension."""

    lower: int
    upper: int
    body: Block


def zones(nest: Nest, dimension: int, lanes: int) -> list[Zone]:
    """The whole of a dimension, in order: zones of whole vectors, and borders between them.

    A border has the body of the nest itself.
    """
    size = nest.sizes[dimension]
    ends = _breakpoints(nest, dimension)
    found: list[Zone] = []
    border = 0
    for lower, upper in zip([0, *ends], [*ends, size], strict=True):
        first = -(-lower // lanes) * lanes
        past = size if upper == size else upper // lanes * lanes
        if not ends or first >= past:
            continue
        if border < first:
            found.append(Zone(border, first, nest.body))
        found.append(Zone(first, past, _within(nest, dimension, first, past)))
        border = past
    if border < size:
        found.append(Zone(border, size, nest.body))
    return found if len(found) <= 2 * MOST_ZONES else [Zone(0, size, nest.body)]


def _space(nest: Nest) -> list[int]:
    """The sizes of the dimensions that subscripts name."""
    return [1 if d is None else nest.sizes[d] for d in nest.index_of]


# Where something is decided


def _breakpoints(nest: Nest, dimension: int) -> list[int]:
    """The subscripts at which some operation of the body changes its ways, ascending."""
    subscripts = Subscripts(Space(_space(nest)))
    found: set[int] = set()
    for op in nest.body:
        for expr in _turning(op, subscripts):
            dims = {nest.index_of[d] for d in expr.dims()}
            if expr.is_affine and dims == {dimension}:
                found.add(_first(expr))
    return sorted(d for d in found if 0 < d < nest.sizes[dimension])


def _first(expr: AffineExpr) -> int:
    """The first subscript of those where an expression of one dimension keeps its sign."""
    (c,) = (c for c in expr.coefficients if c)
    return -(expr.constant // c) if c > 0 else expr.constant // -c + 1


def _turning(op: Operation, subscripts: Subscripts) -> Sequence[AffineExpr]:
    """Expressions whose becoming negative changes what an operation does."""
    if not isinstance(
        op, arith.Maximum | arith.Minimum | arith.FloorDivide | arith.Remainder | arith.Compare
    ):
        return ()
    x, y = subscripts.of(op.lhs), subscripts.of(op.rhs)
    if x is None or y is None:
        return ()
    match op:
        case arith.Maximum() | arith.Minimum():
            return (x - y,)
        case arith.FloorDivide() | arith.Remainder() if not y.dims() and y.constant > 0:
            low, high = x.bounds(subscripts.sizes)
            quotients = range(low // y.constant + 1, high // y.constant + 1)
            many = len(quotients) > MOST_ZONES
            return () if many else [x.plus(-q * y.constant) for q in quotients]
        case arith.Compare():
            return _turning_comparison(op.direction, x - y)
        case _:
            return ()


def _turning_comparison(direction: Direction, expr: AffineExpr) -> Sequence[AffineExpr]:
    match direction:
        case Direction.GE | Direction.LT:
            return (expr,)
        case Direction.GT | Direction.LE:
            return (expr.scaled(-1),)
        case Direction.EQ | Direction.NE:
            return (expr, expr.scaled(-1))


# The code of a zone


def _within(nest: Nest, dimension: int, lower: int, upper: int) -> Block:
    """The body for a part of a dimension, with what is decided there."""
    sizes = _space(nest)
    named = [d for d, own in enumerate(nest.index_of) if own == dimension]
    starts = dict.fromkeys(named, lower)
    for d in named:
        sizes[d] = upper - lower
    subscripts = Subscripts(Space(sizes, starts))
    block = Block()
    builder = Builder(block)
    mapping: dict[Value, Value] = {arg: block.add_arg(arg.type, arg.name) for arg in nest.body.args}
    for op in nest.body:
        decided = _decided(op, subscripts, mapping, builder)
        if decided is None:
            new = op.clone(mapping)
            builder.insert(new)
            decided = _folded(new, builder)
        if decided is not None:
            mapping[op.results[0]] = decided
    for op in reversed(block):
        if op.results and not any(value.uses for value in op.results):
            op.erase()
    return block


def _decided(
    op: Operation, subscripts: Subscripts, mapping: Mapping[Value, Value], builder: Builder
) -> Value | None:
    """What the result of an operation on subscripts is in a zone, if it is simpler there."""
    match op:
        case arith.Maximum() | arith.Minimum() | arith.FloorDivide() | arith.Remainder():
            expr = subscripts.of(op.result)
            if expr is None or not expr.is_affine:
                return None
            for value in op.operands:
                if subscripts.of(value) == expr:
                    return mapping[value]
            return affine_value(builder, subscripts.space.from_zero(expr))
        case arith.Compare():
            x, y = subscripts.of(op.lhs), subscripts.of(op.rhs)
            if x is None or y is None:
                return None
            truth = _compared(op.direction, *(x - y).bounds(subscripts.sizes))
            return None if truth is None else arith.scalar(builder, truth, DType.BOOL)
        case _:
            return None


def _compared(direction: Direction, low: int, high: int) -> bool | None:
    """How a number from `low` to `high` compares with 0, if all of them do so."""
    match direction:
        case Direction.LT | Direction.GE:
            below = True if high < 0 else False if low >= 0 else None
            return below if below is None or direction is Direction.LT else not below
        case Direction.LE | Direction.GT:
            below = True if high <= 0 else False if low > 0 else None
            return below if below is None or direction is Direction.LE else not below
        case Direction.EQ | Direction.NE:
            if low <= 0 <= high:
                return None
            return direction is Direction.NE


def _folded(op: Operation, builder: Builder) -> Value | None:
    """What an operation is once its operands are known; the operation goes then."""
    if not isinstance(op, arith.Select | arith.And | arith.Or):
        return None
    match op.fold():
        case (Value() as value,):
            op.erase()
            return value
        case (DenseElements() as constant,):
            value = arith.constant(builder, constant.array, op.result.type)
            op.erase()
            return value
        case _:
            return None
