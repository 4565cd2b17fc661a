"""What is not selected contributes exactly zero: through contractions, scans, loops and calls.

Every program of `zeros.dm` runs twice, with harmless numbers and with an infinity or NaN where
nothing is selected. Values and derivatives are the same in every bit, in native code, and the
interpreter agrees.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dmc
from dmc.ir import Array
from dmc.semantics.modules import check_text
from dmc.semantics.program import Program
from tests.semantics.running import run

SOURCE = (Path(__file__).parent / "zeros.dm").read_text()
MASKED = (
    *("rows", "dots", "branch", "relus", "factors", "running", "softly", "log_sums", "greatest"),
    *("sorted", "first", "stepped", "rooted", "ruled"),
)
LAST = ("causally", "unused_at_the_end")
"""Programs to which the last row does not matter."""
SQUARE = ("rows", "relus")
POISONS = (np.inf, -np.inf, np.nan)


@cache
def program(dtype: str) -> Any:
    return dmc.loads(SOURCE.replace("f64", dtype), "zeros.dm")


def arguments(name: str, n: int, d: int, poison: float, dtype: str) -> dict[str, Array]:
    rng = np.random.default_rng(n + d)
    x = rng.uniform(0.2, 0.9, (n, d)).astype(dtype)
    w = rng.uniform(0.2, 0.9, (d, d) if name in SQUARE else d).astype(dtype)
    if name in LAST:
        x[-1] = poison
        if name == "causally":
            w = rng.uniform(0.2, 0.9, (n, n)).astype(dtype)
        return {"w": w, "x": x}
    ok = rng.random(n) > 0.4
    ok[:2] = (False, True)
    x[~ok] = poison
    return {"w": w, "x": x, "ok": ok}


def derivatives(f: Any, given: dict[str, Array]) -> list[Array]:
    along = np.random.default_rng(1).normal(size=given["w"].shape).astype(given["w"].dtype)
    slope, x_slope = dmc.grad(f, wrt=("w", "x"))(**given)
    return [
        np.asarray(value)
        for value in (
            f(**given),
            dmc.jvp(f, along=along)(**given)[1],
            slope,
            x_slope,
            dmc.hvp(f, along=along)(**given),
        )
    ]


@pytest.mark.parametrize(("n", "d"), [(2, 1), (33, 19)])
@pytest.mark.parametrize("name", [*MASKED, *LAST])
def test_native_code(name: str, n: int, d: int) -> None:
    for dtype in ("f64", "f32"):
        f = getattr(program(dtype), name)
        kind = {"f64": "float64", "f32": "float32"}[dtype]
        wanted = derivatives(f, arguments(name, n, d, 0.5, kind))
        for poison in POISONS:
            got = derivatives(f, arguments(name, n, d, poison, kind))
            for a, b in zip(got, wanted, strict=True):
                np.testing.assert_array_equal(a, b)


@cache
def slopes() -> Program:
    """For each of the programs a function that is its gradient, checked together."""
    return check_text("\n".join([SOURCE, *map(slope_of, (*MASKED, *LAST))]))


def slope_of(name: str) -> str:
    head = SOURCE[SOURCE.index(f"fn {name}[") :].split(" ->")[0]
    type_ = head.split("w: ")[1].split("]")[0]
    names = ", ".join(arguments(name, 5, 3, np.inf, "float64"))
    return f"{head} -> {type_}] = grad({name})({names})\n".replace("fn ", "fn slope_of_", 1)


@pytest.mark.parametrize("name", [*MASKED, *LAST])
def test_the_interpreter_agrees(name: str) -> None:
    given = arguments(name, 5, 3, np.inf, "float64")
    values: dict[str, Any] = dict(given)
    (slope,) = run(slopes(), f"slope_of_{name}", **values)
    wanted = dmc.grad(getattr(program("f64"), name))(**given)
    np.testing.assert_allclose(slope, wanted, rtol=1e-12)


@pytest.mark.parametrize("k", [7, 5000])
def test_a_masked_sum_of_any_length(k: int) -> None:
    """Sums of many terms are summed in parts, each of which may have to be summed again."""
    rng = np.random.default_rng(0)
    w, x, ok = rng.normal(size=(k, 8)), rng.normal(size=(5, k)), rng.random(k) > 0.3
    f = program("f64").long
    wanted = derivatives(f, {"w": w, "x": x, "ok": ok})
    w[~ok] = np.nan
    x[:, ~ok] = np.inf
    for a, b in zip(derivatives(f, {"w": w, "x": x, "ok": ok}), wanted, strict=True):
        np.testing.assert_array_equal(a, b)


ATTENTION = """
fn mixed[T, K](w: f64[T, T], v: f64[T, K], scale: f64) -> f64[T, K] {
    let s = [t, u] => if u <= t { w[t, u] } else { -inf }
    let p = [t, u] => scale * softmax[-1](s)[t, u]
    [t, k] => sum[u](p[t, u] * v[u, k])
}

fn loss[T, K](w: f64[T, T], v: f64[T, K], scale: f64) -> f64 = sum(mixed(w, v, scale)[:T - 1] ** 2)
"""


@cache
def attention() -> Any:
    return dmc.loads(ATTENTION)


@pytest.mark.parametrize("poison", POISONS)
def test_weights_of_masked_scores_absorb(poison: float) -> None:
    """The last row of `v` is masked in all rows but the last: whatever it is, to second order."""
    module = attention()
    rng = np.random.default_rng(0)
    w, v = rng.normal(size=(9, 9)), rng.normal(size=(9, 4))
    f = dmc.value_and_grad(module.loss, wrt=("w", "v"))
    wanted, hessian = f(w, v, 0.5), dmc.hvp(module.loss, along=w)(w, v, 0.5)
    v[-1] = poison
    (value, slopes), again = f(w, v, 0.5), dmc.hvp(module.loss, along=w)(w, v, 0.5)
    np.testing.assert_array_equal(value, wanted[0])
    for a, b in zip((*slopes, again), (*wanted[1], hessian), strict=True):
        np.testing.assert_array_equal(a, b)
    (interpreted,) = run(ATTENTION, "loss", w=w, v=v, scale=np.array(0.5))
    np.testing.assert_allclose(interpreted, value, rtol=1e-12)


def test_scores_of_minus_infinity_have_no_weight() -> None:
    f = dmc.loads("fn f[N, M](x: f64[N, M]) -> f64[N, M] = softmax[-1](x)").f
    x = np.array([[-np.inf, -np.inf], [-np.inf, 3.0], [-np.inf, np.nan], [np.inf, -np.inf]])
    nan = np.nan
    np.testing.assert_array_equal(f(x), [[0, 0], [0, 1], [0, nan], [nan, 0]])
