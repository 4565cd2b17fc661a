"""hypot: the square root of a sum of squares, without overflow or underflow inside."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dmc.lowering.vector_math.lanes import Format

if TYPE_CHECKING:
    from dmc.lowering.vector_math.lanes import Lanes, Real


def hypot(lanes: Lanes, x: Real, y: Real) -> Real:
    """√(x² + y²): ∞ if either is, even beside NaN."""
    length = (_scaled if lanes.format is Format.F64 else _widened)(lanes, x, y)
    length = lanes.select(x.is_nan() | y.is_nan(), x + y, length)
    infinite = abs(x).equals(math.inf) | abs(y).equals(math.inf)
    return lanes.select(infinite, math.inf, length)


def _widened(lanes: Lanes, x: Real, y: Real) -> Real:
    """In double precision no square of a single leaves the range."""

    def plain(lanes: Lanes, x: Real, y: Real) -> Real:
        return lanes.fma(x, x, y * y).sqrt()

    return lanes.apply(plain, x, y)


def _scaled(lanes: Lanes, x: Real, y: Real) -> Real:
    """Both are brought near 1 by a power of two, which is exact."""
    format_ = lanes.format
    a, b = abs(x), abs(y)
    larger = a > b
    long, short = lanes.select(larger, a, b), lanes.select(larger, b, a)
    k = (long.bits() >> format_.fraction_bits) - format_.bias
    # 2⁻ᵏ stays a normal number.
    k = lanes.choose(k > format_.bias - 1, format_.bias - 1, k)
    factor = lanes.power_of_two(lanes.integer(0) - k)
    long, short = long * factor, short * factor
    return lanes.scale(lanes.fma(long, long, short * short).sqrt(), k)
