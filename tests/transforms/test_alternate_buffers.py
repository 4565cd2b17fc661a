"""Steps of a stencil write from one buffer into another and back, and copy nothing."""

from __future__ import annotations

import numpy as np
import pytest

import dmc
from dmc.dialects import control, kernel
from dmc.ir import Array, Operation
from dmc.transforms.alternate_buffers import AlternateBuffers
from tests.growth.measure import compiled, operations


def source(steps: int) -> str:
    return f"""
fn heat[N](start: f64[N]) -> f64[N] {{
    var u = start
    for t in 0..{steps} {{
        u = [i] => u[i] + 0.1 * f64(t + 1) * (u[maximum(i - 1, 0)] - u[minimum(i + 1, N - 1)])
    }}
    u
}}
fn energy[N](start: f64[N]) -> f64 = sum(heat(start) ** 2)
"""


def step(u: Array, t: int) -> Array:
    left, right = np.concatenate([u[:1], u[:-1]]), np.concatenate([u[1:], u[-1:]])
    return u + 0.1 * (t + 1) * (left - right)


def copies(op: Operation) -> int:
    """The copies inside loops."""
    loops = [each for each in op.walk() if isinstance(each, control.For)]
    return sum(isinstance(each, kernel.Copy) for loop in loops for each in loop.walk())


@pytest.mark.parametrize("steps", [*range(8), 31])
def test_any_number_of_steps(steps: int) -> None:
    program = dmc.loads(source(steps))
    u = np.random.default_rng(0).normal(size=37)
    wanted, slope = u, np.eye(37)
    for t in range(steps):
        wanted = step(wanted, t)
        slope = np.stack([step(row, t) for row in slope])
    np.testing.assert_allclose(program.heat(u), wanted, rtol=1e-9)
    gradient = dmc.grad(program.energy)(u)
    np.testing.assert_allclose(gradient, 2 * slope @ wanted, rtol=1e-9, atol=1e-9)
    assert copies(compiled(program.heat, [u]).kernels) == 0
    assert copies(compiled(dmc.grad(program.energy), [u]).kernels) == 0


def test_it_saves_work(monkeypatch: pytest.MonkeyPatch) -> None:
    u = np.ones(256)
    alternating = operations(compiled(dmc.loads(source(10)).heat, [u]).loops)
    monkeypatch.setattr(AlternateBuffers, "run", lambda self, module: None)
    compilation = compiled(dmc.loads(source(10)).heat, [u])
    assert copies(compilation.kernels) == 1
    assert alternating < operations(compilation.loops)


def test_what_can_be_written_over_stays_as_it_is() -> None:
    program = dmc.loads("""
fn decay[N](start: f64[N]) -> f64[N] {
    var u = start
    for t in 0..10 { u = 0.9 * u }
    u
}
""")
    (loop,) = [
        op
        for op in compiled(program.decay, [np.ones(50)]).kernels.walk()
        if isinstance(op, control.For)
    ]
    assert loop.trip_count == 10
