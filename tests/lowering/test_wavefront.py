"""Nests along antidiagonals: what they compute, and which nests they are."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

import dmc
from dmc.dialects import loop
from tests.growth.measure import compiled

Array: TypeAlias = "npt.NDArray[np.float64]"

SMOOTH = """
fn f[N, M](x: f64[N], y: f64[M], a: f64) -> f64 {
    var r = [i in 0..N + 1, j in 0..M + 1] => 0.1 * f64(i) - 0.2 * f64(j)
    for i in 0..N {
        for j in 0..M {
            r[i + 1, j + 1] = sin(a * r[i, j] - 0.5 * r[i, j + 1] + 0.7 * r[i + 1, j] + x[i] * y[j])
        }
    }
    sum(r * r)
}
"""
SWEEP = """
fn f[N, M](u0: f64[N, M], w: f64[N]) -> f64[N, M] {
    var u = u0
    for i in 1..N - 1 {
        for j in 1..M - 1 {
            u[i, j] = w[i] * (u[i - 1, j] + u[i, j - 1] + u[i + 1, j] + u[i, j + 1])
        }
    }
    u
}
"""
# The element above to the right is on the antidiagonal of the one to be computed, or beyond it.
ABOVE_RIGHT = """
fn f[N, M](x: f64[N], y: f64[M]) -> f64[N, M] {
    var r: f64[N, M] = zeros
    for i in 1..N {
        for j in 0..M - 2 {
            r[i, j + 1] = 0.5 * r[i - 1, j + 2] + 0.5 * r[i, j] + x[i] * y[j]
        }
    }
    r
}
"""
# A gap costs 3 where it opens and 1 where it goes on (Gotoh 1982); costs of pairs are looked up.
ALIGNMENT = """
fn f[N, M, K](a: i32[N], b: i32[M], cost: f32[K, K]) -> (f32, f32[N]) {
    var best = [i in 0..N + 1, j in 0..M + 1] => f32(i + j)
    var down: f32[M] = [j in 0..M] => 100.0
    var worst = -1000.0
    let ends = for i in 0..N {
        var right: f32 = 100.0 + f32(i)
        for j in 0..M {
            down[j] = minimum(down[j] + 1.0, best[i, j + 1] + 3.0)
            right = minimum(right + 1.0, best[i + 1, j] + 3.0)
            best[i + 1, j + 1] = minimum(best[i, j] + cost[a[i], b[j]], minimum(down[j], right))
        }
        worst = maximum(worst, right)
        right
    }
    (best[N, M] + worst, ends)
}
"""


def runs(function: dmc.Function, *arrays: object) -> tuple[int, int]:
    """How many loads, and how many stores, of lanes that are apart in memory there are."""
    names = [op.name for op in compiled(function, arrays).loops.module.walk()]
    return names.count(loop.Gather.name), names.count(loop.Scatter.name)


def smooth(x: Array, y: Array, a: float) -> tuple[float, Array, Array, float]:
    """The value of SMOOTH and its derivatives."""
    rows, columns = x.size, y.size
    r = 0.1 * np.arange(rows + 1.0)[:, None] - 0.2 * np.arange(columns + 1.0)
    cells = [(i, j) for i in range(rows) for j in range(columns)]
    slopes = np.zeros((rows, columns))
    for i, j in cells:
        far = a * r[i, j] - 0.5 * r[i, j + 1] + 0.7 * r[i + 1, j] + x[i] * y[j]
        r[i + 1, j + 1], slopes[i, j] = np.sin(far), np.cos(far)
    bar, in_x, in_y, in_a = 2 * r, np.zeros(rows), np.zeros(columns), 0.0
    for i, j in reversed(cells):
        z = bar[i + 1, j + 1] * slopes[i, j]
        bar[i, j] += a * z
        bar[i, j + 1] -= 0.5 * z
        bar[i + 1, j] += 0.7 * z
        in_x[i] += z * y[j]
        in_y[j] += z * x[i]
        in_a += z * r[i, j]
    return float((r * r).sum()), in_x, in_y, in_a


@pytest.mark.parametrize("sizes", [(19, 26), (300, 20)])
def test_a_recurrence_and_its_gradient(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(n) for n in sizes)
    f = dmc.value_and_grad(dmc.loads(SMOOTH).f, wrt=("x", "y", "a"))
    value, gradients = f(x, y, 0.3)
    expected = smooth(x, y, 0.3)
    assert value == pytest.approx(expected[0], rel=1e-12)
    for found, by_hand in zip(gradients, expected[1:], strict=True):
        np.testing.assert_allclose(found, by_hand, rtol=1e-9, atol=1e-9)
    loads, stores = runs(f, x, y, 0.3)
    assert loads > 8
    assert stores > 4


def test_a_sweep_reads_what_is_not_yet_computed() -> None:
    rng = np.random.default_rng(1)
    u, w = rng.standard_normal((21, 30)), rng.standard_normal(21)
    f = dmc.loads(SWEEP).f
    expected = u.copy()
    for i in range(1, 20):
        for j in range(1, 29):
            four = expected[i - 1, j] + expected[i, j - 1] + expected[i + 1, j] + expected[i, j + 1]
            expected[i, j] = w[i] * four
    assert min(runs(f, u, w)) > 0
    np.testing.assert_array_equal(f(u, w), expected)


def test_a_dependence_within_an_antidiagonal_keeps_the_order() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal(20), rng.standard_normal(24)
    f = dmc.loads(ABOVE_RIGHT).f
    expected = np.zeros((20, 24))
    for i in range(1, 20):
        for j in range(22):
            near = 0.5 * expected[i - 1, j + 2] + 0.5 * expected[i, j]
            expected[i, j + 1] = near + x[i] * y[j]
    assert runs(f, x, y) == (0, 0)
    np.testing.assert_array_equal(f(x, y), expected)


FROM_A_ROW = """
fn f[N, M](x: f64[N, M]) -> f64[N + 2] {
    var y: f64[N + 2] = ones
    for i in 0..N { for j in 0..M { y[i + 2] = sin(y[i] + x[i, j] + 0.5 * y[i + 2]) } }
    y
}
"""


@pytest.mark.parametrize("sizes", [(64, 64), (40, 7), (64, 2)])
def test_what_a_whole_row_leaves_is_read_behind_it(sizes: tuple[int, int]) -> None:
    x = np.random.default_rng(3).standard_normal(sizes)
    f = dmc.loads(FROM_A_ROW).f
    expected = np.ones(sizes[0] + 2)
    for i, j in np.ndindex(*sizes):
        expected[i + 2] = np.sin(expected[i] + x[i, j] + 0.5 * expected[i + 2])
    np.testing.assert_allclose(f(x), expected, rtol=1e-12)


def test_states_of_rows_and_subscripts_from_data() -> None:
    rng = np.random.default_rng(3)
    a, b = (rng.integers(0, 4, n).astype("i4") for n in (33, 25))
    cost = rng.standard_normal((4, 4)).astype("f4")
    f = dmc.loads(ALIGNMENT).f
    best = np.add.outer(np.arange(34), np.arange(26)).astype("f4")
    down, ends = np.full(25, 100, "f4"), np.zeros(33, "f4")
    for i in range(33):
        right = np.float32(100 + i)
        for j in range(25):
            down[j] = min(down[j] + 1, best[i, j + 1] + 3)
            right = min(right + 1, best[i + 1, j] + 3)
            best[i + 1, j + 1] = min(best[i, j] + cost[a[i], b[j]], down[j], right)
        ends[i] = right
    value, found = f(a, b, cost)
    assert min(runs(f, a, b, cost)) > 0
    np.testing.assert_array_equal(found, ends)
    assert value == np.float32(best[33, 25] + ends.max())


# What looks at a sum, or doubles it, needs it whole. A row of `w` is the same for all cells.
RUNNING = """
fn sums[N, M](x: f64[N, M], start: f64) -> f64[N, M] {
    var s = start
    for i in 0..N { for j in 0..M { s += x[i, j]; s } }
}

