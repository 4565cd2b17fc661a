"""Adding to chosen elements: right, and with the same bits on any number of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import dmc
from dmc.dialects import loop
from dmc.jit.pool import pool
from tests.growth.measure import compiled

program = dmc.loads(
    """
fn rows[V, D, N](w: f64[V, D], at: i64[N], g: f64[N, D]) -> f64 =
    sum([n, d] => w[at[n], d] * g[n, d])
fn points[V, N](w: f64[V], at: i64[N], g: f64[N]) -> f64 = sum([n] => w[at[n]] * g[n])
fn apart[B, V, N](w: f64[B, V], at: i64[B, N], g: f64[B, N]) -> f64 =
    sum([b, n] => w[b, at[b, n]] * g[b, n])
"""
)
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = pool().threads
    yield
    pool().resize(before)


Case = tuple[str, tuple[int, ...], tuple[int, ...], tuple[int, ...], bool]


CASES: list[Case] = [
    ("rows", (500, 64), (20000,), (20000, 64), True),
    ("rows", (30, 4), (60000,), (60000, 4), True),
    ("points", (100,), (200000,), (200000,), True),
    ("points", (50000,), (20000,), (20000,), False),
    ("points", (700001,), (300000,), (300000,), True),
    ("points", (700001,), (20,), (20,), False),
    ("apart", (16, 300), (16, 5000), (16, 5000), True),
]
"""A program, the shapes of table, subscripts and updates; whether that is worth tasks."""


def added(name: str, w: Any, at: Any, g: Any) -> Any:
    total = np.zeros(w.shape)
    if name == "apart":
        np.add.at(total, (np.arange(len(at))[:, None], at), g)
    else:
        np.add.at(total, at, g)
    return total


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def test_values_and_bits(case: Case) -> None:
    name, table, where, updates, divided = case
    w, g = RNG.normal(size=table), RNG.normal(size=updates)
    at = RNG.integers(0, table[1] if name == "apart" else table[0], where)
    gradient: Callable[..., Any] = dmc.grad(getattr(program, name), wrt="w")
    found: list[Any] = []
    for threads in (1, 2, 3, 7):
        pool().resize(threads)
        found.append(np.asarray(gradient(w, at, g)))
    np.testing.assert_allclose(found[0], added(name, w, at, g), rtol=1e-12, atol=1e-12)
    assert len({each.tobytes() for each in found}) == 1
    loops = compiled(gradient, [w, at, g]).loops.module
    scatters = [
        op
        for op in loops.walk()
        if str(op.attributes.get("sym_name", "")).startswith("kernel.scatter")
    ]
    tasks = [op for each in scatters for op in each.walk() if isinstance(op, loop.Parallel)]
    assert scatters
    assert bool(tasks) == divided


def test_the_order_of_a_sum_does_not_depend_on_what_is_fused_into_it() -> None:
    source = """
fn plain[V, N](w: f64[V], at: i64[N], g: f64[N]) -> f64 = sum([n] => w[at[n]] * g[n])
fn fused[V, N](w: f64[V], at: i64[N], g: f64[N]) -> f64 =
    sum([n] => w[at[n]] * -(-abs(sqrt(g[n] * g[n]))))
"""
    module = dmc.loads(source)
    w, at = RNG.normal(size=7), RNG.integers(0, 7, 100000)
    g = np.abs(RNG.normal(size=100000)).astype(np.float32).astype(float)
    first, second = (
        np.asarray(dmc.grad(f, wrt="w")(w, at, g)) for f in (module.plain, module.fused)
    )
    assert first.tobytes() == second.tobytes()
