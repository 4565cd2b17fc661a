"""Gradients of loops over tables: right to second order, and as large and long as the loop is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dmc
from tests.growth.measure import Arguments, measure, slope

program = dmc.load(Path(__file__).parent / "tables.dm")


def numbers(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).uniform(0.3, 1.2, shape)


def positions(count: int) -> Any:
    return np.random.default_rng(count).integers(0, 4, count)


CASES: dict[str, tuple[Arguments, float, float]] = {
    "lagged": (lambda n: [numbers(n)], 1, 0),
    "soft_dtw": (lambda n: [numbers(n), numbers(n + 1), 1.0], 2, 2),
    "recurrence": (lambda n: [0.7, numbers(n)], 1, 1),
    "convolved": (lambda n: [numbers(n) / n, numbers(n)], 2, 1),
    "solve": (lambda n: [numbers(n, n) + 2 * np.eye(n), numbers(n)], 2, 2),
    "substituted": (lambda n: [numbers(n, n) + 2 * np.eye(n), numbers(n)], 2, 1),
    "cholesky": (lambda n: [numbers(n, n) / n + 2 * np.eye(n)], 3, 2),
    "determinant": (lambda n: [numbers(n, n) + n * np.eye(n)], 3, 3),
    "swapped": (lambda n: [numbers(n), numbers(n)], 1, 1),
    "banded": (lambda n: [numbers(n) / 4, numbers(n) + 1, numbers(n) / 4, numbers(n)], 1, 1),
    "visited": (lambda n: [numbers(4), positions(n)], 1, 1),
    "branching": (lambda n: [numbers(n)], 1, 1),
    "remembered": (lambda n: [numbers(n)], 1, 1),
    "written": (lambda n: [numbers(n)], 1, 1),
    "aligned": (lambda n: [numbers(n), numbers(n + 1), 0.1], 2, 2),
    "paths": (lambda n: [numbers(n, n)], 2, 2),
    "skipping": (lambda n: [numbers(n), numbers(n + 1)], 2, 2),
    "gated": (lambda n: [numbers(n) / n, numbers(n)], 2, 1),
    "sweeps": (lambda n: [numbers(n)], 1, 1),
    "alternating": (lambda n: [numbers(n) / n, numbers(n)], 2, 1),
}
"""Arguments for a size, and the powers of it that operations and memory grow with."""


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name: str) -> None:
    arguments, _, _ = CASES[name]
    function = getattr(program, name)
    values = arguments(5)
    leaves = [p for p, v in zip(function.checked.parameters, values, strict=True) if real(v)]
    dmc.check_grads(function, *values, wrt=tuple(p.name for p in leaves))
    hessian = dmc.hessian(function)(*values)
    step, first = 1e-5, dmc.grad(function)
    at = next(i for i, v in enumerate(values) if real(v))
    moved = np.array(values[at], dtype=float)
    if not moved.ndim:
        return
    place = (1,) * moved.ndim
    moved[place] += step
    high = first(*values[:at], moved, *values[at + 1 :])
    moved[place] -= 2 * step
    low = first(*values[:at], moved, *values[at + 1 :])
    wanted = (np.asarray(high) - np.asarray(low)) / (2 * step)
    got = np.asarray(hessian)[(Ellipsis, *place)]
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def real(value: Any) -> bool:
    return np.asarray(value).dtype.kind == "f"


@pytest.mark.parametrize("name", CASES)
def test_cost_grows_as_the_program_says(name: str) -> None:
    arguments, work, memory = CASES[name]
    sizes = (80, 320)
    costs = measure(dmc.value_and_grad(getattr(program, name)), arguments, sizes)
    assert slope(sizes, [cost.operations for cost in costs]) < work + 0.1
    assert slope(sizes, [cost.arena for cost in costs]) < memory + 0.1


def test_a_table_that_is_copied_shows() -> None:
    """The measure itself: a program that copies a table for each element is quadratic."""
    copying = dmc.loads(
        """
        fn f[T](x: f64[T]) -> f64 {
            var h = x
            for t in 0..T { h = h * 1.5 }
            sum(h)
        }
        """
    ).f
    sizes = (64, 256)
    costs = measure(copying, lambda n: [numbers(n)], sizes)
    assert slope(sizes, [cost.operations for cost in costs]) > 1.7
