"""lgamma and its derivatives, computed in double precision for every format.

From 8 on, Stirling's series and its derivatives (Abramowitz, Stegun 6.1.40, 6.3.18, 6.4.12). Below,
the recurrence moves the argument: past 8 for trigamma, which has no zeros, and else to an interval
around the zeros, on which a polynomial with those zeros as factors keeps the relative error small.
All terms of the recurrence are gathered so that one logarithm, or one division, suffices. Negative
arguments are reflected. Derivatives beyond trigamma, which few programs need, add terms one by one,
and the rest by the formula of Euler and Maclaurin (6.4.11).
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from dmc.dialects.reference import cotangent_derivative, zeta_tail
from dmc.lowering.vector_math.coefficients import (
    DIGAMMA,
    DIGAMMA_TAIL,
    LGAMMA,
    STIRLING,
    TRIGAMMA_TAIL,
)
from dmc.lowering.vector_math.constants import DIGAMMA_ROOT, HALF_LOG_TWO_PI, PI, parts
from dmc.lowering.vector_math.lanes import Format
from dmc.lowering.vector_math.logarithm import log
from dmc.lowering.vector_math.trigonometric import cos_reduced, sin_reduced

if TYPE_CHECKING:
    from dmc.lowering.vector_math.lanes import Lanes, Real

_LARGE = 8.0
_STEPS = 6


def lgamma(lanes: Lanes, x: Real) -> Real:
    """log|Γ(x)|: +∞ at zero, the negative integers and ±∞."""
    return lanes.apply(_lgamma, x)


def digamma(lanes: Lanes, x: Real) -> Real:
    """Γ'(x)/Γ(x): NaN at zero, the negative integers and -∞."""
    return lanes.apply(_digamma, x)


def trigamma(lanes: Lanes, x: Real) -> Real:
    """The derivative of digamma: +∞ at zero and the negative integers, NaN at -∞."""
    return lanes.apply(_trigamma, x)


def polygamma(lanes: Lanes, x: Real, order: int) -> Real:
    """The derivative of digamma, `order` times: NaN at -∞ and, if of even order, at poles.

    Those of odd order are +∞ at poles, as on either side.
    """
    return lanes.apply(partial(_polygamma, order=order), x)


def _sin_cos(lanes: Lanes, x: Real) -> tuple[Real, Real]:
    """sin(πx) and cos(πx), the sine exactly 0 where x is an integer; NaN for ±∞."""
    # From -1 to 1, exactly: what is near an integer keeps its distance.
    period = x - 2.0 * (0.5 * x + 0.5).floor()
    multiple, k = lanes.nearest(2.0 * period)
    rest = period - 0.5 * multiple
    first, second = parts(PI, lanes.format, 2)
    high, error = lanes.product(rest, first)
    low = lanes.fma(rest, second, error)
    sine, cosine = sin_reduced(lanes, high, low), cos_reduced(lanes, high, low)
    quarter, half = (k & 1).equals(1), (k & 2).equals(2)
    turned_sine = lanes.select(quarter, cosine, sine)
    turned_cosine = lanes.select(quarter, -sine, cosine)
    return (
        lanes.select(half, -turned_sine, turned_sine),
        lanes.select(half, -turned_cosine, turned_cosine),
    )


def _lgamma(lanes: Lanes, x: Real) -> Real:
    a = abs(x)
    positive = _lgamma_positive(lanes, a)

    def reflected() -> Real:
        # |Γ(-a)| = π / (a·|sin(πa)|·Γ(a)).
        sine, _ = _sin_cos(lanes, a)
        result = log(lanes, math.pi / (a * abs(sine))) - positive
        # Before the product vanishes.
        result = lanes.select(a < 1e-30, positive, result)
        pole = sine.equals(0.0) & (a >= 1.0)
        return lanes.select(pole | a.equals(math.inf), math.inf, result)

    return lanes.where(x.is_negative(), reflected, positive)


def _lgamma_positive(lanes: Lanes, a: Real) -> Real:
    large = a >= _LARGE
    # Γ(a) = Γ(2 + z)·product or Γ(2 + z)/product.
    steps = (a - 1.5).floor()
    product = lanes.real(1.0)
    for i in range(1, _STEPS + 1):
        product = product * lanes.select(steps >= float(i), a - float(i), 1.0)
    below = a < 1.5
    tiny = a < 0.5
    z = lanes.select(below, lanes.select(tiny, a, a - 1.0), (a - steps) - 2.0)
    product = lanes.select(below, lanes.select(tiny, a * (a + 1.0), a), product)
    logarithm = log(lanes, lanes.select(large, a, product))
    table = LGAMMA[Format.F64]
    central = lanes.fma(z, z, z) * lanes.polynomial(z, table)
    small = central + lanes.select(below, -logarithm, logarithm)
    u = 1.0 / a
    series = u * lanes.polynomial(u * u, STIRLING[Format.F64])
    constant = float(HALF_LOG_TWO_PI) - 0.5
    return lanes.select(large, lanes.fma(a - 0.5, logarithm - 1.0, series + constant), small)


