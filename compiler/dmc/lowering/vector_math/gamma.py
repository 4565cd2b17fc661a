"""lgamma and digamma, computed in double precision for every format.

From 8 on, Stirling's series (Abramowitz, Stegun 6.1.40, 6.3.18). Below, the recurrence moves the
argument to an interval around the zeros on which a polynomial with those zeros as factors keeps the
relative error small; all factors of the recurrence are gathered so that one logarithm, or one
division, suffices. Negative arguments are reflected.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dmc.lowering.vector_math.coefficients import DIGAMMA, DIGAMMA_TAIL, LGAMMA, STIRLING
from dmc.lowering.vector_math.constants import DIGAMMA_ROOT, HALF_LOG_TWO_PI, PI, parts
from dmc.lowering.vector_math.lanes import Format
from dmc.lowering.vector_math.logarithm import log
from dmc.lowering.vector_math.trigonometric import cos_reduced, sin_reduced

if TYPE_CHECKING:
    from dmc.lowering.vector_math.lanes import Integer, Lanes, Real

_LARGE = 8.0
_STEPS = 6


def lgamma(lanes: Lanes, x: Real) -> Real:
    """log|Γ(x)|: +∞ at zero, the negative integers and ±∞."""
    return lanes.apply(_lgamma, x)


def digamma(lanes: Lanes, x: Real) -> Real:
    """Γ'(x)/Γ(x): ∓∞ at ±0, NaN at the negative integers and at -∞."""
    return lanes.apply(_digamma, x)


def _half_turns(lanes: Lanes, x: Real) -> tuple[Real, Real, Integer]:
    """(high, low, k) with πx = k·π/2 + high + low, |high| ≤ π/4, and k right modulo 4."""
    period = x - 2.0 * (0.5 * x).floor()
    multiple, k = lanes.nearest(2.0 * period)
    rest = period - 0.5 * multiple
    first, second = parts(PI, lanes.format, 2)
    high, error = lanes.product(rest, first)
    return high, lanes.fma(rest, second, error), k


def _lgamma(lanes: Lanes, x: Real) -> Real:
    a = abs(x)
    positive = _lgamma_positive(lanes, a)
    builder = lanes.builder
    before = builder.block
    negative = x.is_negative()
    with builder.if_then(negative.any()):
        # |Γ(-a)| = π / (a·|sin(πa)|·Γ(a)).
        high, low, k = _half_turns(lanes, a)
        odd = (k & 1).equals(1)
        sine = abs(lanes.select(odd, cos_reduced(lanes, high, low), sin_reduced(lanes, high, low)))
        reflected = log(lanes, math.pi / (a * sine)) - positive
        pole = sine.equals(0.0) | a.equals(math.inf)
        reflected = lanes.select(pole, math.inf, reflected)
        reflected = lanes.select(negative, reflected, positive)
        inside = builder.block
    phi = builder.phi(lanes.real_type)
    phi.add_incoming(positive.value, before)
    phi.add_incoming(reflected.value, inside)
    return type(x)(lanes, phi)


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
    builder = lanes.builder
    before = builder.block
    negative = x < 0.0
    a = lanes.select(negative, 1.0 - x, x)
    positive = _digamma_positive(lanes, a)
    block = builder.block
    assert before is block
    with builder.if_then(negative.any()):
        # ψ(x) = ψ(1 - x) - π·cot(πx).
        high, low, k = _half_turns(lanes, x)
        odd = (k & 1).equals(1)
        sine, cosine = sin_reduced(lanes, high, low), cos_reduced(lanes, high, low)
        cotangent = lanes.select(odd, -sine, cosine) / lanes.select(odd, cosine, sine)
        reflected = positive - math.pi * cotangent
        pole = x.floor().equals(x)
        reflected = lanes.select(pole, math.nan, reflected)
        reflected = lanes.select(negative, reflected, positive)
        inside = builder.block
    phi = builder.phi(lanes.real_type)
    phi.add_incoming(positive.value, block)
    phi.add_incoming(reflected.value, inside)
    return type(x)(lanes, phi)


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
