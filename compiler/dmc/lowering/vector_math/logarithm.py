"""log and log1p.

x = 2ᵏ·m with √½ ≤ m < √2; with f = m - 1 and s = f/(2 + f), log(m) = 2·atanh(s) is a polynomial in
s², arranged as f - (f²/2 - s·(f²/2 + …)) so that the leading term is exact (Ng's method, as in
Sun's fdlibm; Muller, Elementary Functions, chapter 5).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dmc.lowering.vector_math.coefficients import LOG
from dmc.lowering.vector_math.constants import LN2, short_parts

if TYPE_CHECKING:
    from dmc.lowering.vector_math.lanes import Integer, Lanes, Real


def decompose(lanes: Lanes, x: Real) -> tuple[Integer, Real]:
    """(k, m) with x = 2ᵏ·m and √½ ≤ m < √2, for finite x > 0, subnormal numbers included."""
    format_ = lanes.format
    raised = format_.fraction_bits + 2
    tiny = x < 2.0 ** (1 - format_.bias)
    bits = lanes.select(tiny, x * 2.0**raised, x).bits()
    k = (bits - format_.encode(math.sqrt(0.5))) >> format_.fraction_bits
    m = (bits - (k << format_.fraction_bits)).as_real()
    return k - lanes.choose(tiny, raised, 0), m


def _combine(lanes: Lanes, k: Integer, m: Real, correction: Real | None = None) -> Real:
    """k·ln(2) + log(m) + correction."""
    high, low = short_parts(LN2, lanes.format, 12)
    f = m - 1.0
    s = f / (2.0 + f)
    square = s * s
    half = 0.5 * f * f
    tail = s * lanes.fma(square, lanes.polynomial(square, LOG[lanes.format]), half)
    multiple = lanes.to_real(k)
    if correction is None:
        tail = lanes.fma(multiple, low, tail)
    else:
        tail = tail + lanes.fma(multiple, low, correction)
    return lanes.fma(multiple, high, f - (half - tail))


def log(lanes: Lanes, x: Real) -> Real:
    """The natural logarithm: -∞ at ±0, NaN below."""
    result = lanes.select(x < math.inf, _combine(lanes, *decompose(lanes, x)), x)
    return lanes.select(x.equals(0.0), -math.inf, lanes.select(x < 0.0, math.nan, result))


def log1p(lanes: Lanes, x: Real) -> Real:
    """log(1 + x), to full precision near 0: -∞ at -1, NaN below."""
    u = 1.0 + x
    # What rounding 1 + x lost, relative to u: log(1 + x) = log(u) + lost/u to first order.
    lost = lanes.select(x < 1.0, x - (u - 1.0), 1.0 - (u - x))
    result = lanes.select(x < math.inf, _combine(lanes, *decompose(lanes, u), lost / u), x)
    at_least = lanes.select(x.equals(-1.0), -math.inf, result)
    return lanes.select(x < -1.0, math.nan, at_least).with_sign_of(x)
