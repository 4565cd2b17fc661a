"""Reductions over ranges that are known when they run, and updates of gathered elements."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import logsumexp

import dmc
from dmc.ir import Array
from tests.semantics.running import run

RANGES = """
fn from_(x: f64[8], a: i64, n: i64) -> f64 = logsumexp[i in a..n](2.0 * x[i])
fn bounded(x: f64[8]) -> f64[8] = [i in 0..8] => logsumexp[j in 0..i + 1](x[j])
fn best(x: f64[8], a: i64, n: i64) -> i32 = argmax[i in a..n](x[i])
fn least(x: f64[8, 3], n: i64) -> i32[3] = argmin[i in 2..n](x[i])
fn rivals(x: f64[8]) -> i32[8] = [i] => argmax[j in 0..i](x[i] * x[j])
fn fixed(x: f64[8]) -> i32 = argmax[i in 3..6](x[i])
"""

GATHERS = """
fn scaled(x: f64[6], ids: i32[4], v: f64[4]) -> f64[6] {
    var a = x
    a[ids] *= v
    a
}
fn divided(x: f64[3, 6], ids: i32[2, 2], v: f64[3, 2, 2]) -> f64[3, 6] {
    var a = x
    a[:, ids] /= v
    a[1, ids[0]] += v[0, 0]
    a[::2, ids[1]] *= v[0]
    a[::2, 5] = v[0, 1]
    a
}
fn energy(v: f64[4], x: f64[6], ids: i32[4]) -> f64 = sum(scaled(x, ids, v) ** 2)
"""
RNG = np.random.default_rng(0)


def test_reductions_over_ranges_known_at_run_time() -> None:
    mod = dmc.loads(RANGES)
    x, xs = RNG.normal(size=8), RNG.normal(size=(8, 3))
    assert np.isclose(mod.from_(x, 2, 6), logsumexp(2 * x[2:6]))
    assert mod.from_(x, 3, 3) == -np.inf
    assert np.allclose(mod.bounded(x), np.logaddexp.accumulate(x))
    assert mod.best(x, 2, 7) == 2 + np.argmax(x[2:7])
    assert mod.best(x, 3, 3) == 3
    assert (mod.least(xs, 7) == 2 + np.argmin(xs[2:7], 0)).all()
    assert (mod.rivals(x) == [np.argmax(x[i] * x[:i]) if i else 0 for i in range(8)]).all()
    assert mod.fixed(x) == 3 + np.argmax(x[3:6]) == run(RANGES, "fixed", x=x)[0]
    low, high = np.int64(2), np.int64(6)
    assert mod.from_(x, 2, 6) == run(RANGES, "from_", x=x, a=low, n=high)[0]
    weights = np.zeros(8)
    weights[2:6] = np.exp(2 * x[2:6] - logsumexp(2 * x[2:6]))
    assert np.allclose(dmc.grad(mod.from_)(x, 2, 6), 2 * weights)
    curvature = 4 * (np.diag(weights) - np.outer(weights, weights))
    assert np.allclose(dmc.hessian(mod.from_)(x, 2, 6), curvature)
    x[3] = -np.inf  # a term that is left out
    assert np.isclose(mod.from_(x, 3, 6), logsumexp(2 * x[4:6]))
    assert dmc.grad(mod.from_)(x, 3, 6)[3] == 0.0


def test_every_occurrence_of_a_gathered_element_changes_it() -> None:
    mod = dmc.loads(GATHERS)
    x, ids, v = RNG.normal(size=6), np.array([1, 3, 1, 0], np.int32), RNG.normal(size=4)
    wanted = x.copy()
    np.multiply.at(wanted, ids, v)
    assert np.allclose(mod.scaled(x, ids, v), wanted)
    assert np.allclose(run(GATHERS, "scaled", x=x, ids=ids, v=v)[0], wanted)
    rows, places = RNG.normal(size=(3, 6)), np.array([[1, 2], [2, 5]], np.int32)
    parts = RNG.normal(size=(3, 2, 2))
    wanted = rows.copy()
    for k in np.ndindex(2, 2):
        wanted[:, places[k]] /= parts[(slice(None), *k)]
    wanted[1, places[0]] += parts[0, 0]
    for k in range(2):
        wanted[::2, places[1, k]] *= parts[0, :, k]
    wanted[::2, 5] = parts[0, 1]
    assert np.allclose(mod.divided(rows, places, parts), wanted)
    hessian = dmc.hessian(mod.energy)(v, x, ids)
    assert np.allclose(hessian, _slopes(lambda t: dmc.grad(mod.energy)(t, x, ids), v))
    jacobian = dmc.jacobian(mod.scaled)(x, ids, v)
    assert np.allclose(jacobian, np.diag(mod.scaled(np.ones(6), ids, v)))


def _slopes(f: Callable[[Array], Array], x: Array) -> Array:
    h = 1e-6
    return np.stack([(f(x + h * d) - f(x - h * d)) / (2 * h) for d in np.eye(len(x))], -1)
