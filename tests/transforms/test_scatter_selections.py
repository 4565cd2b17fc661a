"""What one subscript selects is added there, instead of summed over all alternatives."""

from __future__ import annotations

import numpy as np
import pytest

import dmc
from dmc.dialects import kernel
from dmc.transforms.scatter_selections import ScatterSelections
from tests.growth.measure import compiled, operations

SOURCE = """
fn cost[N, K, D](centres: f64[K, D], x: f64[N, D]) -> f64 =
    sum([n] => min([k] => sum[d]((x[n, d] - centres[k, d]) ** 2)))
fn best[N, K, D](centres: f64[K, D], x: f64[N, D]) -> f64 =
    sum([n] => max([k] => sum[d](x[n, d] * centres[k, d])))
fn share[N, K, D](centres: f64[K, D], x: f64[N, D]) -> (f64[D, K], f64[K, D]) {
    let slope = grad(cost)(centres, x)
    ([d, k] => slope[k, d] / centres[k, d], slope * f64(N))
}
"""
PROGRAM = dmc.loads(SOURCE)
SIZES = [(1, 7, 1), (3, 5, 2), (40, 6, 33), (200, 70, 3), (17, 9, 70)]


@pytest.mark.parametrize("sizes", SIZES)
def test_the_gradient_of_winners(sizes: tuple[int, int, int]) -> None:
    n, k, d = sizes
    rng = np.random.default_rng(n)
    centres, x = rng.normal(size=(k, d)), rng.normal(size=(n, d))
    apart = x[:, None] - centres
    distances = (apart**2).sum(2)
    nearest = distances.argmin(1)
    wanted = np.zeros((k, d))
    np.add.at(wanted, nearest, -2 * apart[np.arange(n), nearest])
    value, gradient = dmc.value_and_grad(PROGRAM.cost)(centres, x)
    np.testing.assert_allclose(value, distances.min(1).sum(), rtol=1e-12)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-11, atol=1e-12)
    over, times = PROGRAM.share(centres, x)
    np.testing.assert_allclose(over, (wanted / centres).T, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(times, n * wanted, rtol=1e-11, atol=1e-12)
    best = np.zeros((k, d))
    np.add.at(best, (x @ centres.T).argmax(1), x)
    np.testing.assert_allclose(dmc.grad(PROGRAM.best)(centres, x), best, rtol=1e-12, atol=1e-13)


def test_what_is_not_selected_does_not_count() -> None:
    """An infinitely far centre, and a point whose distances are no numbers."""
    centres, x = np.zeros((6, 2)), np.ones((4, 2))
    centres[3] = np.inf
    gradient = dmc.grad(PROGRAM.cost)(centres, x)
    assert gradient.tolist() == [[-8.0, -8.0], *([[0.0, 0.0]] * 5)]


def test_the_work_is_that_of_the_winners(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pullback does not look at all pairs of points and centres in every dimension."""
    x, centres = np.ones((500, 20)), np.arange(40.0).reshape(-1, 1) * np.ones(20)

    def work(program: dmc.Module) -> tuple[int, int]:
        forward = compiled(program.cost, [centres, x])
        both = compiled(dmc.value_and_grad(program.cost), [centres, x])
        found = [op for op in both.kernels.walk() if isinstance(op, kernel.Scatter)]
        return operations(both.loops) - operations(forward.loops), len(found)

    pullback, scatters = work(PROGRAM)
    assert scatters == 1
    shared = compiled(PROGRAM.share, [centres, x]).kernels
    assert sum(isinstance(op, kernel.Scatter) for op in shared.walk()) == 1, "whatever follows"
    monkeypatch.setattr(ScatterSelections, "run", lambda self, module: None)
    summed, scatters = work(dmc.loads(SOURCE))
    assert scatters == 0
    assert 5 * pullback < 4 * summed


def test_few_alternatives_are_all_looked_at() -> None:
    compilation = compiled(dmc.grad(PROGRAM.cost), [np.ones((3, 2)), np.ones((9, 2))])
    assert not any(isinstance(op, kernel.Scatter) for op in compilation.kernels.walk())
