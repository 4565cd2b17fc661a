"""Neighbours from a place on are read, and added to, as a window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dmc
from dmc.dialects import tensor
from tests.growth.measure import compiled

PROGRAM = dmc.loads(
    """
    fn line[N](x: f64[N], w: f64[20]) -> f64 {
        var acc = 0.0
        for t in 0..N - 19 { acc += sum[i](sin(x[t + i]) * w[i]) }
        acc
    }
    fn plane[N](x: f64[N, N], w: f64[5, 6]) -> f64 {
        var acc = 0.0
        for t in 0..N - 5 { acc += sum[i, j](sin(x[t + 1 + j - 1, i + t]) * w[i, j]) }
        acc
    }
    fn rows[N](x: f64[N, 7, N], w: f64[20, 7]) -> f64 {
        var acc = 0.0
        for t in 0..N - 19 {
            for s in 0..7 { acc += sum[i, j](x[t, j, i + t] * w[i, s] * w[i, j]) }
        }
        acc
    }
    fn leaving[N](x: f64[N], w: f64[20], at: i64) -> f64 = sum[i](sin(x[at + i]) * w[i])
    """
)
RNG = np.random.default_rng(2)
N = 30


def arrays(name: str) -> list[Any]:
    shapes = {"plane": [(N, N), (5, 6)], "rows": [(N, 7, N), (20, 7)]}
    made: list[Any] = [RNG.normal(size=shape) for shape in shapes.get(name, [(N,), (20,)])]
    return [*made, 3] if name == "leaving" else made


def scattered(name: str) -> list[str]:
    function = dmc.value_and_grad(getattr(PROGRAM, name), wrt=("x", "w"))
    module = compiled(function, arrays(name)).optimized
    return [op.name for op in module.walk() if isinstance(op, tensor.Gather | tensor.Scatter)]


def reference(name: str, x: Any, w: Any) -> float:
    match name:
        case "line":
            return sum(np.sin(x[t : t + 20]) @ w for t in range(N - 19))
        case "plane":
            return sum(np.sum(np.sin(x[t : t + 6, t : t + 5].T) * w) for t in range(N - 5))
        case _:
            return sum(
                np.einsum("ji,i,ij->", x[t, :, t : t + 20], w[:, s], w)
                for t in range(N - 19)
                for s in range(7)
            )


@pytest.mark.parametrize("name", ["line", "plane", "rows"])
def test_windows(name: str) -> None:
    assert scattered(name) == []
    x, w = arrays(name)
    np.testing.assert_allclose(getattr(PROGRAM, name)(x, w), reference(name, x, w))
    dmc.check_grads(getattr(PROGRAM, name), x, w, wrt=("x", "w"))


def test_what_may_leave_the_axis_stays_a_gather() -> None:
    assert set(scattered("leaving")) == {"tensor.gather", "tensor.scatter"}
