"""erf, erfc and erfinv.

Near zero a polynomial in x²; beyond, erfc(a) = exp(-a²)·g(t)/(1 + 2a), where g is smooth and nearly
constant in t = (a - 4)/(a + 4) (Shepherd, Laframboise: Math. Comp. 36, 1981), and a² is
taken as a sum of two numbers, since the exponential magnifies its rounding.

erfinv(x)/x is a polynomial in w = -log(1 - x²) and, where w is large, √w·g((√w - 3.5)/(√w + 1)), g
nearly constant (after Giles, "Approximating the erfinv function", GPU Computing Gems, 2010). An
error of w matters relative to 1 where w is small and to w elsewhere: a plain logarithm is enough.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dmc.lowering.vector_math.coefficients import ERF, ERFC, ERFINV, ERFINV_TAIL
from dmc.lowering.vector_math.exponential import exp_scaled
from dmc.lowering.vector_math.lanes import Format
from dmc.lowering.vector_math.logarithm import log

if TYPE_CHECKING:
    from dmc.lowering.vector_math.lanes import Lanes, Real

# erfc has vanished here.
_VANISHED = {Format.F32: 10.2, Format.F64: 27.3}


def _tail(lanes: Lanes, a: Real) -> Real:
    """erfc(a) for a ≥ 0.9."""
    a = a.at_most(_VANISHED[lanes.format])
    square, error = lanes.product(a, a)
    t = (a - 4.0) / (a + 4.0)
    g = lanes.polynomial(t, ERFC[lanes.format]) / lanes.fma(a, 2.0, 1.0)
    return exp_scaled(lanes, -square, -error) * g


def _near(lanes: Lanes, x: Real) -> Real:
    """erf(x) - x for |x| ≤ 1."""
    square = (x * x).at_most(1.0)
    return x * lanes.polynomial(square, ERF[lanes.format])


def erf(lanes: Lanes, x: Real) -> Real:
    """2/√π · ∫₀ˣ exp(-t²) dt."""
    a = abs(x)
    result = lanes.select(a < 1.0, a + _near(lanes, a), 1.0 - _tail(lanes, a))
    return result.with_sign_of(x)


def erfc(lanes: Lanes, x: Real) -> Real:
    """1 - erf(x), to full precision where that cancels."""
    a = abs(x)
    tail = _tail(lanes, a)
    near = _near(lanes, x)
    middle = lanes.select(x > 0.25, 0.5 - (near + (x - 0.5)), 1.0 - (x + near))
    return lanes.select(a < 1.0, middle, lanes.select(x < 0.0, 2.0 - tail, tail))


def erfinv(lanes: Lanes, x: Real) -> Real:
    """The y with erf(y) = x: ±∞ at ±1, NaN beyond."""
    a = abs(x)
    # By factors: 1 - a is exact where the difference is small.
    w = -log(lanes, (1.0 - a) * (1.0 + a))

    def tail() -> Real:
        s = w.sqrt()
        t = (s - 3.5) / (s + 1.0)
        return s * lanes.polynomial(t, ERFINV_TAIL[lanes.format])

    near = lanes.polynomial(w, ERFINV[lanes.format])
    result = x * lanes.where(w > 5.0, tail, near)
    return lanes.select(a.equals(1.0), x * math.inf, result)
