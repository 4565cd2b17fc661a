"""Reverse mode through loops whose count shows only as they run, to second order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import dmc
from dmc.ir import Interpreter
from dmc.jit.tapes import tape_memory

PROGRAMS = {
    "root": """
        fn f(a: f64[1]) -> f64 {
            var x = a[0]
            while abs(x * x - a[0]) > 1e-12 { x = 0.5 * (x + a[0] / x) }
            x
        }""",
    "limited": """
        fn f(a: f64[1]) -> f64 {
            var x = a[0]
            while x < 100.0 limit 3 { x = x * x + a[0] }
            while x < 0.0 { x = sin(x) }
            x
        }""",
    "computed": """
        fn f(a: f64[2]) -> f64 {
            var y = a[0]
            for i in 0..i64(4.0 * a[1]) { y = sin(y) * (1.0 + f64(i) * a[1]) }
            y
        }""",
    "carried": """
        struct State { at: f64; speed: f64[2]; steps: i64; going: bool }
        fn f(a: f64[2]) -> f64 {
            var s = State(at = a[0], speed = a, steps = 0, going = true)
            while s.going {
                let at = s.at + 0.5 * sum(s.speed) * sin(s.at)
                let speed = [i] => s.speed[i] * cos(0.3 * at * f64(s.steps + i))
                s = State(at = at, speed = speed, steps = s.steps + 1, going = at < 3.0)
                if s.steps == 6 { s.going = false }
            }
            s.at * s.speed[1]
        }""",
    "table": """
        fn f(a: f64[2]) -> f64 {
            var t = [k in 0..8] => a[k % 2]
            var i = 1
            while i < 8 and t[i - 1] < 40.0 {
                t[i] = t[i - 1] * (1.0 + t[i - 1]) + sin(t[i])
                t[i - 1] = sin(t[i]) * t[i - 1]
                i += 1
            }
            sum[k](t[k] * t[k])
        }""",
    "nested": """
        fn f(a: f64[2]) -> f64 {
            var total = 0.0
            for k in 0..3 {
                var y = a[0] + 0.2 * f64(k)
                while y < 4.0 {
                    var z = y
                    while z < 1.5 { z = z * 1.3 + 0.1 * sin(z * a[1]) }
                    for j in 0..i64(2.0 * z) { z = z + 0.01 * f64(j) * cos(z) * y }
                    y = y + z
                }
                total += y * y
            }
            total
        }""",
    "either": """
        fn f(a: f64[2]) -> f64 {
            var y = a[1]
            for k in 0..2 {
                if y > 1.0 { while y < 30.0 { y = y * y + a[0] } }
                else { for _ in 0..i64(9.0 * y) { y = y + 0.1 * sin(y) * a[0] } }
                y = 0.3 + 0.01 * y
            }
            y
        }""",
    "lanes": """
        fn grown(x: f64, w: f64) -> f64 {
            var y = x
            while y < 20.0 { y = y * 1.5 + w * y * y }
            y
        }
        fn f(a: f64[5]) -> f64 =
            sum[i](if a[i] > 0.7 { grown(a[i], a[0]) } else { repeated(a[i], i) })
        fn repeated(x: f64, n: i64) -> f64 {
            var y = x
            for _ in 0..i64(3.0 * x) + n { y = y + 0.5 * sin(y) }
            y
        }""",
    "saved": """
        fn f(a: f64[2]) -> f64 {
            var y = a[0]
            checkpoint for i in 0..i64(20.5 * a[1]) { y = y + sin(y * a[1]) * f64(i % 3) * 0.1 }
            y
        }""",
}

DERIVATIVES = """
fn slope(a: f64[SIZE], v: f64[SIZE]) -> f64 = sum(grad(f)(a) * v)
fn pushed(a: f64[SIZE], v: f64[SIZE]) -> f64 {
    let (_, slope) = jvp(f, along = v)(a)
    slope
}
fn all(a: f64[SIZE], v: f64[SIZE]) -> (f64, f64[SIZE], f64[SIZE], f64[SIZE], f64[SIZE]) {
    let (_, mixed) = jvp(grad(f), along = v)(a)
    (f(a), grad(f)(a), mixed, grad(slope)(a, v), grad(pushed)(a, v))
}
"""


@pytest.mark.parametrize("name", PROGRAMS)
def test_derivatives(name: str) -> None:
    source = PROGRAMS[name]
    size = int(source.partition("fn f(a: f64[")[2][0])
    program = dmc.loads(source + DERIVATIVES.replace("SIZE", str(size)))
    a, v = np.linspace(0.9, 0.55, size), np.linspace(1.0, -0.5, size)
    compiled = program.all.compile(a, v)
    value, gradient, *seconds = compiled(a, v)
    interpreted = Interpreter(compiled.compilation.kernels).call("all", [a, v])
    np.testing.assert_allclose(interpreted[1], gradient, rtol=1e-12)
    step = 1e-5
    ahead, behind = (compiled(a + step * k * v, v) for k in (1, -1))
    np.testing.assert_allclose(gradient @ v, (ahead[0] - behind[0]) / (2 * step), rtol=1e-6)
    second = (ahead[1] - behind[1]) / (2 * step)
    for found in seconds:
        np.testing.assert_allclose(found, second, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(found, seconds[0], rtol=1e-11, atol=1e-12)
    assert np.isfinite(value)


LONG = """
fn f(x: f64[64], n: i64) -> f64 {
    var y = x
    var i = 0
    while i < n { y = sin(y) * 1.01; i += 1 }
    sum(y)
}
fn saved(x: f64[64], n: i64) -> f64 {
    var y = x
    var i = 0
    checkpoint while i < n { y = sin(y) * 1.01; i += 1 }
    sum(y)
}
fn thirtieth(x: f64[64], n: i64) -> f64 {
    var y = x
    var i = 0
    checkpoint[30] while i < 10_000 limit n { y = sin(y) * 1.01; i += 1 }
    sum(y)
}
fn often(x: f64, n: i64) -> f64 {
    var s = x
    for _ in 0..n {
        var y = 0.5 * sin(s) + 1.0
        while y < 4.0 { y = y * y + sin(y * x) }
        s = s + cos(y)
    }
    s
}
fn table[N](x: f64[N]) -> f64 {
    var t = x
    var i = 1
    while i < N { t[i] = 0.5 * t[i - 1] + sin(t[i]); i += 1 }
    sum(t * t)
}
fn grown(x: f64, w: f64[2]) -> f64 {
    var y = x
    while y < 10.0 { y = y + w[0] * y + sin(w[1] * y) * 0.1 + 0.1 }
    y
}
fn lanes[N](x: f64[N], w: f64[2]) -> f64 = sum[i](grown(x[i], w) * cos(f64(i)))
fn zero(x: f64[3]) -> f64[3] = grad(g)(x)
fn g(x: f64[3]) -> f64 {
    var y = x
    while sum(y) < 0.0 { y = y * y }
    for _ in 0..i64(-2.0 * y[0]) { y = y + y }
    sum(y * y)
}
"""


@pytest.fixture
def limited() -> Iterator[None]:
    """The memory of tapes may be limited by a test."""
    yield
    tape_memory().begin()


def test_memory_grows_with_iterations_and_may_run_out(limited: None) -> None:
    program = dmc.loads(LONG)
    gradient = dmc.grad(program.f)
    x = np.linspace(0.1, 1.0, 64)
    gradient(x, 1)
    peaks: list[int] = []
    for n in (100, 1000, 10_000):
        tape_memory().peak()
        gradient(x, n)
        peaks.append(tape_memory().peak())
        # Twice the room when there is none left.
        assert n * x.nbytes <= peaks[-1] <= 2 * n * x.nbytes + 4096
    np.testing.assert_array_equal(gradient(x, 0), np.ones(64))
    tape_memory().limit(1 << 20)
    with pytest.raises(dmc.OutOfMemory, match=r"memory\.tape"):
        gradient(x, 1 << 40)
    # All of it was given back.
    assert tape_memory().peak() <= 1 << 20
    gradient(x, 1000)
    assert tape_memory().peak() == peaks[1]


def test_a_checkpointed_while_keeps_about_the_root_of_its_length() -> None:
    program, x = dmc.loads(LONG), np.linspace(0.1, 1.0, 64)
    gradients = [dmc.grad(f) for f in (program.f, program.saved, program.thirtieth)]
    peaks: list[int] = []
    for n in (0, 1, 2, 7, 1000):
        wanted, *found = (gradient(x, n) for gradient in gradients)
        for each in found:
            np.testing.assert_array_equal(each, wanted)
    for gradient in gradients:
        tape_memory().peak()
        gradient(x, 1000)
        peaks.append(tape_memory().peak())
    # States and one segment, each with up to twice the room.
    assert peaks[1] <= 2 * 2 * 2 * 45 * x.nbytes
    assert peaks[2] <= 2 * 2 * 2 * 34 * x.nbytes


def test_what_tapes_keep_is_in_the_report_and_none_under_a_budget() -> None:
    program, x = dmc.loads(LONG), np.linspace(0.1, 1.0, 64)
    compiled = dmc.grad(program.f, budget="64kB").compile(x, 10)
    np.testing.assert_array_equal(compiled(x, 1000), dmc.grad(program.f)(x, 1000))
    memory = compiled.memory()
    assert memory.peak <= 64_000
    assert not memory.kept
    free = dmc.grad(program.f).compile(x, 10).memory()
    assert [value.bytes for value in free.kept] == [x.nbytes]
    assert "each iteration" in str(free)


def test_short_loops_inside_keep_no_room() -> None:
    gradient, n = dmc.grad(dmc.loads(LONG).often), 10_000
    gradient(0.7, 1)
    tape_memory().peak()
    gradient(0.7, n)
    # Of each a few numbers, and y three times at most behind what every block has.
    assert tape_memory().peak() <= n * (64 + 8 * 8) + 4096


def test_of_a_table_the_overwritten_elements_are_kept() -> None:
    gradient = dmc.grad(dmc.loads(LONG).table)
    x = np.linspace(0.0, 1.0, 1024)
    gradient(x)
    tape_memory().peak()
    gradient(x)
    # And the counter, for where they were.
    assert tape_memory().peak() <= 2 * 2 * x.nbytes


def test_bits_do_not_depend_on_threads() -> None:
    gradient = dmc.grad(dmc.loads(LONG).lanes, wrt=("x", "w"))
    x, w = np.linspace(0.1, 12.0, 3000), np.array([0.2, 0.7])
    threads = dmc.get_num_threads()
    found: list[tuple[np.ndarray, np.ndarray]] = []
    try:
        for count in (1, 4):
            dmc.set_num_threads(count)
            found.append(gradient(x, w))
    finally:
        dmc.set_num_threads(threads)
    for one, many in zip(*found, strict=True):
        np.testing.assert_array_equal(one, many)


def test_a_loop_that_does_not_run_passes_its_cotangent_on() -> None:
    x = np.array([0.5, 1.0, 2.0])
    np.testing.assert_array_equal(dmc.loads(LONG).zero(x), 2 * x)
