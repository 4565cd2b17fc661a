"""What kernels are predicted to take."""

from __future__ import annotations

import pytest

import dmc
from dmc.dialects import func, kernel
from dmc.ir import USUAL
from dmc.transforms.predict import Clock, predictions

TEXT = """
fn f[H](w: f32[H, H], x: f32[H]) -> f32 {
    var h = x
    for t in 0..50 { h = exp(h @ w) }
    sum(h)
}
"""


def test_kernels_of_loops_count_as_often_as_they_run() -> None:
    compilation = dmc.loads(TEXT).f.specialize(H=256).compilation
    function = func.lookup(compilation.kernels, compilation.entry)
    found = predictions(function, USUAL)
    assert sum(each.nanoseconds for each in found) == pytest.approx(Clock(USUAL).of(function))
    inside = [each for each in found if each.runs > 1 and isinstance(each.op, kernel.Generic)]
    assert sum(each.runs for each in inside) == 50  # two buffers in turn
    flops, moved = 2 * 256 * 256 + 10 * 256, 4 * (256 * 256 + 2 * 256)
    expected = flops / USUAL.products_f32 + moved / USUAL.cached
    assert sum(each.nanoseconds for each in inside) == pytest.approx(50e9 * expected, rel=0.01)
