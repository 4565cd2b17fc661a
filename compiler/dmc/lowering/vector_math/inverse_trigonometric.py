"""asin, acos, atan and atan2 (Cody, Waite 1980).

Identities bring the argument to where a polynomial in its square is short; π/2 and π enter as sums
of two numbers, so that their rounding does not add to the result's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dmc.lowering.vector_math.coefficients import ASIN, ATAN
from dmc.lowering.vector_math.constants import PI, parts

if TYPE_CHECKING:
    from dmc.lowering.vector_math.lanes import Lanes, Mask, Real


def atan(lanes: Lanes, x: Real) -> Real:
    """The angle in [-π/2, π/2] whose tangent is x."""
    a = abs(x)
    steep = a > 1.0
    q = lanes.select(steep, 1.0 / a, a)
    high, low = parts(PI / 2, lanes.format, 2)
    tail = _atan_tail(lanes, q)
    result = lanes.select(steep, high - (q + (tail - low)), q + tail)
    return result.with_sign_of(x)


def _atan_tail(lanes: Lanes, q: Real) -> Real:
    """atan(q) - q for 0 ≤ q ≤ 1."""
    square = q * q
    return q * square * lanes.polynomial(square, ATAN[lanes.format])


def atan2(lanes: Lanes, y: Real, x: Real) -> Real:
    """The angle in [-π, π] of the point (x, y), with IEEE 754's conventions at 0 and ∞."""
    a, b = abs(y), abs(x)
    steep = a > b
    smaller = lanes.select(steep, b, a)
    larger = lanes.select(steep, a, b)
    # Equal magnitudes cover ∞/∞; of 0/0 the quotient is taken to be 0.
    q = lanes.select(a.equals(b), 1.0, smaller / larger)
    q = lanes.select(larger.equals(0.0), 0.0, q)
    tail = _atan_tail(lanes, q)
    half_high, half_low = parts(PI / 2, lanes.format, 2)
    high, low = parts(PI, lanes.format, 2)
    behind = x.is_negative()
    # The angle is start ± (q + tail), where start is 0, π/2 or π.
    start = lanes.select(steep, half_high, lanes.select(behind, high, 0.0))
    start_low = lanes.select(steep, half_low, lanes.select(behind, low, 0.0))
    forwards = ~(steep ^ behind)
    signed_q = lanes.select(forwards, q, -q)
    signed_tail = lanes.select(forwards, tail, -tail)
    result = (start + (signed_q + (signed_tail + start_low))).with_sign_of(y)
    return lanes.select(x.is_nan() | y.is_nan(), x + y, result)


def asin(lanes: Lanes, x: Real) -> Real:
    """The angle in [-π/2, π/2] whose sine is x; NaN beyond [-1, 1]."""
    a = abs(x)
    far = a > 0.5
    root, tail = _asin_parts(lanes, a, far)
    high, low = parts(PI / 2, lanes.format, 2)
    steep = high - ((root + root) + (2.0 * tail - low))
    return lanes.select(far, steep, root + tail).with_sign_of(x)


def acos(lanes: Lanes, x: Real) -> Real:
    """The angle in [0, π] whose cosine is x; NaN beyond [-1, 1]."""
    a = abs(x)
    far = a > 0.5
    root, tail = _asin_parts(lanes, a, far)
    half_high, half_low = parts(PI / 2, lanes.format, 2)
    high, low = parts(PI, lanes.format, 2)
    near = half_high - (x - (half_low - tail.with_sign_of(x)))
    twice = 2.0 * root
    front = twice + 2.0 * tail
    back = high - (twice + (2.0 * tail - low))
    return lanes.select(far, lanes.select(x < 0.0, back, front), near)


def _asin_parts(lanes: Lanes, a: Real, far: Mask) -> tuple[Real, Real]:
    """(t, asin(t) - t) with t = a, or √((1 - a)/2) where `far`; asin(a) = π/2 - 2·asin(t) there."""
    half = 0.5 - 0.5 * a
    square = lanes.select(far, half, a * a)
    root = lanes.select(far, half.sqrt(), a)
    return root, root * square * lanes.polynomial(square, ASIN[lanes.format])
