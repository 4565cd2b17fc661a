"""Reverse mode through loops whose count is an integer argument."""

from pathlib import Path

import numpy as np
import pytest

import dmc
from dmc.jit.tapes import tape_memory

PROGRAM = """
fn decay(x: f64, rate: f64, steps: i64) -> f64 {
    var y = x
    for _ in 0..steps { y = y * rate }
    y
}

fn through(x: f64, steps: i64) -> f64 = grad(decay)(x, 0.5, steps)

fn waves(x: f64, n: i64) -> f64 {
    var y = x
    for i in 0..n { y = sin(y) * y + 0.1 * f64(i) }
    y
}

fn saved(x: f64, n: i64) -> f64 {
    var y = x
    checkpoint for i in 0..n { y = sin(y) * y + 0.1 * f64(i) }
    y
}

fn every_third(x: f64, n: i64) -> f64 {
    var y = x
    checkpoint[3] for i in 0..n { y = sin(y) * y + 0.1 * f64(i) }
    y
}

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


def test_each_count_gets_its_gradient(program: dmc.Module) -> None:
    gradient = dmc.grad(program.decay, wrt=("x", "rate"))
    for steps in (0, 1, 3, 10, -2):
        dx, drate = gradient(2.0, 0.5, steps)
        n = max(steps, 0)
        np.testing.assert_allclose(dx, 0.5**n, rtol=1e-15)
        np.testing.assert_allclose(drate, 2.0 * n * 0.5 ** (n - 1), rtol=1e-15)
        assert program.through(2.0, steps) == 0.5**n


@pytest.mark.parametrize("name", ["saved", "every_third"])
def test_a_checkpointed_loop_gives_what_a_plain_one_does(program: dmc.Module, name: str) -> None:
    derivatives = [
        (dmc.value_and_grad(f), dmc.jvp(f, along=1.0), dmc.hvp(f, along=1.0))
        for f in (program.waves, getattr(program, name))
    ]
    for steps in (0, 1, 2, 4, 7, 30, -1):
        wanted, found = (
            (*both(0.7, steps), forward(0.7, steps)[1], second(0.7, steps))
            for both, forward, second in derivatives
        )
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_a_count_that_is_computed(program: dmc.Module) -> None:
    assert program.countdown(8.0) == 8.0 / 256
    assert dmc.grad(program.countdown)(8.0) == 1.0 / 256


def test_a_checkpointed_loop_keeps_about_the_root_of_its_length(program: dmc.Module) -> None:
    peaks: list[int] = []
    for function in (program.waves, program.saved):
        gradient = dmc.grad(function)
        gradient(0.7, 1)
        tape_memory().peak()
        gradient(0.7, 10_000)
        peaks.append(tape_memory().peak())
    assert peaks[0] >= 10_000 * 8
    assert peaks[1] <= 4 * 100 * 8


MANY = """
fn inner(x: f64, n: i64, m: i64) -> f64 {
    var y = x
    for i in 0..n { y = sin(y) * f64(m) }
    y
}
fn outer(x: f64, label: i64, n: i64, w: f64[8]) -> f64 = inner(x, n + 1, label) * w[label]
"""


def test_one_program_for_all_counts() -> None:
    w = np.arange(1.0, 9.0)
    compiled = dmc.grad(dmc.loads(MANY).outer).compile(1.0, 2, 1, w)
    for label in (0, 7):
        for n in (-1, 1, 2, 40):
            want = w[label] * float(label) ** (n + 1)
            y = 0.3
            for _ in range(n + 1):
                want *= np.cos(y)
                y = np.sin(y) * label
            np.testing.assert_allclose(compiled(0.3, label, n, w), want, rtol=1e-12)
