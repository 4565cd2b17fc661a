"""Special functions of one number, in double precision: the reference semantics of `math`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from dmc.ir import Array


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


def polygamma(order: int, x: float) -> float:
    """Digamma (order 0) or trigamma (order 1), by recurrence and the asymptotic series.

    Abramowitz and Stegun, 6.3.18 and 6.4.12; the reflection formulas 6.3.7 and 6.4.7 for x < 0.
    """
    if math.isnan(x) or x == -math.inf or (x <= 0 and x == math.floor(x)):
        return math.nan
    if order == 1 and abs(x) < 1e-154:
        return math.inf  # 1 / x², which overflows
    if x < 0:
        if order == 0:
            return polygamma(0, 1 - x) - math.pi / math.tan(math.pi * (x - round(x)))
        return (math.pi / math.sin(math.pi * (x - round(x)))) ** 2 - polygamma(1, 1 - x)
    total = 0.0
    while x < 20:
        total += -1 / x if order == 0 else 1 / (x * x)
        x += 1
    if math.isinf(x):
        return math.inf if order == 0 else 0.0
    r = 1 / (x * x)
    bernoulli = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730)
    if order == 0:
        series = sum(b / (2 * k + 2) * r ** (k + 1) for k, b in enumerate(bernoulli))
        return total + math.log(x) - 0.5 / x - series
    series = sum(b * r ** (k + 1) for k, b in enumerate(bernoulli))
    return total + (1 + 0.5 / x + series) / x
