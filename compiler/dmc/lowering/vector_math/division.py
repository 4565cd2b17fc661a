"""Remainder and floor division of Python and NumPy, exact at every ratio.

The quotient of a step is at most 2⁵², so that it is a whole number exactly, and what it leaves is a
number of the format: one fused multiply-add gives it without error. A ratio beyond that takes
several steps, each of which divides by a power of two times the divisor (as fdlibm's `fmod` does,
a bit at a time). One step is enough for nearly all operands.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dmc.lowering.vector_math.lanes import Integer, Lanes, Real

_STEP_BITS = 51


def remainder(lanes: Lanes, x: Real, y: Real) -> Real:
    """What `x // y` whole `y` leave of x, with the sign of y (also of a zero)."""
    rest = lanes.apply(_truncated_remainder, x, y)
    below = rest.is_negative() ^ y.is_negative()
    moved = lanes.select(below, rest + y, rest)
    return lanes.select(rest.equals(0.0), rest.with_sign_of(y), moved)


def floor_divide(lanes: Lanes, x: Real, y: Real) -> Real:
    """The whole number below x / y: the quotient of what is left after the remainder (NumPy)."""
    rest = lanes.apply(_truncated_remainder, x, y)
    below = (rest.is_negative() ^ y.is_negative()) & ~rest.equals(0.0)
    quotient = (x - rest) / y
    quotient = lanes.select(below, quotient - 1.0, quotient)
    whole = quotient.floor()
    whole = lanes.select(quotient - whole > 0.5, whole + 1.0, whole)
    ratio = x / y
    whole = lanes.select(quotient.equals(0.0), lanes.real(0.0).with_sign_of(ratio), whole)
    return lanes.select(y.equals(0.0), ratio, whole)


def _truncated_remainder(lanes: Lanes, x: Real, y: Real) -> Real:
    """C's `fmod` in double precision: what is left of x has its sign; NaN for ∞ or by 0."""
    a, b = abs(x), abs(y)
    defined = (a < math.inf) & (b > 0.0)
    divisor = lanes.select(defined, b, 1.0)
    exponent = _exponent_of(lanes, divisor)

    def step(rest: Real) -> Real:
        places = rest.bits() >> lanes.format.fraction_bits
        more = places - exponent - _STEP_BITS
        # Next to subnormal numbers the ratio is below 2⁵² as it is.
        more = lanes.choose((more > 0) & (places > 0), more, 0)
        scaled = lanes.scale(divisor, more)
        times = (rest / scaled).floor()
        # The rounded ratio may have reached the next whole number, even one beyond the range.
        times = lanes.select(times * scaled > rest, times - 1.0, times)
        high, low = lanes.product(times, scaled)
        left = (rest - high) - low
        left = lanes.select(left < 0.0, left + scaled, left)
        return lanes.select(rest >= divisor, left, rest)

    rest = lanes.repeat(lanes.select(defined, a, 0.0), step, lambda rest: rest >= divisor)
    return lanes.select(defined, rest, math.nan).with_sign_of(x)


def _exponent_of(lanes: Lanes, x: Real) -> Integer:
    """The biased exponent of x > 0, carried on below 1 for subnormal numbers."""
    format_ = lanes.format
    raised = format_.fraction_bits + 1
    tiny = x < 2.0 ** (1 - format_.bias)
    bits = lanes.select(tiny, x * 2.0**raised, x).bits() >> format_.fraction_bits
    return bits - lanes.choose(tiny, raised, 0)
