"""Reverse mode through loops whose count is an integer argument."""

from pathlib import Path

import numpy as np
import pytest

import dmc

PROGRAM = """
fn decay(x: f64, rate: f64, steps: i64) -> f64 {
    var y = x
    for _ in 0..steps { y = y * rate }
    y
}

fn through(x: f64, steps: i64) -> f64 = grad(decay)(x, 0.5, steps)

fn countdown(x: f64) -> f64 {
    var y = x
    for _ in 0..i64(x) { y = y * 0.5 }
    y
}
"""


@pytest.fixture
def program(tmp_path: Path) -> dmc.Module:
    path = tmp_path / "counts.dm"
    path.write_text(PROGRAM)
    return dmc.load(path)


@pytest.mark.parametrize("steps", [0, 1, 3, 10, -2])
def test_each_count_gets_its_gradient(program: dmc.Module, steps: int) -> None:
    gradient = dmc.grad(program.decay, wrt=("x", "rate"))
    dx, drate = gradient(2.0, 0.5, steps)
    n = max(steps, 0)
    np.testing.assert_allclose(dx, 0.5**n, rtol=1e-15)
    np.testing.assert_allclose(drate, 2.0 * n * 0.5 ** (n - 1), rtol=1e-15)
    assert program.through(2.0, steps) == 0.5**n


def test_a_count_that_is_computed_is_refused(program: dmc.Module) -> None:
    assert program.countdown(8.0) == 8.0 / 256
    with pytest.raises(dmc.DerivativeError, match=r"grad\.dynamic_loop"):
        dmc.grad(program.countdown)(8.0)
