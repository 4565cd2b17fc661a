"""Subscripts in loops: what is seen to be inside, and what is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dmc
from dmc.dialects import kernel, loop
from dmc.ir import Module
from tests.growth.measure import compiled

PROGRAM = dmc.loads(
    """
    fn inside[N, K](x: f64[N], w: f64[K]) -> f64 {
        var acc = 0.0
        for t in 0..N - K + 1 { acc += sum[i](x[t + i] * w[i]) }
        acc
    }
    fn across[N, K](x: f64[N], w: f64[K]) -> f64 {
        var acc = 0.0
        for t in 0..N - K + 2 { acc += sum[i](x[minimum(t + i, N - 1)] * w[i]) }
        acc
    }
    fn solve[N](l: f64[N, N], b: f64[N]) -> f64[N] {
        var x: f64[N] = zeros
        for i in 0..N {
            x[i] = (b[i] - sum[j](if j < i { l[i, j] * x[j] } else { 0.0 })) / l[i, i]
        }
        x
    }
    """
)
RNG = np.random.default_rng(0)
X, W = RNG.normal(size=60), RNG.normal(size=16)


def kernels(name: str, *arguments: Any) -> Module:
    return compiled(getattr(PROGRAM, name), arguments).kernels


@pytest.mark.parametrize(("name", "count"), [("inside", 45), ("across", 46)])
def test_windows_along_a_loop(name: str, count: int) -> None:
    loads = [op for op in kernels(name, X, W).walk() if isinstance(op, kernel.Load)]
    assert loads
    assert all(load.in_bounds for load in loads)
    padded = np.append(X, X[-1])
    wanted = sum(padded[t : t + 16] @ W for t in range(count))
    np.testing.assert_allclose(getattr(PROGRAM, name)(X, W), wanted)


def test_windows_are_read_as_they_lie() -> None:
    module = compiled(PROGRAM.inside, [X, W]).loops.module
    assert not [op for op in module.walk() if isinstance(op, loop.Gather | loop.If)]


def test_what_may_leave_the_axis_is_clamped() -> None:
    program = dmc.loads("fn f[N](x: f64[N], at: i64) -> f64 = sum[i in 0..4](sin(x[at + i]))")
    module = compiled(program.f, [X, 3]).kernels
    loads = [op for op in module.walk() if isinstance(op, kernel.Load)]
    assert loads
    assert not any(load.in_bounds for load in loads)


def test_scalars_of_loops_bound_sums() -> None:
    lower = RNG.normal(size=(40, 40)) / 40 + 2 * np.eye(40)
    b = RNG.normal(size=40)
    domains = [
        str(op.domain)
        for op in kernels("solve", lower, b).walk()
        if isinstance(op, kernel.Generic) and op.reduction
    ]
    assert domains == ["(d0, d1, d2) : (-d0 + d1 - 1 >= 0)"]
    np.testing.assert_allclose(PROGRAM.solve(lower, b), np.linalg.solve(np.tril(lower), b))
