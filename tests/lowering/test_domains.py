"""Loops bounded by predicates: the same bits, from no more points than count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dmc
from dmc.jit.target import ENVIRONMENT_VARIABLE
from tests.growth.measure import compiled, operations

SOURCE = """
    fn masked[N, K](p: f32[N, N], v: f32[N, K]) -> f32[N, K] =
        [t, e] => sum[u](if u <= t { p[t, u] * v[u, e] } else { 0.0 })
    fn upper[N, K](p: f32[N, N], v: f32[N, K]) -> f32[N, K] =
        [u, e] => sum[t](if u < t { p[t, u] * v[t, e] } else { 0.0 })
    fn product[N, K](p: f32[N, K], v: f32[N, K]) -> f32[N, N] =
        [t, u] => if 2 * u <= t + 3 { sum[e](p[t, e] * v[u, e]) } else { -inf }
    fn lower[N](a: f64[N, N], x: f64[N]) -> f64[N] =
        [i] => sum[j](if j <= i { a[i, j] * x[j] } else { 0.0 })
    fn columns[N](a: f64[N, N], x: f64[N]) -> f64[N] =
        [j] => sum[i](if j <= i { a[i, j] * x[i] } else { 0.0 })
    fn banded[N](a: f64[N, N], x: f64[N]) -> f64[N] =
        [i] => sum[j](if abs(i - j) <= 5 { a[i, j] * x[j] } else { 0.0 })
    fn highest[N](a: f64[N, N]) -> f64[N] =
        [i] => max[j](if j < i { a[i, j] } else { -inf })
    fn triangle[N](a: f64[N, N]) -> f64[N, N] =
        [i, j] => if j <= i { exp(a[i, j]) } else { 1.5 }
    fn turned[N](a: f64[N, N]) -> f64[N, N] =
        [i, j] => if j > i { exp(a[j, i]) } else { 1.5 }
    fn late[N](a: f64[N, N]) -> f64[N, N] =
        [i, j] => if i >= 5 { exp(a[i, j]) } else { 0.0 }
    fn corner[N](a: f64[N, N, N]) -> f64 =
        sum[i, j, k](if i + j + k < 9 { a[i, j, k] } else { 0.0 })
"""
PROGRAM = dmc.loads(SOURCE)


def matrices(n: int) -> list[Any]:
    rng = np.random.default_rng(n)
    return [rng.normal(size=(n, n)), rng.normal(size=n)]


def pair(n: int, k: int = 20) -> list[Any]:
    rng = np.random.default_rng(n)
    return [rng.normal(size=(n, n)).astype("f"), rng.normal(size=(n, k)).astype("f")]


def rows(n: int) -> list[Any]:
    rng = np.random.default_rng(n)
    return [rng.normal(size=(n, 9)).astype("f") for _ in range(2)]


def grid(n: int) -> tuple[Any, ...]:
    return np.ix_(np.arange(n), np.arange(n))


Wanted = Callable[..., Any]


def late(a: Any) -> Any:
    return np.where(grid(len(a))[0] >= 5, np.exp(a), 0.0)


def banded(a: Any, x: Any) -> Any:
    i, j = grid(len(x))
    return np.where(abs(i - j) <= 5, a, 0.0) @ x


def highest(a: Any) -> Any:
    i, j = grid(len(a))
    return np.max(np.where(j < i, a, -np.inf), 1)


def product(p: Any, v: Any) -> Any:
    t, u = grid(len(p))
    return np.where(2 * u <= t + 3, p @ v.T, -np.inf)


def corner(a: Any) -> Any:
    i, j, k = np.ix_(*(np.arange(len(a)),) * 3)
    return np.where(i + j + k < 9, a, 0.0).sum()


CASES: dict[str, tuple[Callable[[int], list[Any]], Wanted]] = {
    "masked": (pair, lambda p, v: np.tril(p) @ v),
    "upper": (pair, lambda p, v: np.tril(p, -1).T @ v),
    "product": (rows, product),
    "lower": (matrices, lambda a, x: np.tril(a) @ x),
    "columns": (matrices, lambda a, x: np.tril(a).T @ x),
    "banded": (matrices, banded),
    "highest": (lambda n: matrices(n)[:1], highest),
    "triangle": (lambda n: matrices(n)[:1], lambda a: np.where(np.tri(len(a)), np.exp(a), 1.5)),
    "turned": (lambda n: matrices(n)[:1], lambda a: np.where(np.tri(len(a)), 1.5, np.exp(a.T))),
    "late": (lambda n: matrices(n)[:1], late),
    "corner": (lambda n: [np.random.default_rng(n).normal(size=(n, n, n))], corner),
}


@pytest.mark.parametrize("name", CASES)
def test_values(name: str) -> None:
    arguments, wanted = CASES[name]
    for n in (1, 2, 7, 8, 9, 33, 70):
        given = arguments(n)
        got = getattr(PROGRAM, name)(*given)
        tolerance = 1e-4 if given[0].dtype == np.float32 else 1e-11
        np.testing.assert_allclose(got, wanted(*given), atol=tolerance, err_msg=f"{n}")


@pytest.mark.parametrize("name", ["masked", "lower"])
def test_what_is_outside_is_not_looked_at(name: str) -> None:
    arguments, wanted = CASES[name]
    matrix, other = arguments(70)
    poisoned = np.where(np.tri(70), matrix, np.nan).astype(matrix.dtype)
    got = getattr(PROGRAM, name)(poisoned, other)
    np.testing.assert_allclose(got, wanted(matrix, other), atol=1e-4)
    assert np.isnan(getattr(PROGRAM, name)(np.full_like(matrix, np.nan), other)).all()


HALVED = {
    "masked": ("u <= t", 0.65),
    "upper": ("u < t", 0.65),
    "lower": ("j <= i", 0.6),
    "columns": ("j <= i", 0.6),
    "highest": ("j < i", 0.6),
    "triangle": ("j <= i", 0.6),
    "product": ("2 * u <= t + 3", 0.55),
}
"""Conditions, and the part of the whole work that a triangle of 256 takes at most, with tiles."""


@pytest.mark.parametrize("name", HALVED)
def test_half_the_points_are_half_the_work(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Tiles are as large as registers, and their borders count.
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "x86-64-v3")
    condition, part = HALVED[name]
    given = CASES[name][0](256)
    always = dmc.loads(SOURCE.replace(condition, f"{condition} + 2 * N"))
    counts = [
        operations(compiled(getattr(module, name), given).loops) for module in (PROGRAM, always)
    ]
    assert counts[0] < part * counts[1], counts[0] / counts[1]
