"""Declared rules are linear in their vectors; checked once a rule has been lowered."""

from __future__ import annotations

import numpy as np
import pytest

from dmc.diagnostics.codes import FAMILIES
from dmc.diagnostics.errors import Error
from tests.semantics.running import module

HELPERS = (
    "fn square[N](x: f64[N]) -> f64[N] = x * x\n\nfn twice[N](x: f64[N]) -> f64[N] = 2.0 * x\n\n"
)

LINEAR = (
    "= 2.0 * x * dx",
    "= -dx / (1.0 + x)",
    "= sum(dx) * x",
    "= dx - 3.0 * flip[0](dx)",
    "= where(x > 0.0, dx, 0.0)",
    "= concat[0](dx[1:], dx[:1])",
    "= [i] => x[i] * dx[i]",
    "= [i] => sum[j](x[i] * x[j] * dx[j])",
    "= cumsum[0](dx)",
    "= f64(f32(dx))",
    "= zeros",
    "= if x[0] > 0.0 { dx } else { zeros }",
    "= twice(dx)",
    "= square(x) * dx",
    "{{var t = dx; for i in 0..3 { t = t * x }; t}}",
    "{{var t: f64[N] = zeros; for i in 0..3 { t += f64(i) * dx }; t}}",
    "{{var t: f64[N] = zeros; for i in 0..N { t[i] = dx[i] }; t}}",
    "{{var t = dx; while x[0] > 1.0 { t = 0.5 * t }; t}}",
    "{{let (a, b) = jvp(square, along = dx)(x); b}}",
    "{{let (v, pull) = vjp(square)(x); pull(dx)}}",
    "= grad(fn(t) => sum(dx * square(t)))(x)",
    "= grad(fn(t) => sum(t * square(x)))(dx) * sum(dx)",
    "= hvp(fn(t) => sum(t * square(t)), along = dx)(x)",
    "{{let (a, b) = jvp(fn(t) => square(t) * dx, along = x)(x); b}}",
)

NOT_LINEAR = {
    "= dx * dx": "dx * dx",
    "= dx[0] * dx[0] * x": "dx[0] * dx[0]",
    "= dx * sum(dx)": "dx * sum(dx)",
    "= dx + x": "dx + x",
    "= ones": "ones",
    "= abs(dx)": "abs(dx)",
    "= exp(dx)": "exp(dx)",
    "= x / dx": "x / dx",
    "= floor(dx)": "floor(dx)",
    "= x * max(dx)": "max(dx)",
    "= cumprod[0](dx)": "cumprod[0](dx)",
    "= stop_gradient(dx)": "stop_gradient(dx)",
    "= where(x > 0.0, dx, 1.0)": "where(x > 0.0, dx, 1.0)",
    "= where(dx > 0.0, dx, 0.0)": "dx > 0.0",
    "= [i] => dx[i] * dx[i]": "dx[i] * dx[i]",
    "= square(dx)": "square(dx)",
    "= if dx[0] > 0.0 { dx } else { zeros }": "dx[0] > 0.0",
    "= if x[0] > 0.0 { dx } else { x }": "",
    "{{var t = x; for i in 0..3 { t = t * dx }; t}}": "t * dx",
    "{{var t: f64[N] = ones; for i in 0..3 { t += dx }; t}}": "t += dx",
    "{{var t = dx; while t[0] > 1.0 { t = 0.5 * t }; t}}": "t[0] > 1.0",
    "{{let (a, b) = jvp(square, along = dx)(dx); b}}": "",
    "= grad(fn(t) => sum(t * square(x)))(dx)": "",
    "= grad(fn(t) => sum(dx * dx * t))(x)": "",
    "{{let (a, b) = jvp(fn(t) => square(t) * dx, along = dx)(x); b}}": "",
    "{{let (v, pull) = vjp(fn(t) => dx * t)(x); pull(dx)}}": "",
    "{{let (a, b) = jvp(square, along = x)(x); a}}": "",
}


def rule(text: str) -> str:
    text = text.replace("; ", "\n        ").replace("{{", "{\n        ").replace("}}", "\n    }")
    function = "fn f[N](x: f64[N]) -> f64[N] = x * x\n\n"
    return f"{HELPERS}{function}derivative f(x) -> y {{\n    jvp(dx) {text}\n}}\n"


def lowered(source: str, x: object) -> None:
    module(source, "f", x=x)


@pytest.mark.parametrize("text", LINEAR)
def test_accepted(text: str) -> None:
    lowered(rule(text), np.ones(3))


@pytest.mark.parametrize(("text", "place"), NOT_LINEAR.items())
def test_refused_where_it_is_not_linear(text: str, place: str) -> None:
    with pytest.raises(Error) as caught:
        lowered(rule(text), np.ones(3))
    (found,) = caught.value.diagnostics
    assert found.code == "grad.linear"
    assert found.primary is not None
    span = found.primary.span
    if place:
        assert span.file.quote(span) == place


def test_a_vjp_is_checked_too() -> None:
    head = "fn f(a: f64, x: f64) -> f64 = a * x\n\nderivative f(a, x) -> y {\n"
    good, bad = "    vjp(dy) = (x * dy, a * dy)\n}\n", "    vjp(dy) = (x * dy, a)\n}\n"
    module(head + good, "f", a=np.ones(()), x=np.ones(()))
    with pytest.raises(Error, match="`vjp` is not linear"):
        module(head + bad, "f", a=np.ones(()), x=np.ones(()))


def test_the_row_of_the_code() -> None:
    (code,) = (code for code in FAMILIES["grad"] if code.name == "grad.linear")
    lowered(code.fixed, np.ones(()))
    with pytest.raises(Error, match=r"grad\.linear"):
        lowered(code.failing, np.ones(()))
