"""exp and its kin.

exp, expm1: x = k·ln(2) + r with |r| ≤ ln(2)/2 in two steps (Cody, Waite: Software Manual for the
Elementary Functions, 1980), a polynomial for eʳ, and k added to its exponent. The others are
quotients of exponentials chosen so that nothing cancels, with a polynomial near zero where the
result is proportional to the argument.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dmc.lowering.vector_math.coefficients import EXP, SINH, TANH
from dmc.lowering.vector_math.constants import LN2, short_parts
from dmc.lowering.vector_math.lanes import Format

if TYPE_CHECKING:
    from dmc.lowering.vector_math.lanes import Integer, Lanes, Real

# expm1 has overflowed, or is -1; 2ᵏ⁻¹ is a normal number in between.
_EXPM1_OVERFLOW = {Format.F32: 88.9, Format.F64: 709.9}
_EXPM1_ONE = {Format.F32: -20.0, Format.F64: -40.0}
# Of an e this large, e/(1 + e) rounds to 1.
_LOGISTIC_ONE = {Format.F32: 2.0**30, Format.F64: 2.0**60}
_TANH_ONE = {Format.F32: 10.0, Format.F64: 20.0}


def reduce(lanes: Lanes, x: Real) -> tuple[Real, Integer]:
    """(r, k) with x = k·ln(2) + r; of k only the bits that an exponent has are right."""
    high, low = short_parts(LN2, lanes.format, 12)
    multiple, k = lanes.nearest_low_bits(x, 1 / math.log(2))
    return lanes.fma(multiple, -low, lanes.fma(multiple, -high, x)), k


def expm1_reduced(lanes: Lanes, r: Real) -> Real:
    """eʳ - 1 for |r| ≤ ln(2)/2."""
    return lanes.fma(r * r, lanes.polynomial(r, EXP[lanes.format]), r)


def _exp_reduced(lanes: Lanes, r: Real) -> Real:
    """eʳ for |r| ≤ ln(2)/2."""
    slope = lanes.fma(r, lanes.polynomial(r, EXP[lanes.format]), 1.0)
    return lanes.fma(r, slope, 1.0)


def exp_scaled(lanes: Lanes, x: Real, low: Real | None = None, exponent: int = 0) -> Real:
    """e^(x + low)·2^exponent, for a `low` far below x and an exponent of 0 or -1."""
    format = lanes.format
    # At these bounds the result has overflowed by less than a factor of 2, or vanished.
    overflow = (format.bias + 1.4 - exponent) * math.log(2)
    vanished = -(format.bias + format.fraction_bits + 1) * math.log(2)
    r, k = reduce(lanes, lanes.select(x < overflow, x, overflow).at_least(vanished))
    if low is not None:
        r = r + low
    scaled = _exp_reduced(lanes, r).bits() + ((k + exponent) << format.fraction_bits)
    normal = scaled.as_real()
    normal = lanes.select(normal < math.inf, normal, math.inf)

    def subnormal() -> Real:
        """The fraction of a sum with 1, rounded as it should be.

        No operation has a subnormal result: many processors take a hundred times as long for one.
        """
        lifted = (scaled + ((format.bias - 1) << format.fraction_bits)).as_real()
        return ((lifted + 1.0).bits() - format.encode(1.0)).as_real()

    result = lanes.where(scaled < 1 << format.fraction_bits, subnormal, normal)
    # An exponential is greater than its argument, unless that is NaN.
    return lanes.select(result > x, result, x)


def exp_bounded(lanes: Lanes, x: Real) -> Real:
    """eˣ where it is known to be a normal number."""
    r, k = reduce(lanes, x)
    return _exp_reduced(lanes, r) * lanes.power_of_two(k)


def exp(lanes: Lanes, x: Real) -> Real:
    """eˣ."""
    return exp_scaled(lanes, x)


def expm1(lanes: Lanes, x: Real) -> Real:
    """eˣ - 1."""
    bounded = x.at_most(_EXPM1_OVERFLOW[lanes.format]).at_least(_EXPM1_ONE[lanes.format])
    r, k = reduce(lanes, bounded)
    p = expm1_reduced(lanes, r)
    half = lanes.power_of_two(k - 1)
    scaled = lanes.fma(p, half, half - 0.5) * 2.0
    return lanes.select(abs(bounded) < 0.25, p, scaled).with_sign_of(x)


def logistic(lanes: Lanes, x: Real) -> Real:
    """eˣ/(1 + eˣ)."""
    return logistic_by_exp(lanes, exp(lanes, x))


def logistic_by_exp(lanes: Lanes, e: Real) -> Real:
    """e/(1 + e), of an exponential."""
    e = e.at_most(_LOGISTIC_ONE[lanes.format])
    return e / (1.0 + e)


def tanh(lanes: Lanes, x: Real) -> Real:
    """(eˣ - e⁻ˣ)/(eˣ + e⁻ˣ)."""
    a = abs(x).at_most(_TANH_ONE[lanes.format])
    square = a * a
    near = lanes.fma(a * square, lanes.polynomial(square, TANH[lanes.format]), a)
    far = 1.0 - 2.0 / (exp_bounded(lanes, a + a) + 1.0)
    return lanes.select(a < 0.625, near, far).with_sign_of(x)


def sinh(lanes: Lanes, x: Real) -> Real:
    """(eˣ - e⁻ˣ)/2."""
    a = abs(x)
    square = a * a
    near = lanes.fma(a * square, lanes.polynomial(square, SINH[lanes.format]), a)
    half = exp_scaled(lanes, a, exponent=-1)
    far = half - 0.25 / half
    return lanes.select(a < 1.0, near, far).with_sign_of(x)


def cosh(lanes: Lanes, x: Real) -> Real:
    """(eˣ + e⁻ˣ)/2."""
    half = exp_scaled(lanes, abs(x), exponent=-1)
    return half + 0.25 / half