def _digamma(lanes: Lanes, x: Real) -> Real:
    below = x <= 0.0
    positive = _digamma_positive(lanes, lanes.select(below, 1.0 - x, x))

    def reflected() -> Real:
        # ψ(x) = ψ(1 - x) - π·cot(πx).
        sine, cosine = _sin_cos(lanes, x)
        result = positive - math.pi * (cosine / sine)
        return lanes.select(sine.equals(0.0), math.nan, result)

    return lanes.where(below, reflected, positive)


def _digamma_positive(lanes: Lanes, a: Real) -> Real:
    large = a >= _LARGE
    below = a < 1.0
    # ψ(a) = ψ(y) + numerator/denominator with 1 ≤ y < 2.
    steps = a.floor() - 1.0
    numerator, denominator = lanes.real(0.0), lanes.real(1.0)
    for i in range(1, _STEPS + 1):
        term = a - float(i)
        wanted = steps >= float(i)
        numerator = lanes.select(wanted, lanes.fma(numerator, term, denominator), numerator)
        denominator = lanes.select(wanted, denominator * term, denominator)
    numerator = lanes.select(below, -1.0, numerator)
    denominator = lanes.select(below, a, denominator)
    y = lanes.select(below, a + 1.0, a - steps)
    root, root_low = parts(DIGAMMA_ROOT, lanes.format, 2)
    central = ((y - root) - root_low) * lanes.polynomial(y - 1.5, DIGAMMA[Format.F64])
    u = lanes.select(large, 1.0, numerator) / lanes.select(large, a, denominator)
    square = u * u
    tail = lanes.fma(square, lanes.polynomial(square, DIGAMMA_TAIL[Format.F64]), 0.5 * u)
    return lanes.select(large, log(lanes, a) - tail, central + u)


def _trigamma(lanes: Lanes, x: Real) -> Real:
    below = x <= 0.0
    positive = _trigamma_positive(lanes, lanes.select(below, 1.0 - x, x))

    def reflected() -> Real:
        # ψ₁(x) = (π/sin(πx))² - ψ₁(1 - x).
        sine, _ = _sin_cos(lanes, x)
        quotient = math.pi / sine
        result = quotient * quotient - positive
        return lanes.select(sine.equals(0.0), math.inf, result)

    return lanes.where(below, reflected, positive)


def _trigamma_positive(lanes: Lanes, a: Real) -> Real:
    large = a >= _LARGE
    # ψ₁(a) = ψ₁(a + 8) + 1/a² + … + 1/(a + 7)²; the first term by itself, for it may be huge.
    numerator, denominator = lanes.real(0.0), lanes.real(1.0)
    for i in range(1, int(_LARGE)):
        square = (a + float(i)) * (a + float(i))
        numerator = lanes.fma(numerator, square, denominator)
        denominator = denominator * square
    first = 1.0 / a
    steps = lanes.fma(first, first, numerator / denominator)
    u = 1.0 / lanes.select(large, a, a + _LARGE)
    square = u * u
    series = lanes.fma(u, lanes.polynomial(square, TRIGAMMA_TAIL[Format.F64]), 0.5)
    tail = lanes.fma(square, series, u)
    return lanes.select(large, tail, steps + tail)


def _polygamma(lanes: Lanes, x: Real, order: int) -> Real:
    below = x <= 0.0
    sign = -1.0 if order % 2 == 0 else 1.0
    scale = sign * float(math.factorial(order))
    positive = scale * _zeta(lanes, lanes.select(below, 1.0 - x, x), order)

    def reflected() -> Real:
        # ψₙ(x) = (-1)ⁿ·ψₙ(1 - x) - π·dⁿcot(πx)/dxⁿ, a polynomial in the cotangent.
        sine, cosine = _sin_cos(lanes, x)
        cotangent = cosine / sine
        terms = [float(c) for c in cotangent_derivative(order)[(order + 1) % 2 :: 2]]
        polynomial = lanes.polynomial(cotangent * cotangent, terms)
        polynomial = polynomial if order % 2 else polynomial * cotangent
        result = -sign * positive - math.pi ** (order + 1) * polynomial
        return lanes.select(sine.equals(0.0), math.inf if order % 2 else math.nan, result)

    return lanes.where(below, reflected, positive)


def _zeta(lanes: Lanes, a: Real, order: int) -> Real:
    """The sum of all 1/(a + k)ⁿ⁺¹, for the order n and positive a: nothing cancels in it."""
    steps = order + 12
    total = lanes.real(0.0)
    for k in reversed(range(steps)):
        total = total + _power(1.0 / (a + float(k)), order + 1)
    u = 1.0 / (a + float(steps))
    square = u * u
    tail = lanes.polynomial(square, zeta_tail(order))
    series = lanes.fma(square, tail, lanes.fma(lanes.real(0.5), u, lanes.real(1.0 / order)))
    return total + _power(u, order) * series


def _power(x: Real, exponent: int) -> Real:
    """By repeated squaring, of an exponent of 1 or more."""
    half = x if exponent == 1 else _power(x * x, exponent // 2)
    return half if exponent == 1 or exponent % 2 == 0 else half * x
