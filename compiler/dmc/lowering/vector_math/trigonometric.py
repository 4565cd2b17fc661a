"""sin, cos and tan.

The argument is reduced to |r| ≤ π/4 with r as an unevaluated sum of two numbers, from a multiple of
π/2 in three parts (Cody, Waite) while |x| is moderate, and from the bits of 2/π that matter (Payne,
Hanek 1983) for the lanes where it is huge. Two polynomials give sin(r) and cos(r).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dmc.lowering.vector_math.coefficients import COS, SIN
from dmc.lowering.vector_math.constants import PI, parts
from dmc.lowering.vector_math.lanes import Format
from dmc.lowering.vector_math.payne_hanek import reduce_huge

if TYPE_CHECKING:
    from dmc.lowering.vector_math.lanes import Integer, Lanes, Real

# Below these the nearest multiple of π/2 is found by one multiplication.
_MODERATE = {Format.F32: 2.0**14, Format.F64: 2.0**30}


def reduce(lanes: Lanes, x: Real) -> tuple[Real, Real, Integer]:
    """(high, low, k) with x = k·π/2 + high + low; k is right modulo 4."""
    first, second, third = parts(PI / 2, lanes.format, 3)
    multiple, k = lanes.nearest(x, 2 / math.pi)
    if lanes.machine.has_fma:
        # Exact: a multiple of the last bit of `first` that is below 1.
        r = lanes.fma(multiple, -first, x)
    else:
        taken, error = lanes.product(multiple, first)
        r = (x - taken) - error
    taken, error = lanes.product(multiple, second)
    r, lost = lanes.two_sum(r, -taken)
    high, low = lanes.sum(r, (lost - error) - multiple * third)
    huge = (abs(x) > _MODERATE[lanes.format]) & (abs(x) < math.inf)
    return reduce_huge(lanes, x, huge, (high, low, k))


def sin_reduced(lanes: Lanes, high: Real, low: Real) -> Real:
    """sin(high + low) for |high| ≤ π/4."""
    square = high * high
    tail = high * square * lanes.polynomial(square, SIN[lanes.format])
    return high + (tail + lanes.fma(-0.5 * square, low, low))


def cos_reduced(lanes: Lanes, high: Real, low: Real) -> Real:
    """cos(high + low) for |high| ≤ π/4."""
    square = high * high
    half = 0.5 * square
    main = 1.0 - half
    tail = lanes.fma(square * square, lanes.polynomial(square, COS[lanes.format]), -(high * low))
    return main + (((1.0 - main) - half) + tail)


def _negate_if(lanes: Lanes, x: Real, bit_one: Integer) -> Real:
    """-x where bit 1 of the integer is set."""
    return (x.bits() ^ ((bit_one & 2) << (lanes.format.bits - 2))).as_real()


def sin_cos(lanes: Lanes, x: Real) -> tuple[Real, Real]:
    """Sine and cosine: what either needs is nearly all of what both need."""
    high, low, k = reduce(lanes, x)
    even = (k & 1).equals(0)
    s, c = sin_reduced(lanes, high, low), cos_reduced(lanes, high, low)
    sine = _negate_if(lanes, lanes.select(even, s, c), k)
    cosine = _negate_if(lanes, lanes.select(even, c, s), k + 1)
    return lanes.select(x.equals(0.0), x, sine), cosine


def sin(lanes: Lanes, x: Real) -> Real:
    """The sine; NaN at ±∞."""
    return sin_cos(lanes, x)[0]


def cos(lanes: Lanes, x: Real) -> Real:
    """The cosine; NaN at ±∞."""
    return sin_cos(lanes, x)[1]


def tan(lanes: Lanes, x: Real) -> Real:
    """The tangent; NaN at ±∞."""
    high, low, k = reduce(lanes, x)
    even = (k & 1).equals(0)
    s, c = sin_reduced(lanes, high, low), cos_reduced(lanes, high, low)
    result = lanes.select(even, s, c) / lanes.select(even, c, -s)
    return lanes.select(x.equals(0.0), x, result)
