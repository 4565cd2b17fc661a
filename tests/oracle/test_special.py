"""Elementary and special functions and their first two derivatives, natively, against mpmath."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

import dmc
from dmc.dialects import math
from dmc.dialects.elementwise import Scale, X, call
from dmc.semantics.builtins.elementwise import OF_ONE, Operands
from tests.dialects.checks import Draw, Sample, program, push_forward
from tests.dialects.rows_elementwise import of
from tests.oracle.peers import error

pytestmark = pytest.mark.oracle

mp: Any = importlib.import_module("mpmath")
Function = Callable[[Any], Any]


def gelu(x: Any) -> Any:
    return x / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3)))


MEANINGS: dict[str, tuple[Function, float, float]] = {
    "exp": (mp.exp, -5, 5),
    "expm1": (mp.expm1, -3, 3),
    "log": (mp.log, 0.05, 9),
    "log1p": (mp.log1p, -0.9, 9),
    "log2": (lambda x: mp.log(x, 2), 0.05, 9),
    "log10": (mp.log10, 0.05, 9),
    "sqrt": (mp.sqrt, 0.05, 9),
    "rsqrt": (lambda x: 1 / mp.sqrt(x), 0.05, 9),
    "sin": (mp.sin, -9, 9),
    "cos": (mp.cos, -9, 9),
    "tan": (mp.tan, -1.4, 1.4),
    "asin": (mp.asin, -0.95, 0.95),
    "acos": (mp.acos, -0.95, 0.95),
    "atan": (mp.atan, -5, 5),
    "sinh": (mp.sinh, -4, 4),
    "cosh": (mp.cosh, -4, 4),
    "tanh": (mp.tanh, -3, 3),
    "sigmoid": (lambda x: 1 / (1 + mp.exp(-x)), -9, 9),
    "softplus": (lambda x: mp.log1p(mp.exp(x)), -9, 9),
    "silu": (lambda x: x / (1 + mp.exp(-x)), -9, 9),
    "gelu": (gelu, -4, 4),
    "erf": (mp.erf, -3, 3),
    "erfc": (mp.erfc, -3, 3),
    "erfinv": (mp.erfinv, -0.95, 0.95),
    "lgamma": (lambda x: mp.log(abs(mp.gamma(x))), 0.2, 9),
    "digamma": (mp.digamma, 0.2, 9),
}

PIECEWISE = {"floor", "ceil", "round", "isfinite", "isinf", "isnan"}


def exact(function: Function, x: Any, order: int) -> Any:
    """The derivative of this order, to 30 digits, by differences in 60."""
    with mp.workdps(60):
        return np.array([float(mp.diff(function, mp.mpf(float(v)), order)) for v in x])


def test_every_smooth_function_is_compared() -> None:
    floats = {f.name for f in OF_ONE if f.operands is Operands.FLOATS}
    assert floats - PIECEWISE == MEANINGS.keys()


@pytest.mark.parametrize("name", MEANINGS)
def test_native_derivatives(name: str) -> None:
    function, low, high = MEANINGS[name]
    x = np.random.default_rng(6).uniform(low, high, 40)
    m = dmc.loads(
        f"fn f[N](x: f64[N]) -> f64[N] = {name}(x)\nfn total[N](x: f64[N]) -> f64 = sum({name}(x))"
    )
    value, slope = dmc.jvp(m.f, along=np.ones(40))(x)
    assert error(value, exact(function, x, 0)) < 1e-14
    wanted = exact(function, x, 1)
    assert error(slope, wanted) < 1e-13
    assert error(dmc.grad(m.total)(x), wanted) < 1e-13
    assert error(dmc.hvp(m.total, along=np.ones(40))(x), exact(function, x, 2)) < 1e-12


def rules(name: str, x: Any) -> tuple[Any, Any]:
    """Value and derivative of an operation, by its own rules."""
    made = program(Sample(name, of(name), (Draw(x.shape),)))
    tangents = {made.inputs[0]: made.vector(made.inputs[0].type)}
    push_forward(made.builder, [made.op], tangents)
    value, slope = made.run(
        [x, np.ones_like(x)], [made.op.results[0], tangents[made.op.results[0]]]
    )
    return value, slope


@pytest.mark.parametrize(("low", "high"), [(0.1, 30), (-3.9, -3.1), (-0.9, -0.1)], ids=str)
def test_gamma_functions(low: float, high: float) -> None:
    """Lgamma and its derivatives form a chain, on both sides of 0."""
    x = np.random.default_rng(7).uniform(low, high, 60)
    with mp.workdps(40):
        psi = [np.array([float(mp.psi(n, mp.mpf(v))) for v in x]) for n in (0, 1, 2)]
    value, slope = rules("math.lgamma", x)
    assert error(value, special.gammaln(x)) < 1e-13
    assert error(slope, psi[0]) < 1e-13
    value, slope = rules("math.digamma", x)
    assert error(value, psi[0]) < 1e-13
    assert error(slope, psi[1]) < 1e-13
    _, curvature = rules("math.trigamma", x)
    assert error(curvature, psi[2]) < 1e-13
    if low > 0:
        assert error(value, special.digamma(x)) < 1e-13
        assert error(slope, special.polygamma(1, x)) < 1e-13


def test_error_function() -> None:
    x = np.linspace(-6, 6, 101)
    value, slope = rules("math.erf", x)
    assert error(value, special.erf(x)) < 1e-15
    assert error(slope, exact(mp.erf, x, 1)) < 1e-15


def test_a_wrong_derivative_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(math.Erf, "terms", (Scale(1.1283 * call("math.exp", -(X * X))),))
    x = np.linspace(-6, 6, 101)
    assert error(rules("math.erf", x)[1], exact(mp.erf, x, 1)) > 1e-6
