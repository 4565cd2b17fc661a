"""The gradient checker: passes what is right, finds what is planted, leaves kinks alone."""

from typing import Any

import numpy as np
import pytest

import dmc
from dmc.api import check
from dmc.api.function import Function
from dmc.api.operators import Wrt
from dmc.ir.types import Array
from tests.api.programs import KEY, program

p = program.Weights(w=np.array([0.5, -1.0, 2.0]), b=0.1)
x, y = np.arange(6.0).reshape(2, 3), np.zeros(2)


def test_right_gradients_pass() -> None:
    checks = dmc.check_grads(program.loss, p, x, y)
    assert [c.path for c in checks] == ["p.w", "p.b", "p (forward mode)"]
    assert all(c.passed and c.error < 1e-9 for c in checks)
    assert dmc.check_grads(program.loss, p, x, y, wrt=("x", "p.w"))
    given = x.copy()
    assert dmc.check_grads(program.loss, p, dmc.donate(given), y, wrt="x")
    np.testing.assert_array_equal(given, x)
    assert dmc.check_grads(program.loss, p, np.asfortranarray(x), y, wrt="x")


def test_single_precision() -> None:
    net = program.Net.init(KEY, I=3, H=4)
    rows = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    paths = [c.path for c in dmc.check_grads(program.output, net, rows)]
    assert paths == ["net.w", "net.head.w", "net.head.b", "net (forward mode)"]


@pytest.mark.parametrize("error", [1e-4, -0.5, np.nan])
def test_a_planted_error_is_found(monkeypatch: pytest.MonkeyPatch, error: float) -> None:
    def wrong(f: Function, wrt: Wrt = None) -> Any:
        def call(*arguments: Any) -> Any:
            value, gradient = dmc.value_and_grad(f, wrt)(*arguments)
            w = gradient.w.copy()
            w[1] += error * abs(w).max()
            return value, gradient.replace(w=w)

        return call

    monkeypatch.setattr(check, "value_and_grad", wrong)
    with pytest.raises(dmc.DerivativeError, match=r"disagrees .* in `p.w`") as caught:
        dmc.check_grads(program.loss, p, x, y)
    assert caught.value.diagnostics[0].code == "grad.check"


def test_kinks_are_left_out() -> None:
    mod = dmc.loads("fn f[N](x: f64[N]) -> f64 = sum(abs(x))")
    at_a_kink, smooth, near_a_kink = 0.0, 1.0, 1e-5
    (found, _) = dmc.check_grads(mod.f, np.array([at_a_kink, smooth, near_a_kink]))
    assert (found.kinks, found.passed) == (2, True)


def test_a_result_that_is_not_finite() -> None:
    mod = dmc.loads("fn f(x: f64) -> f64 = log(x)")
    with pytest.raises(dmc.DerivativeError, match="the result is nan for these arguments"):
        dmc.check_grads(mod.f, -1.0)


@pytest.mark.parametrize(
    ("x", "samples", "why"),
    [
        (np.zeros(2), 32, "`x`: it bends at every place tried"),
        (np.zeros(0), 32, "`x`: it has no elements"),
        (np.ones(2), 0, "`x`: no samples were taken"),
    ],
)
def test_what_could_not_be_checked_has_not_passed(x: Array, samples: int, why: str) -> None:
    f = dmc.loads("fn f[N](x: f64[N]) -> f64 = sum(abs(x))").f
    (found, _) = check.compare_gradients(f, (x,), samples=samples)
    assert (found.passed, found.checked) == (False, 0)
    with pytest.raises(dmc.DerivativeError, match="nothing of the gradient of `f`") as caught:
        dmc.check_grads(f, x, samples=samples)
    assert why in caught.value.diagnostics[0].title
