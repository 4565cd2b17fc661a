"""Special functions of one number, in double precision: the reference semantics of `math`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from dmc.ir import Array

_BERNOULLI = tuple(
    top / bottom
    for top, bottom in (
        (1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730), (7, 6), (-3617, 510),
        (43867, 798), (-174611, 330),
    )
)  # fmt: skip
"""The Bernoulli numbers of even index, from the second on."""


def elementwise(function: Callable[[float], float]) -> Callable[[Array], Array]:
    """Apply a Python function to every element, in double precision."""

    def apply(x: Array) -> Array:
        values = [function(float(v)) for v in np.asarray(x).reshape(-1)]
        return np.asarray(values, dtype=np.float64).reshape(np.shape(x))

    return apply


def erfinv(x: float) -> float:
    """The y with erf(y) = x; infinite at -1 and 1, NaN beyond.

    Winitzki's formula ("A handy approximation for the error function and its inverse", 2008), right
    to 2e-3, then steps of Halley's method, on erfc where erf comes near to 1.
    """
    a = abs(x)
    if not a < 1:
        return math.copysign(math.inf, x) if a == 1 else math.nan
    logarithm = math.log1p(-a * a)
    middle, product = 2 / (math.pi * 0.147) + logarithm / 2, -logarithm / 0.147
    y = math.sqrt(product / (math.sqrt(middle * middle + product) + middle))
    for _ in range(3):
        excess = math.erf(y) - a if a <= 0.5 else (1 - a) - math.erfc(y)
        newton = math.sqrt(math.pi) / 2 * math.exp(y * y) * excess
        y -= newton / (1 + y * newton)
    return math.copysign(y, x)


def lgamma(x: float) -> float:
    """`log |gamma(x)|`; infinite at the poles."""
    if math.isnan(x) or x == -math.inf:
        return x if math.isnan(x) else math.inf
    try:
        return math.lgamma(x)
    except (ValueError, OverflowError):
        return math.inf


def digamma(x: float) -> float:
    """The derivative of `lgamma`; NaN at its poles.

    By recurrence and the asymptotic series: Abramowitz and Stegun, 6.3.18; by 6.3.7 for x < 0.
    """
    if _at_pole(x):
        return math.nan
    if x < 0:
        return digamma(1 - x) - math.pi / math.tan(math.pi * (x - round(x)))
    total = 0.0
    while x < 20:
        total -= 1 / x
        x += 1
    if math.isinf(x):
        return math.inf
    r = 1 / (x * x)
    series = sum(b / (2 * k + 2) * r ** (k + 1) for k, b in enumerate(_BERNOULLI))
    return total + math.log(x) - 0.5 / x - series


def polygamma(order: int, x: float) -> float:
    """The derivative of digamma, so many times, from 1 on.

    At its poles it is NaN if the order is even, infinite if it is odd.

    It is ∓order! times the sum of all 1 / (x + k) ** (order + 1), by the formula of Euler and
    Maclaurin (Abramowitz and Stegun, 6.4.10, 6.4.11), and by 6.4.7 for x < 0.
    """
    if _at_pole(x):
        return math.inf if order % 2 and math.isfinite(x) else math.nan
    sign, scale = (-1.0) ** (order + 1), float(math.factorial(order))
    if x < 0:
        cotangent = 1 / math.tan(math.pi * (x - round(x)))
        powers = (c * _power(cotangent, i) for i, c in enumerate(cotangent_derivative(order)) if c)
        return -sign * polygamma(order, 1 - x) - math.pi ** (order + 1) * sum(powers)
    total = 0.0
    while x < 20 + 2 * order:
        total += _power(1 / x, order + 1)
        x += 1
    u = 1 / x
    series = sum(c * u ** (2 * k) for k, c in enumerate(zeta_tail(order)))
    return sign * scale * (total + u**order * (1 / order + 0.5 * u + u * u * series))


def zeta_tail(order: int) -> tuple[float, ...]:
    """What follows a⁻ⁿ/n + a⁻ⁿ⁻¹/2 in the sum of all (a + k)⁻ⁿ⁻¹, in a⁻² and times a⁻ⁿ⁻²."""
    rising = 1.0
    terms: list[float] = []
    for k, number in enumerate(_BERNOULLI):
        j = 2 * k + 2
        rising *= (order + j - 1) * (order + j - 2 if k else 1)
        terms.append(number * rising / math.factorial(j))
    return tuple(terms)


def cotangent_derivative(order: int) -> tuple[int, ...]:
    """The derivative of the cotangent, so many times, as a polynomial in the cotangent.

    All terms that there are have one sign, and every other one is missing.
    """
    terms = [0, 1]
    for _ in range(order):
        slope = [i * c for i, c in enumerate(terms)][1:]
        terms = [-(a + b) for a, b in zip([*slope, 0, 0], [0, 0, *slope], strict=True)]
    return tuple(terms)


def _at_pole(x: float) -> bool:
    return math.isnan(x) or x == -math.inf or (x <= 0 and x == math.floor(x))


def _power(x: float, exponent: int) -> float:
    try:
        return x**exponent
    except OverflowError:
        return math.copysign(math.inf, x) if exponent % 2 else math.inf
