"""Declared derivatives of every kind of function, in both modes, and the check of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dmc

RULES = dmc.load(Path(__file__).parent / "rules.dm")


def test_a_vjp_alone_serves_both_modes() -> None:
    slope = 3 * 0.25 * np.cos(0.125)
    assert np.isclose(dmc.grad(RULES.by_vjp)(0.5), slope)
    assert np.isclose(dmc.jvp(RULES.by_vjp, along=1.0)(0.5)[1], slope)
    assert np.isclose(dmc.hessian(RULES.by_vjp)(0.5), 3 * np.cos(0.125) - 0.5625 * np.sin(0.125))


def test_unchecked_rules_need_be_no_derivatives() -> None:
    assert dmc.grad(RULES.steep)(0.1) == 0.6000000000000001
    assert dmc.grad(RULES.steep)(10.0) == 1.0
    with pytest.raises(dmc.DerivativeError, match="no rule for forward mode") as caught:
        dmc.jvp(RULES.steep, along=1.0)(0.1)
    assert caught.value.diagnostics[0].code == "grad.rule"
    x = np.array([0.4, 1.6, 2.2])
    assert (dmc.grad(RULES.through)(x) == 2 * np.round(x)).all()


def test_a_rule_of_a_function_that_takes_functions_sees_how_they_change() -> None:
    p, h = np.array([0.3, 2.0]), 1e-6
    x, gradient = RULES.cubic(p), dmc.grad(RULES.cubic)
    denominator = 3 * x * x + np.exp(p[0])
    assert np.allclose(gradient(p), [-x * np.exp(p[0]) / denominator, 1 / denominator])
    differences = [(gradient(p + h * d) - gradient(p - h * d)) / (2 * h) for d in np.eye(2)]
    assert np.allclose(dmc.hessian(RULES.cubic)(p), np.stack(differences))


def test_functions_of_models_and_of_other_modules(tmp_path: Path) -> None:
    net, x = RULES.Linear.init(N=3, key=dmc.key(1)), np.array([1.0, 2.0, 3.0])
    assert np.allclose(dmc.grad(RULES.use)(net, x).w, 10 * x)
    assert np.allclose(dmc.grad(RULES.use, wrt="x")(net, x), 2 * net.w)
    assert dmc.grad(RULES.counted, wrt="x")(net, 3.0) == 6.0
    (tmp_path / "lib.dm").write_text("fn half(x: f64) -> f64 = 0.5 * x\n")
    (tmp_path / "m.dm").write_text(
        "import lib\n\n"
        "derivative unchecked lib.half(x) -> y {\n    vjp(dy) = -dy\n}\n\n"
        "fn f(x: f64) -> f64 = 3.0 * lib.half(x)\n"
    )
    mod = dmc.load(tmp_path / "m.dm")
    assert (mod.f(1.0), dmc.grad(mod.f)(1.0)) == (1.5, -3.0)
    assert dmc.jvp(mod.f, along=1.0)(1.0)[1] == -3.0


def test_rules_are_held_against_differences_and_each_other() -> None:
    x = np.array([0.5, 2.0])
    found = dmc.check_grads(RULES.cube, x, 3)
    assert [(row.path, row.passed) for row in found] == [
        ("cube: jvp, rules.dm:4", True),
        ("cube: vjp, rules.dm:5", True),
    ]
    with pytest.raises(
        dmc.DerivativeError, match=r"`wrong: vjp, rules.dm:12` by [1-9]\.\de"
    ) as caught:
        dmc.check_grads(RULES.wrong, x)
    assert "jvp" not in caught.value.diagnostics[0].title


SIN_AND_COS = """
fn s(x: f64) -> f64 = sin(x)
fn c(x: f64) -> f64 = cos(x)
derivative s(x) -> y { jvp(dx) = c(x) * dx }
derivative c(x) -> y { vjp(dy) = -s(x) * dy }
fn e(x: f64) -> f64 = exp(x)
derivative e(x) -> y { jvp(dx) = grad(other)(x) * dx }
fn other(x: f64) -> f64 = exp(x)
derivative other(x) -> y { jvp(dx) = e(x) * dx }
fn all(x: f64) -> f64 = s(2.0 * x) + e(0.5 * x)
"""


def test_rules_call_the_functions_that_they_belong_to() -> None:
    """Theirs, or each other's: an order less with each derivative."""
    f = dmc.loads(SIN_AND_COS).all
    for order in range(1, 5):
        f = dmc.grad(f)
        wanted = 2.0**order * np.sin(0.6 + order * np.pi / 2) + 0.5**order * np.exp(0.15)
        assert np.isclose(f(0.3), wanted, rtol=1e-14)


@pytest.mark.parametrize(
    ("rule", "title"),
    [
        ("jvp(dx) = grad(f)(x) * dx", "the derivative of `f` needs itself"),
        ("jvp(dx) = grad(through)(x) * dx", "the derivative of `f` needs itself"),
        ("jvp(dx) = grad(grad(fn(z: f64) => f(z)))(x) * dx", "the derivative of `f` needs itself"),
        ("jvp(dx) = grad(square)(f(x)) * dx", ""),
    ],
)
def test_a_rule_takes_no_derivative_that_needs_its_own(rule: str, title: str) -> None:
    text = f"""
fn f(x: f64) -> f64 = x * x
fn through(x: f64) -> f64 = 2.0 * f(x)
fn square(x: f64) -> f64 = x * x
derivative f(x) -> y {{ {rule} }}
"""
    if not title:
        assert dmc.grad(dmc.loads(text).f)(3.0) == 18.0
        return
    with pytest.raises(dmc.NamingError, match=title):
        dmc.loads(text)
