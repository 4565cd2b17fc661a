"""Steps by parts and in low precision, against gradients of the whole."""

from __future__ import annotations

import numpy as np
import pytest

import dmc

PROGRAM = """
import training
from nn import RNN

model Net[I, H, F: float = f32] {
    param a: F[I, H] = normal(key) / sqrt(I)
    param b: F[H] = normal(key) / H
}

fn loss[B, I, H, F: float](net: Net[I, H, F], x: F[B, I]) -> F =
    mean((tanh(x @ net.a) @ net.b - 1.0) ** 2)

fn by_parts[N, B, I, H, F: float](net: Net[I, H, F], x: F[N, B, I]) -> (F, Grad[Net[I, H, F]]) =
    training.accumulated[N](fn(q, i) => loss(q, x[i]), net)

fn half_loss[B](net: Net, x: f32[B, net.I]) -> f32 {
    let low = cast[f16](net)
    mean((f32(tanh(f16(x) @ low.a) @ low.b) - 1.0) ** 2)
}

fn update(net: Net, g: Grad[Net], opt: Net) -> (Net, Net) = (net - 0.1 * g, opt)

fn step[B](net: Net, s: training.LossScale, x: f32[B, net.I], every: i64)
        -> (f32, Net, Net, training.LossScale) =
    training.mixed_step(fn(q) => half_loss(q, x), update, net, net, s, every)

fn one[B](net: RNN[4, 8, f64], x: f64[B, 4], h: f64[B, 8]) -> (f64, f64[B, 8]) {
    let next = net.step(x, h)
    (mean(next ** 2), next)
}

fn several[T, B](net: RNN[4, 8, f64], h: f64[B, 8], x: f64[T, B, 4]) -> (f64, f64[B, 8]) {
    var total: f64 = 0.0
    var s = h
    for t in 0..T {
        let (a, next) = one(net, x[t], s)
        total = total + a
        s = next
    }
    (total / T, s)
}

fn truncated[C, K, T, B](net: RNN[4, 8, f64], h: f64[B, 8], x: f64[T, B, 4])
        -> (f64, Grad[RNN[4, 8, f64]], f64[B, 8]) =
    training.truncated[C, K](fn(q, s, t) => one(q, x[t], s), net, h)
"""


@pytest.fixture(scope="module")
def library():
    return dmc.loads(PROGRAM)


def test_parts_of_a_batch_are_the_whole_in_less_memory(library) -> None:
    net = library.Net.init(dmc.key(0), I=3, H=64)
    x = np.random.default_rng(0).normal(size=(512, 3)).astype(np.float32)
    value, whole = dmc.value_and_grad(library.loss)(net, x)
    mean, parts = library.by_parts(net, x.reshape(16, 32, 3))
    assert mean == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose(parts.a, whole.a, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(parts.b, whole.b, rtol=1e-4, atol=1e-6)
    arena = dmc.value_and_grad(library.loss).compile(net, x).memory().arena
    assert library.by_parts.compile(net, x.reshape(16, 32, 3)).memory().arena < arena / 4


def test_a_sequence_by_parts(library) -> None:
    """Each part is differentiated from the state in which the one before ended."""
    net = library.RNN.init[4, 8, np.float64](dmc.key(0))
    x = np.random.default_rng(0).normal(size=(12, 3, 4))
    state = np.zeros((3, 8))
    value, gradient, last = library.truncated[3, 4](net, state, x)
    values, gradients = [], []
    for start in (0, 4, 8):
        (part, state), g = dmc.value_and_grad(library.several)(net, state, x[start : start + 4])
        values.append(part)
        gradients.append(g.wh)
    assert value == pytest.approx(np.mean(values), rel=1e-12)
    np.testing.assert_allclose(gradient.wh, np.mean(gradients, axis=0), rtol=1e-10)
    np.testing.assert_allclose(last, state, rtol=1e-12)
    whole = dmc.grad(library.several)(net, np.zeros((3, 8)), x)[0]
    assert not np.allclose(gradient.wh, whole.wh, rtol=1e-3, atol=0)


def test_the_scale_of_a_loss_in_half_precision(library) -> None:
    net = library.Net.init(dmc.key(1), I=3, H=64)
    x = np.random.default_rng(1).normal(size=(32, 3)).astype(np.float32)
    wanted = net.a - 0.1 * dmc.grad(library.loss)(net, x).a
    scale = library.training.loss_scale()
    loss, stepped, _, once = library.step(net, scale, x, 2)
    assert stepped.a.dtype == np.float32
    assert loss == pytest.approx(library.loss(net, x), rel=5e-3)
    np.testing.assert_allclose(stepped.a, wanted, atol=1e-4)
    assert (once.factor, once.good) == (scale.factor, 1)
    _, _, _, twice = library.step(net, once, x, 2)
    assert (twice.factor, twice.good) == (2 * scale.factor, 0)
    # Beyond the range of f16 the step is not taken.
    large = library.training.loss_scale(2.0**24)
    _, kept, _, halved = library.step(net, large, x, 2)
    np.testing.assert_array_equal(kept.a, net.a)
    assert (halved.factor, halved.good) == (2.0**23, 0)
