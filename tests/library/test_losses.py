"""Activations and losses against their formulas; the oracle holds derivatives to second order."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import dmc

PROGRAM = """
import nn

fn bends[N](x: f64[N]) -> f64[12, N] = [
    nn.relu6(x), nn.elu(x, 0.5), nn.selu(x), nn.celu(x, 0.5), nn.gelu_erf(x), nn.mish(x),
    nn.softsign(x), nn.hard_sigmoid(x), nn.hard_tanh(x), nn.log_sigmoid(x),
    nn.soft_shrink(x, 0.5), nn.hard_shrink(x, 0.5)
]

fn weights[B, V](x: f64[B, V]) -> (f64[B, V], f64[B, V]) = (nn.log_softmax(x), nn.sparsemax(x))

fn losses[B, V](z: f64[B, V], t: f64[B, V], y: i32[B]) -> f64[10] = [
    nn.huber(z, t, 0.5), nn.log_cosh(z, t), nn.focal(z, t), nn.hinge(z, 2.0 * t - 1.0),
    nn.cross_entropy(z, y, smoothing = 0.2), nn.cross_entropy(z, y, ignore = 1),
    nn.poisson_nll(z, t), nn.gaussian_nll(z, 0.1 * t, t), nn.contrastive(z, t, t[:, 0]),
    nn.triplet(z, t, 0.5 * z + t, 3.0)
]

fn curvature(x: f64, y: f64) -> f64 = hessian(fn(at: f64) => nn.huber(at, y))(x)

fn kinds[N](x: f32[N], y: f32[N]) -> f32 = nn.huber(nn.selu(x), y) + nn.info_nce(
    reshape[N, 1](x), reshape[N, 1](y))
"""


@pytest.fixture(scope="module")
def library():
    return dmc.loads(PROGRAM)


def test_activations(library):
    x = np.linspace(-7, 7, 57)
    expected = [
        np.clip(x, 0, 6),
        np.where(x > 0, x, 0.5 * np.expm1(x)),
        1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
        np.where(x > 0, x, 0.5 * np.expm1(x / 0.5)),
        x * special.ndtr(x),
        x * np.tanh(np.log1p(np.exp(x))),
        x / (1 + np.abs(x)),
        np.clip(x / 6 + 0.5, 0, 1),
        np.clip(x, -1, 1),
        special.log_expit(x),
        np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
        np.where(np.abs(x) > 0.5, x, 0),
    ]
    assert np.allclose(library.bends(x), expected, rtol=1e-12, atol=1e-15)


def test_weights_of_the_simplex(library):
    x = 2 * np.random.default_rng(0).standard_normal((40, 6))
    logs, sparse = library.weights(x)
    assert np.allclose(logs, special.log_softmax(x, axis=1))
    assert np.allclose(sparse.sum(1), 1)
    assert sparse.min() == 0
    # The nearest point of the simplex: moving weight between two classes brings nothing.
    level = np.where(sparse > 0, x - sparse, -np.inf).max(1)
    assert np.allclose(sparse, np.maximum(x - level[:, None], 0))


def test_losses(library):
    rng = np.random.default_rng(1)
    z, t = rng.standard_normal((6, 4)), (rng.random((6, 4)) > 0.5) * 1.0
    y = np.array([0, 1, 2, 3, 1, 0], np.int32)
    found = library.losses(z, t, y)
    log_p, side = special.log_softmax(z, axis=1), 2 * t - 1
    hit, p = -log_p[np.arange(6), y], special.expit(side * z)
    d, far = np.linalg.norm(z - t, axis=1), np.linalg.norm(z - (0.5 * z + t), axis=1)
    expected = [
        special.huber(0.5, z - t).mean(),
        np.log(np.cosh(z - t)).mean(),
        (-np.where(t == 1, 0.25, 0.75) * (1 - p) ** 2 * np.log(p)).mean(),
        np.maximum(1 - side * z, 0).mean(),
        (0.8 * hit - 0.2 * log_p.mean(1)).mean(),
        hit[y != 1].mean(),
        (np.exp(z) - t * z).mean(),
        (0.5 * (0.1 * t + (t - z) ** 2 * np.exp(-0.1 * t))).mean(),
        0.5 * (t[:, 0] * d**2 + (1 - t[:, 0]) * np.maximum(1 - d, 0) ** 2).mean(),
        np.maximum(d - far + 3, 0).mean(),
    ]
    assert np.allclose(found, expected, rtol=1e-12)


def test_the_curvature_of_huber_is_one_where_it_is_smallest(library):
    assert library.curvature(0.25, 0.25) == 1
    assert library.curvature(3.0, 0.25) == 0


def test_single_precision(library):
    x = np.linspace(-1, 1, 5, dtype=np.float32)
    assert library.kinds(x, 0.5 * x).dtype == np.float32
