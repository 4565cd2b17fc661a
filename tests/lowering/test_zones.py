"""Interiors without clamps and wraps: the same values, and loops that read vectors as they lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dmc
from dmc.dialects import arith, loop
from dmc.ir import Operation
from tests.growth.measure import compiled

PROGRAM = dmc.loads(
    """
    fn clamped[N](x: f64[N]) -> f64[N] =
        [i] => x[maximum(i - 2, 0)] - 2.0 * x[i] + x[minimum(i + 1, N - 1)]
    fn heat[N](u: f64[N, N]) -> f64[N, N] =
        [i, j] => u[maximum(i - 1, 0), j] + u[minimum(i + 1, N - 1), j]
            + u[i, maximum(j - 1, 0)] * u[i, minimum(j + 1, N - 1)]
    fn periodic[N](u: f64[N, N]) -> f64[N, N] =
        [i, j] => u[i, (j + 1) % N] - u[i, (j + N - 1) % N] + u[(i + 1) % N, j]
    fn far[N](x: f64[N]) -> f64[N] = [i in 0..N] => x[(i + N // 2) % N]
    fn backwards[N](x: f64[N]) -> f64[N] = [i in 0..N] => x[minimum(N - i, N - 1)]
    fn stairs[N](x: f64[N]) -> f64[N] = [i in 0..N] => x[i // 3]
    fn pieces[N](x: f64[N]) -> f64[N] =
        [i] => if i < 11 { sin(x[i]) } else if i == 17 { 0.5 } else { x[maximum(i - 11, 0)] }
    fn within[N](u: f64[N, N]) -> f64[N, N] =
        [i, j in 0..N] => if j <= i { u[i, maximum(j - 1, 0)] } else { 0.0 }
    """
)


def vector(n: int) -> Any:
    return np.random.default_rng(n).normal(size=n)


def square(n: int) -> Any:
    return np.random.default_rng(n).normal(size=(n, n))


def at(x: Any, shift: int) -> Any:
    return x[..., np.clip(np.arange(x.shape[-1]) + shift, 0, x.shape[-1] - 1)]


def pieces(x: Any) -> Any:
    i = np.arange(len(x))
    return np.where(i < 11, np.sin(x), np.where(i == 17, 0.5, at(x, -11)))


CASES: dict[str, tuple[Callable[[int], Any], Callable[[Any], Any]]] = {
    "clamped": (vector, lambda x: at(x, -2) - 2.0 * x + at(x, 1)),
    "heat": (square, lambda u: at(u.T, -1).T + at(u.T, 1).T + at(u, -1) * at(u, 1)),
    "periodic": (square, lambda u: np.roll(u, -1, 1) - np.roll(u, 1, 1) + np.roll(u, -1, 0)),
    "far": (vector, lambda x: np.roll(x, -(len(x) // 2))),
    "backwards": (vector, lambda x: x[np.minimum(len(x) - np.arange(len(x)), len(x) - 1)]),
    "stairs": (vector, lambda x: x[np.arange(len(x)) // 3]),
    "pieces": (vector, pieces),
    "within": (square, lambda u: np.tril(at(u, -1))),
}


@pytest.mark.parametrize("name", CASES)
def test_values(name: str) -> None:
    arguments, wanted = CASES[name]
    for n in (1, 2, 3, 4, 8, 11, 17, 18, 31, 64, 67):
        x = arguments(n)
        np.testing.assert_allclose(getattr(PROGRAM, name)(x), wanted(x), atol=1e-12, err_msg=f"{n}")


def test_tasks_that_divide_the_lanes() -> None:
    x = vector(200_003)
    np.testing.assert_allclose(PROGRAM.clamped(x), CASES["clamped"][1](x), atol=1e-12)
    np.testing.assert_array_equal(PROGRAM.far(x), CASES["far"][1](x))


def innermost(name: str, x: Any) -> list[loop.For]:
    """The loops over vectors."""
    module = compiled(getattr(PROGRAM, name), [x]).loops.module
    loops = [op for op in module.walk() if isinstance(op, loop.For) and op.step > 1]
    assert loops, name
    return loops


def slow(op: Operation) -> bool:
    scattered = isinstance(op, loop.Gather | loop.Scatter | loop.If)
    return scattered or isinstance(op, arith.Maximum | arith.Minimum | arith.Remainder)


@pytest.mark.parametrize("name", ["clamped", "heat", "periodic", "far"])
def test_interiors_read_vectors_as_they_lie(name: str) -> None:
    for each in innermost(name, CASES[name][0](256)):
        assert not [op for op in each.body if slow(op)]


def test_the_look_finds_what_is_slow() -> None:
    loops = innermost("stairs", vector(256))
    assert any(slow(op) for each in loops for op in each.body)
