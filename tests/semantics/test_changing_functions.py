"""Function values that change what is around them: a `mut fn` passed on, a `fn` that assigns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import dmc
from dmc.diagnostics.errors import Error
from dmc.semantics.modules import check_text
from dmc.semantics.program import Program
from tests.semantics.running import Rec, record, run

PRELUDE = """struct Inner {
    n: f64
}

model Gauge {
    state inner: f64[2] = zeros
    state n: f64 = 0.0

    mut fn step(x: f64) -> f64 {
        n += 1.0
        inner[1] = inner[0]
        inner[0] = x
        0.9 * x + 0.1 * n * n + 0.01 * inner[1] * x
    }
    mut fn twice(x: f64) -> f64 = both(step, x)
}

fn both(f: (f64) -> f64, x: f64) -> f64 = f(f(x))

fn loops(f: (f64) -> f64, x: f64, n: i64) -> f64 {
    var y = x
    for t in 0..n {
        if y > 2.0 { y = f(0.5 * y) } else { y += f(y) }
    }
    while f(y) < 4.0 limit 9 { y = 1.2 * y }
    let g = fn(z: f64) => 0.5 * f(z)
    y + both(g, y) + both(fn(z) => f(z) + 0.1 * y, y)
}

"""


class _Gauge:
    """What the model is, in Python."""

    def __init__(self) -> None:
        self.n, self.inner = 0.0, [0.0, 0.0]

    def step(self, x: float) -> float:
        self.n += 1.0
        self.inner = [x, self.inner[0]]
        return 0.9 * x + 0.1 * self.n * self.n + 0.01 * self.inner[1] * x


def _loops(f: Callable[[float], float], x: float, n: int) -> float:
    y = x
    for _ in range(n):
        y = f(0.5 * y) if y > 2.0 else y + f(y)
    rounds = 0
    while f(y) < 4.0 and rounds < 9:
        y, rounds = 1.2 * y, rounds + 1

    def g(z: float) -> float:
        return 0.5 * f(z)

    first = g(g(y))
    return y + first + f(f(y) + 0.1 * y) + 0.1 * y


def _gauge(program: Program) -> Rec:
    return record(program, "Gauge", inner=np.zeros(2), n=np.float64(0.0))


def _program() -> dmc.Module:
    return dmc.loads(
        PRELUDE + "fn f(var m: Gauge, x: f64, n: i64) -> (f64, f64, f64[2]) {\n"
        "    var scale = 1.0\n"
        "    let y = loops(m.step, x, n) + m.twice(x)\n"
        "    let z = loops(fn(u) => { scale += 0.1; m.step(u) * scale }, 0.1 * y, n)\n"
        "    (z, m.n + scale, m.inner)\n}\n"
        "fn g(m: Gauge, x: f64, n: i64) -> f64 {\n    let (y, _, _) = f(m, x, n)\n    y\n}\n"
        "fn many(m: Gauge, x: f64[5]) -> f64[5] =\n"
        "    [v in x] => { var own = m; both(own.step, v) + own.n }\n"
    )


def _expected(x: float, n: int) -> tuple[float, float, list[float]]:
    gauge, scale = _Gauge(), 1.0

    def scaled(u: float) -> float:
        nonlocal scale
        scale += 0.1
        return gauge.step(u) * scale

    y = _loops(gauge.step, x, n)
    y += gauge.step(gauge.step(x))
    z = _loops(scaled, 0.1 * y, n)
    return z, gauge.n + scale, gauge.inner


def test_every_mode() -> None:
    """Loops, `while` with its condition, branches, functions passed on and wrapped; all orders."""
    program = _program()
    gauge = program.Gauge.init(dmc.key(0))
    for x, n in ((0.7, 4), (1.9, 3)):
        z, count, inner = program.f(gauge, x, n)
        wanted = _expected(x, n)
        np.testing.assert_allclose(z, wanted[0], rtol=1e-13)
        np.testing.assert_allclose([count, *inner], [wanted[1], *wanted[2]], rtol=1e-13)
        step = 1e-5
        slope = (_expected(x + step, n)[0] - _expected(x - step, n)[0]) / (2 * step)
        slope_at = dmc.grad(program.g, wrt="x")
        gradient = slope_at(gauge, x, n)
        bend = (slope_at(gauge, x + step, n) - slope_at(gauge, x - step, n)) / (2 * step)
        np.testing.assert_allclose(gradient, slope, rtol=1e-8)
        _, tangent = dmc.jvp(program.g, 1.0, wrt="x")(gauge, x, n)
        np.testing.assert_allclose(tangent, gradient, rtol=1e-13)
        np.testing.assert_allclose(dmc.hessian(program.g, wrt="x")(gauge, x, n), bend, rtol=1e-7)
    points = np.linspace(0.1, 0.9, 5)
    both = [0.9 * (0.9 * v + 0.1) + 0.4 + 0.01 * v * (0.9 * v + 0.1) + 2.0 for v in points]
    np.testing.assert_allclose(program.many(gauge, points), both, rtol=1e-14)


def test_derivatives_change_what_the_function_changes() -> None:
    source = (
        PRELUDE + "fn f(var m: Gauge, x: f64) -> (f64, f64) {\n"
        "    let a = grad(m.step)(x)\n"
        "    let b = grad(grad(fn(z) => m.step(z) ** 2))(x)\n"
        "    let (c, d) = value_and_grad(both, wrt = x)(m.step, x)\n"
        "    let (e, pull) = vjp(m.step)(x)\n"
        "    let (_, g) = jvp(fn(z) => m.step(z), along = 2.0)(x)\n"
        "    (a + b + c + d + e + pull(1.0) + g + jacobian(m.step)(x), m.n)\n}\n"
    )
    program = check_text(source)
    value, count = run(program, "f", m=_gauge(program), x=0.5)
    gauge, x = _Gauge(), 0.5
    slope = 0.9
    gauge.step(x)
    bend = 2 * (slope + 0.01 * x) ** 2
    gauge.step(x)
    c = gauge.step(x)
    d = (slope + 0.01 * x) * (slope + 0.01 * x) + 0.01 * c
    assert gauge.n == 3
    first = c
    c = gauge.step(first)
    e = gauge.step(x)
    after = slope + 0.01 * first
    gauge.step(x)
    gauge.step(x)
    total = slope + bend + c + d + e + after + 2 * (slope + 0.01 * x) + (slope + 0.01 * x)
    assert (gauge.n, count) == (7, 7)
    np.testing.assert_allclose(value, total, rtol=1e-13)


def _run_alone(source: str) -> None:
    program = check_text(source)
    run(program, "f", m=_gauge(program), x=0.5)


REFUSED = {
    "loop.builder": (
        "fn each(f: (f64) -> f64, x: f64[3]) -> f64[3] = [v in x] => f(v)\n"
        "fn f(var m: Gauge, x: f64) -> f64 = sum(each(m.step, [x, x, x]))\n"
    ),
    "state.immutable": (
        "fn f(var m: Gauge, x: f64) -> f64 {\n    let g = m.step\n    g(x)\n}\n",
        "fn f(m: Gauge, x: f64) -> f64 = both(m.step, x)\n",
        "fn own(f: (f64) -> f64, x: f64) -> f64 = f(x)\n"
        "derivative own(f, x) -> y { jvp(df, dx) = df(x) + dx }\n"
        "fn f(var m: Gauge, x: f64) -> f64 = own(m.step, x)\n",
    ),
}


@pytest.mark.parametrize("code", REFUSED)
def test_refused(code: str) -> None:
    """Where there is no order, or nobody who sees the change."""
    sources = REFUSED[code]
    for source in (sources,) if isinstance(sources, str) else sources:
        with pytest.raises(Error) as caught:
            _run_alone(PRELUDE + source)
        assert {found.code for found in caught.value.diagnostics} == {code}
