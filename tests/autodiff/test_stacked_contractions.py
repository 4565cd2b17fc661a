"""Weight gradients of recurrent loops are contracted once, behind the loop."""

from pathlib import Path

import numpy as np
import pytest

import dmc
from dmc.dialects import control, func, tensor
from dmc.ir import shape_of
from tests.growth.measure import compiled

program = dmc.load(Path(__file__).parents[1] / "growth" / "tables.dm")


def test_derivatives() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(4, 3)), rng.normal(size=(3, 3)) / 2
    dmc.check_grads(program.recurrent, x, w, wrt=("x", "w"))
    hessian = dmc.hessian(program.recurrent, wrt="w")(x, w)
    step = np.zeros((3, 3))
    step[1, 2] = 1e-5
    slope = dmc.grad(program.recurrent, wrt="w")
    wanted = (np.asarray(slope(x, w + step)) - np.asarray(slope(x, w - step))) / 2e-5
    np.testing.assert_allclose(np.asarray(hessian)[:, :, 1, 2], wanted, rtol=1e-6, atol=1e-9)


def test_one_contraction_behind_the_loop() -> None:
    gradient = dmc.value_and_grad(program.recurrent, wrt="w")
    compilation = compiled(gradient, [np.ones((5, 8)), np.ones((8, 8))])
    body = func.lookup(compilation.optimized, compilation.entry).body
    (outside,) = [op for op in body if isinstance(op, tensor.DotGeneral)]
    assert shape_of(outside.result.type) == (8, 8)
    carried = [
        shape_of(value.type) for op in body if isinstance(op, control.For) for value in op.inits
    ]
    assert (8, 8) not in carried


@pytest.mark.parametrize("width", [2, 3])
def test_small_sums_stay_in_the_loop(width: int) -> None:
    """Where what is stacked is no smaller than the sum, nothing is stacked."""
    gradient = dmc.value_and_grad(program.recurrent, wrt="w")
    compilation = compiled(gradient, [np.ones((5, width)), np.ones((width, width))])
    body = func.lookup(compilation.expanded, compilation.entry).body
    outside = [op for op in body if isinstance(op, tensor.DotGeneral)]
    assert bool(outside) == (width > 2)


def test_many_rows_are_added_in_each_iteration() -> None:
    """Where one sums over enough, nothing is stacked; in segments where a few do."""
    text = """
fn f[T, B, H](w: f64[H, H], x: f64[T, B, H]) -> f64 {
    var h: f64[B, H] = zeros
    for t in 0..T { h = tanh(h @ w + x[t]) }
    sum(h)
}
"""
    f = dmc.loads(text).f
    for rows, segment in ((128, None), (64, 2)):
        compilation = dmc.grad(f).specialize(T=6, B=rows, H=300).compilation
        loops = [
            op for op in compilation.expanded.walk() if isinstance(op, control.For) if op.reverse
        ]
        counts = [loop.trip_count for loop in loops]
        assert counts == ([6] if segment is None else [6 // segment, segment])
