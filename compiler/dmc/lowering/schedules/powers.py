"""Powers whose exponent is a subscript, as products of powers that loops share.

Where n = Σ cᵢ·i + c for loop variables i and lanes, xⁿ is a product of a power for the loop
variables and one for the lanes, each from the squares x, x², x⁴, … and each computed in the
outermost loop that allows it: in an inner loop one product is left (strength reduction: Allen,
Cocke and Kennedy 1981). All numbers on the way are twofold, a sum of a number and what it lacks
(Dekker 1971), and the result is rounded once.

A product leaves out the product of both low parts. The low part of x to the power 2ᵏ is some 2ᵏ
units in the last place, since every squaring doubles it; so that is 2²ᵏ units of a unit, and
squares are normalized before it shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd, isfinite

from dmc.dialects import arith, kernel, math
from dmc.dialects.elementwise import splat_of
from dmc.dialects.loop import INDEX
from dmc.ir.operation import Block, Value
from dmc.ir.types import DType, VectorType, dtype_of
from dmc.lowering.loop_builder import Linear, LoopBuilder, lanes_of
from dmc.lowering.schedules.nest import Nest

MOST_BITS = 14
"""A product of more squares than this is no cheaper than an exponential and a logarithm."""

_EXACT = {DType.F32: 24, DType.F64: 53, DType.I32: 31, DType.I64: 63}
"""Whole numbers up to 2 to this power are numbers of the type."""


@dataclass(frozen=True)
class Exponent:
    """`Σ coefficient · subscript + constant`, a whole number from `low` to `high`."""

    coefficients: tuple[tuple[int, int], ...]
    constant: int
    low: int
    high: int

    @staticmethod
    def of(value: Value, nest: Nest) -> Exponent | None:
        """What a value of a body is, if it is such a number and nothing on the way is rounded."""
        row = _row(value, nest)
        if row is None:
            return None
        coefficients = tuple((d, c) for d, c in row.terms.items() if c)
        return Exponent(coefficients, row.constant, *row.range(nest)) if coefficients else None

    @property
    def most(self) -> int:
        """The largest of its sizes."""
        return max(-self.low, self.high)

    @property
    def is_product(self) -> bool:
        """Whether powers by it, or by what is opposite to it, are products of few squares."""
        return self.low * self.high >= 0 and self.most.bit_length() <= MOST_BITS


APower = math.Power | math.PowerPartial
Exponents = Mapping[APower, Exponent]


def exponents_of(block: Block, nest: Nest) -> Exponents:
    """The powers of a body that are products, with their exponents."""
    found: dict[APower, Exponent] = {}
    for op in block:
        if not isinstance(op, math.Power | math.PowerPartial):
            continue
        exponent = Exponent.of(op.rhs, nest)
        if exponent is None or not exponent.is_product:
            continue
        if isinstance(op, math.PowerPartial) and (op.exponent_order or exponent.low < 0):
            continue
        if dtype_of(op.lhs.type) in (DType.F32, DType.F64):
            found[op] = exponent
    return found


@dataclass(frozen=True)
class _Row:
    terms: dict[int, int]
    constant: int

    def plus(self, other: _Row, times: int) -> _Row:
        keys = {**self.terms, **other.terms}
        terms = {d: self.terms.get(d, 0) + times * other.terms.get(d, 0) for d in keys}
        return _Row(terms, self.constant + times * other.constant)

    def range(self, nest: Nest) -> tuple[int, int]:
        ends = [c * (nest.sizes[d] - 1) for d, c in self.terms.items()]
        low, high = (sum(pick(end, 0) for end in ends) for pick in (min, max))
        return self.constant + low, self.constant + high


def _row(value: Value, nest: Nest) -> _Row | None:
    row = _row_of(value, nest)
    if row is None or dtype_of(value.type) not in _EXACT:
        return None
    low, high = row.range(nest)
    return row if max(-low, high) <= 1 << _EXACT[dtype_of(value.type)] else None


def _row_of(value: Value, nest: Nest) -> _Row | None:
    number = splat_of(value)
    if number is not None:
        return _Row({}, int(number)) if isfinite(number) and number == int(number) else None
    zero = _Row({}, 0)
    match value.defining_op:
        case kernel.Index(dim=dim):
            d = nest.index_of[dim]
            return zero if d is None else _Row({d: 1}, 0)
        case arith.Convert(operands=(x,)):
            return _row(x, nest)
        case arith.Negate(operands=(x,)):
            row = _row(x, nest)
            return None if row is None else zero.plus(row, -1)
        case arith.Add() | arith.Subtract() | arith.Multiply() as op:
            left, right = (_row(operand, nest) for operand in op.operands)
            if left is None or right is None:
                return None
            if not isinstance(op, arith.Multiply):
                return left.plus(right, 1 if isinstance(op, arith.Add) else -1)
            number, row = (left, right) if not left.terms else (right, left)
            return None if number.terms else zero.plus(row, number.constant)
        case _:
            return None


@dataclass(frozen=True)
class At:
    """Exponents in some loop: `start + step · lane`, for a number of lanes, from 0 to `most`."""

    start: Linear
    step: int
    lanes: int
    most: int

    def __neg__(self) -> At:
        return At(self.start * -1, -self.step, self.lanes, self.most)

    def number(self, b: LoopBuilder) -> Value:
        """The exponents, in every lane."""
        number = b.broadcast(b.index(self.start), self.lanes)
        if self.step == 0 or self.lanes == 1:
            return number
        return arith.add(b.builder, number, b.iota(self.lanes, self.step))


@dataclass(frozen=True)
class _Twofold:
    """`high + low`; the low part is small beside the high one, and 0 if there is none."""

    high: Value
    low: Value | None = None


class Powers:
    """The powers in a nest; what several of them share is computed once."""

    def __init__(self, b: LoopBuilder) -> None:
        self.b = b
        self._bases: dict[tuple[Value, int, bool], _Base] = {}

    def power(self, x: Value, at: At, inverse: bool = False) -> Value:
        """x, or 1/x if `inverse`, to the power `at`."""
        base = self._base(x, at.lanes, inverse)
        return base.rounded(base.power(at))

    def power_in_lanes(self, x: Value, number: Value, most: int, inverse: bool = False) -> Value:
        """The same for exponents that are numbers; where one is not from 0 to `most`, anything."""
        base = self._base(x, max(lanes_of(x), lanes_of(number)), inverse)
        number = self.b.broadcast(number, base.lanes) if lanes_of(number) == 1 else number
        return base.rounded(base.of_bits(number, range(most.bit_length())))

    def _base(self, x: Value, lanes: int, inverse: bool) -> _Base:
        found = self._bases.get((x, lanes, inverse))
        if found is None:
            found = self._bases[x, lanes, inverse] = _Base(self.b, x, lanes, inverse)
        return found


class _Base:
    """What is raised to powers, in the lanes of a vector."""

    def __init__(self, b: LoopBuilder, x: Value, lanes: int, inverse: bool) -> None:
        self.b = b
        self.home = b.home([x])
        self.lanes = lanes
        with b.inside(self.home):
            spread = x if lanes_of(x) == lanes else b.broadcast(x, lanes)
            self.one, self.zero = (b.constant(number, spread.type) for number in (1.0, 0.0))
            self._squares = [self._inverse(spread) if inverse else _Twofold(spread)]
        self._along: dict[tuple[int, int], _Twofold] = {}
        self._fixed: dict[int, _Twofold] = {}
        self._moving: dict[Linear, _Twofold] = {}

    def power(self, at: At) -> _Twofold:
        """A part for the lanes, times one for the loop variables."""
        bits = at.most.bit_length()
        start, rest = self._split(at.start + min(at.step, 0) * (at.lanes - 1))
        known = self._along_lanes(rest, at.step) if at.step else self._constant(rest)
        first = self._bits_of(start, bits)
        if first is None:
            return known
        if start not in self._moving:
            with self.b.inside(self.b.home([self._squares[0].high, *(v for v, _ in start.terms)])):
                number = self.b.broadcast(self.b.index(start), self.lanes)
                self._moving[start] = self.of_bits(number, first)
        return self._times(self._moving[start], known)

    def _split(self, at: Linear) -> tuple[Linear, int]:
        """A part that moves with loop variables and is at least 0, and a rest that is, too."""
        least = 0
        for value, coefficient in at.terms:
            known = _facts(self.b, value)
            end = known.low if coefficient > 0 else known.high
            if end is None:
                return at, 0
            least -= coefficient * end
        if at.constant < least:
            return at, 0
        return Linear(at.terms, least), at.constant - least

    def _bits_of(self, start: Linear, bits: int) -> range | None:
        """Those of its bits that can be 1; None for 0 itself."""
        multiple = abs(start.constant)
        for value, coefficient in start.terms:
            multiple = gcd(multiple, coefficient * _facts(self.b, value).multiple)
        if multiple == 0:
            return None
        return range((multiple & -multiple).bit_length() - 1, bits)

    def _along_lanes(self, rest: int, step: int) -> _Twofold:
        """To the power `rest + step · lane`, from the last lane on if `step` is negative."""
        found = self._along.get((rest, step))
        if found is not None:
            return found
        b = self.b
        with b.inside(self.home):
            if rest:
                low = rest & -rest
                found = self._times(self._along_lanes(rest - low, step), self._constant(low))
            else:
                number = b.iota(self.lanes, step)
                if step < 0:
                    last = b.constant(-step * (self.lanes - 1), number.type)
                    number = arith.add(b.builder, number, last)
                bits = (abs(step) * (self.lanes - 1)).bit_length()
                found = self.of_bits(number, range(bits))
        self._along[rest, step] = found
        return found

    def _constant(self, exponent: int) -> _Twofold:
        if exponent == 0:
            return _Twofold(self.one)
        found = self._fixed.get(exponent)
        if found is None:
            low = exponent & -exponent
            found = self._square(low.bit_length() - 1)
            if exponent != low:
                with self.b.inside(self.home):
                    found = self._times(self._constant(exponent - low), found)
            self._fixed[exponent] = found
        return found

    def of_bits(self, exponent: Value, bits: Sequence[int]) -> _Twofold:
        """The product of the squares that a number is the sum of."""
        b, total = self.b, _Twofold(self.one)
        for i, k in enumerate(bits):
            square = self._square(k)
            bit = b.constant(1 << k, exponent.type)
            masked = b.insert(arith.And([exponent, bit])).result
            there = arith.compare(b.builder, arith.Direction.EQ, masked, bit)
            high = arith.select(b.builder, there, square.high, self.one)
            low = square.low and arith.select(b.builder, there, square.low, self.zero)
            factor = _Twofold(high, low)
            total = self._times(total, factor) if i else factor
        return total

    def _square(self, k: int) -> _Twofold:
        """To the power 2ᵏ."""
        with self.b.inside(self.home):
            while len(self._squares) <= k:
                before = self._squares[-1]
                square = self._times(before, before)
                # The units of a unit that the next one leaves out, as the heading says.
                shows = 2 * len(self._squares) + 10 > _EXACT[dtype_of(square.high.type)]
                self._squares.append(self._normalized(square) if shows else square)
        return self._squares[k]

    # Twofold numbers

    def _times(self, x: _Twofold, y: _Twofold) -> _Twofold:
        if x.high is self.one:
            return y
        if y.high is self.one:
            return x
        b = self.b
        high, low = b.product(x.high, y.high)
        if y.low is not None:
            low = b.fma(x.high, y.low, low)
        if x.low is not None:
            low = b.fma(x.low, y.high, low)
        return _Twofold(high, low)

    def _inverse(self, x: Value) -> _Twofold:
        """1/x: what the quotient lacks is (1 - quotient · x)/x."""
        b = self.b
        quotient = arith.divide(b.builder, self.one, x)
        high, low = b.product(quotient, x)
        lacks = arith.subtract(b.builder, arith.subtract(b.builder, self.one, high), low)
        return _Twofold(quotient, arith.multiply(b.builder, quotient, lacks))

    def _normalized(self, x: _Twofold) -> _Twofold:
        """The same sum with the low part below a unit of the high one."""
        b, low = self.b, x.low
        assert low is not None
        high = self.rounded(x)
        left = arith.subtract(b.builder, high, x.high)
        return _Twofold(high, arith.subtract(b.builder, low, left))

    def rounded(self, x: _Twofold) -> Value:
        """The sum; what an infinite number lacks is infinite or NaN, and -0.0 lacks 0.0."""
        if x.low is None:
            return x.high
        b = self.b
        total = arith.add(b.builder, x.high, x.low)
        size = b.insert(arith.Abs([total])).result
        counts = arith.compare(b.builder, arith.Direction.GT, size, self.zero)
        return arith.select(b.builder, counts, total, x.high)


@dataclass(frozen=True)
class _Facts:
    """A multiple of a number (only 0 is one of 0), from `low` to `high` where they are known."""

    multiple: int = 1
    low: int | None = None
    high: int | None = None


def _facts(b: LoopBuilder, value: Value) -> _Facts:
    """What is known of an `i64` value: of loop variables, and of what schedules make of them."""
    if isinstance(value.type, VectorType) or value.type != INDEX:
        return _Facts()
    number = splat_of(value)
    if number is not None:
        return _Facts(abs(int(number)), int(number), int(number))
    bounds = b.bounds_of(value)
    if bounds is not None:
        lower, upper, step = (*(_facts(b, end) for end in bounds[:2]), bounds[2])
        high = None if upper.high is None else upper.high - 1
        if lower.low is not None and lower.low == lower.high and high is not None:
            high = lower.low + max(0, high - lower.low) // step * step
        return _Facts(gcd(lower.multiple, step), lower.low, high)
    match value.defining_op:
        case arith.Add(operands=(left, right)):
            x, y = _facts(b, left), _facts(b, right)
            return _Facts(gcd(x.multiple, y.multiple), _both(x.low, y.low), _both(x.high, y.high))
        case arith.Multiply(operands=(left, right)):
            x, factor = _facts(b, left), splat_of(right)
            if factor is None or factor < 0:
                return _Facts()
            n = int(factor)
            low, high = (None if end is None else end * n for end in (x.low, x.high))
            return _Facts(x.multiple * n, low, high)
        case arith.Minimum(operands=(left, right)):
            x, y = _facts(b, left), _facts(b, right)
            low = None if x.low is None or y.low is None else min(x.low, y.low)
            high = min((end for end in (x.high, y.high) if end is not None), default=None)
            return _Facts(gcd(x.multiple, y.multiple), low, high)
        case arith.Maximum(operands=(left, right)):
            x, y = _facts(b, left), _facts(b, right)
            low = max((end for end in (x.low, y.low) if end is not None), default=None)
            high = None if x.high is None or y.high is None else max(x.high, y.high)
            return _Facts(gcd(x.multiple, y.multiple), low, high)
        case _:
            return _Facts()


def _both(x: int | None, y: int | None) -> int | None:
    return None if x is None or y is None else x + y
