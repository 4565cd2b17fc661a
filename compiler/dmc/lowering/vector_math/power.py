"""power: xʸ = exp(y·log|x|), with the logarithm as a sum of two numbers.

The exponential magnifies an absolute error of y·log|x|, which can be as large as 745, so about ten
bits more than the format has are needed (Muller, Elementary Functions, chapter 10). For f32 double
precision has them; for f64 the leading terms of the series are carried twofold (Dekker 1971).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from dmc.dialects.math import power_factors
from dmc.lowering.vector_math.coefficients import LOG_TAIL
from dmc.lowering.vector_math.constants import LN2, parts, short_parts
from dmc.lowering.vector_math.exponential import exp_scaled
from dmc.lowering.vector_math.lanes import Format
from dmc.lowering.vector_math.logarithm import decompose, log

if TYPE_CHECKING:
    from dmc.lowering.vector_math.lanes import Lanes, Real


def power(lanes: Lanes, x: Real, y: Real) -> Real:
    """x to the power y, with the exceptional cases of IEEE 754-2019, 9.2.1 (`pow`)."""
    if lanes.format is Format.F32:
        return lanes.apply(_power_plain, x, y)
    high, low = _twofold_log(lanes, abs(x))
    product, error = lanes.product(y, high)
    # Past overflow the error term may be ∞ - ∞, and no longer matters.
    low = lanes.select(abs(product) < 1000.0, lanes.fma(y, low, error), 0.0)
    return _with_exceptions(lanes, x, y, exp_scaled(lanes, product, low))


def _power_plain(lanes: Lanes, x: Real, y: Real) -> Real:
    return _with_exceptions(lanes, x, y, exp_scaled(lanes, y * log(lanes, abs(x))))


def power_partial(lanes: Lanes, x: Real, y: Real, base_order: int, exponent_order: int) -> Real:
    """The derivative of xʸ, so many times in x and in y (`math.power_partial`)."""
    plain = lanes.format is Format.F32

    def partial(lanes: Lanes, x: Real, y: Real) -> Real:
        lower = y - float(base_order)
        factor = (_power_plain if plain else power)(lanes, x, lower)
        total = lanes.real(0.0)
        finite = (x < 0.0) | (x.equals(0.0) & (lower >= 0.0))
        logarithm = lanes.select(finite, 0.0, log(lanes, x)) if exponent_order else lanes.real(0.0)
        for term in power_factors(y, lanes.real(1.0), base_order, exponent_order):
            total = lanes.select(total.equals(0.0), 0.0, total * logarithm) + term
        nothing = total.equals(0.0) | factor.equals(0.0)
        return lanes.select(nothing, 0.0, total * factor)

    return lanes.apply(partial, x, y)


def _with_exceptions(lanes: Lanes, x: Real, y: Real, magnitude: Real) -> Real:
    """xʸ from |x|ʸ as computed for finite x ≠ 0."""
    a = abs(x)
    half = 0.5 * y
    whole = y.floor().equals(y)
    odd = whole & ~half.floor().equals(half)
    at_end = a.equals(0.0) | a.equals(math.inf)
    grows = a.equals(0.0) ^ (y > 0.0)
    magnitude = lanes.select(at_end, lanes.select(grows, math.inf, 0.0), magnitude)
    # ±1 to an infinite power.
    magnitude = lanes.select(a.equals(1.0) & ~y.is_nan(), 1.0, magnitude)
    result = lanes.select(odd & x.is_negative(), -magnitude, magnitude)
    undefined = (x < 0.0) & (a < math.inf) & ~whole & ~y.is_nan()
    result = lanes.select(undefined, math.nan, result)
    result = lanes.select(x.is_nan() | y.is_nan(), x + y, result)
    return lanes.select(y.equals(0.0) | x.equals(1.0), 1.0, result)


def _twofold_log(lanes: Lanes, x: Real) -> tuple[Real, Real]:
    """log(x) for finite x > 0 as a sum, to about 2⁻⁶⁴ relative."""
    k, m = decompose(lanes, x)
    f = m - 1.0
    # s = f/(2 + f) = atanh's argument, twofold.
    below, below_low = lanes.sum(lanes.real(2.0), f)
    s = f / below
    product, error = lanes.product(s, below)
    s_low = (((f - product) - error) - s * below_low) / below
    # s² and s³, twofold.
    square, square_low = lanes.product(s, s)
    square_low = lanes.fma(s + s, s_low, square_low)
    cube, cube_low = lanes.product(s, square)
    cube_low = cube_low + lanes.fma(s_low, square, s * square_low)
    # log(m) = 2s + s³·(2/3 + s²·tail).
    third, third_low = parts(Fraction(2, 3), lanes.format, 2)
    tail = square * lanes.polynomial(square, LOG_TAIL[lanes.format])
    factor, factor_low = lanes.sum(lanes.real(third), tail)
    factor_low = factor_low + third_low
    term, term_low = lanes.product(cube, factor)
    term_low = term_low + lanes.fma(cube, factor_low, cube_low * factor)
    # Added from the largest to the smallest.
    ln2, ln2_low = short_parts(LN2, lanes.format, 12)
    multiple = lanes.to_real(k)
    total, lost = lanes.sum(multiple * ln2, s + s)
    total, lost_again = lanes.two_sum(total, term)
    rest = (lost + lost_again) + (lanes.fma(multiple, ln2_low, s_low + s_low) + term_low)
    return lanes.sum(total, rest)
