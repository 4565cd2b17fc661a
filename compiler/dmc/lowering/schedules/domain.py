"""Loops over the points that count: bounds that follow from the domain of a nest.

Along one dimension the points of a domain are an interval, whose ends are linear in the subscripts
of the loops around. Where only a range of these is known (the rows of a tile, say), or nothing
yet, the interval is that of all of them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dmc.dialects import arith
from dmc.ir.affine import AffineExpr
from dmc.ir.operation import Value
from dmc.ir.types import DType
from dmc.lowering.loop_builder import Linear, LoopBuilder, Subscript
from dmc.lowering.schedules.nest import Access, Nest

Range = tuple[Subscript, Subscript]
"""From the first subscript to the one past the last."""


@dataclass(frozen=True)
class Spread:
    """The subscripts from `first` on, `count` of them, one after the other."""

    first: Linear
    count: int = 1

    @property
    def last(self) -> Linear:
        return self.first + (self.count - 1)


Known = Mapping[int, Spread]
"""What is known of the subscripts of some dimensions."""


def at(positions: Mapping[int, Linear]) -> dict[int, Spread]:
    """Known subscripts."""
    return {d: Spread(position) for d, position in positions.items()}


class Domain:
    """The domain of a nest."""

    def __init__(self, b: LoopBuilder, nest: Nest) -> None:
        self.b = b
        self.nest = nest
        self.constraints = [_Constraint.of(b, nest, expr) for expr in nest.domain.constraints]

    def within(self, dimension: int, whole: Range, spreads: Known, unit: int = 1) -> Range:
        """The part of `whole`, along one dimension, in which all points that count are.

        It begins and ends at whole multiples of `unit` from the beginning of `whole`, or at its
        end.
        """
        b = self.b
        lower, upper = (Linear.of(end) for end in whole)
        length = upper + lower * -1
        before, within = Linear(), length
        for constraint in self.constraints:
            c = constraint.coefficients.get(dimension, 0)
            if not c and not self._is_open(constraint, spreads):
                continue
            most = self._most(constraint, dimension, spreads)
            if c > 0:
                first = _quotient(b, most * -1 + (c - 1), c) + lower * -1
                before = larger(b, before, smaller(b, first, length))
            elif c < 0:
                past = _quotient(b, most, -c) + lower * -1 + 1
                within = smaller(b, within, larger(b, past, Linear()))
            else:
                # Of `most` below 0 nothing is left, else everything.
                room = larger(b, most + 1, Linear())
                within = smaller(b, within, _times(b, room, length))
        before = _quotient(b, before, unit) * unit
        if within != length:
            within = smaller(b, _quotient(b, within + (unit - 1), unit) * unit, length)
        return known(b, lower + before), known(b, lower + larger(b, within, before))

    def _is_open(self, constraint: _Constraint, spreads: Known) -> bool:
        """Whether a constraint of known subscripts did not bound the loop over one of them."""
        dims = constraint.coefficients.keys()
        return dims <= spreads.keys() and dims.isdisjoint(self.nest.reduction_dims)

    def _most(self, constraint: _Constraint, but: int, spreads: Known) -> Linear:
        """The greatest value of a constraint without its part of dimension `but`."""
        total = constraint.rest
        for d, c in constraint.coefficients.items():
            if d == but:
                continue
            spread = spreads.get(d, Spread(Linear(), self.nest.sizes[d]))
            total = total + (spread.last if c > 0 else spread.first) * c
        return total


@dataclass(frozen=True)
class _Constraint:
    """`Σ coefficients[d] · i_d + rest` is not negative, over the dimensions of a nest."""

    coefficients: Mapping[int, int]
    rest: Linear

    @staticmethod
    def of(b: LoopBuilder, nest: Nest, expr: AffineExpr) -> _Constraint:
        own = len(nest.index_of)
        pairs = zip(nest.index_of, expr.coefficients[:own], strict=True)
        rest = Linear((), expr.constant)
        for access, c in zip((*nest.inputs, *nest.extras), expr.coefficients[own:], strict=False):
            if c:
                rest = rest + Linear.of(_number(b, access)) * c
        return _Constraint({d: c for d, c in pairs if c and d is not None}, rest)


def _number(b: LoopBuilder, access: Access) -> Value:
    """A 0-d integer."""
    value = b.load(access.buffer, [0]) if access.in_memory else access.buffer
    return arith.convert(b.builder, value, DType.I64)


def smaller(b: LoopBuilder, x: Linear, y: Linear) -> Linear:
    """The smaller of two subscripts."""
    if x.terms == y.terms:
        return x if x.constant <= y.constant else y
    return Linear.of(arith.minimum(b.builder, b.index(x), b.index(y)))


def larger(b: LoopBuilder, x: Linear, y: Linear) -> Linear:
    """The larger of two subscripts."""
    if x.terms == y.terms:
        return x if x.constant >= y.constant else y
    return Linear.of(arith.maximum(b.builder, b.index(x), b.index(y)))


def _quotient(b: LoopBuilder, x: Linear, by: int) -> Linear:
    """The quotient, rounded down."""
    if by == 1:
        return x
    if not x.terms:
        return Linear((), x.constant // by)
    return Linear.of(arith.floor_divide(b.builder, b.index(x), b.index(by)))


def _times(b: LoopBuilder, x: Linear, y: Linear) -> Linear:
    for one, other in ((x, y), (y, x)):
        if not one.terms:
            return other * one.constant
    return Linear.of(arith.multiply(b.builder, b.index(x), b.index(y)))


def known(b: LoopBuilder, linear: Linear) -> Subscript:
    """A bound of a loop, as a number where it is known."""
    return b.index(linear) if linear.terms else linear.constant