fn doubled[N, M](x: f64[N, M]) -> f64 {
    var s = 1.0
    for i in 0..N { for j in 0..M { s += s } }
    s
}

fn table[N, M](x: f64[N, M], w: f64[3, M + 1]) -> f64[N + 1, M + 1] {
    var r: f64[N + 1, M + 1] = ones
    for i in 0..N {
        for j in 0..M { r[i + 1, j + 1] = sin(r[i, j] + r[i + 1, j] + x[i, j] * w[1, j + 1]) }
    }
    r
}
"""


def test_sums_that_cells_look_at_and_rows_from_outside() -> None:
    rng = np.random.default_rng(4)
    x, w = rng.standard_normal((19, 22)), rng.standard_normal((3, 23))
    program = dmc.loads(RUNNING)
    sums = 0.5 + np.cumsum(x).reshape(x.shape)
    np.testing.assert_allclose(program.sums(x, 0.5), sums, rtol=1e-12, atol=1e-12)
    assert program.doubled(x) == 2.0**x.size
    r = np.ones((20, 23))
    for i, j in np.ndindex(19, 22):
        r[i + 1, j + 1] = np.sin(r[i, j] + r[i + 1, j] + x[i, j] * w[1, j + 1])
    np.testing.assert_allclose(program.table(x, w), r, rtol=1e-12)
    assert min(runs(program.table, x, w)) > 0
