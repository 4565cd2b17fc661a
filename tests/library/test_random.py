"""Draws against the distributions that they are of, and log densities against SciPy."""

import importlib
from typing import Any

import numpy as np
import pytest
from scipy import special

import dmc

# Its stubs do not know what frozen distributions have.
stats: Any = importlib.import_module("scipy.stats")

PROGRAM = """
import random

fn whole(key: Key) -> (i64[5000], i32[50], i32[5], i32[4000], i64[4000]) {
    let (a, b, c, d, e) = split(key, 5)
    let logits: f32[4000, 3] = zeros
    let tilted = logits + [0.0, 1.0, -1.0]
    (random.randint[5000](a, -2, 3), random.permutation[50](b), random.choice[5, 50](c),
     random.categorical(d, tilted),
     random.poisson(e, [n in 0..4000] => if n < 3000 { 6.5 } else { 5000.0 }))
}

fn floats(key: Key) -> (f64[3000], f64[3000], f64[3000], f64[3000], f64[3000], f64[3000]) {
    let (a, b, c, d, e, f) = split(key, 6)
    let large: f64[3000] = 3.5 * ones
    let small: f64[3000] = 0.4 * ones
    (random.gumbel[3000, f64](a), random.exponential[3000, f64](b), random.laplace[3000, f64](c),
     random.gamma(d, large), random.gamma(e, small), random.beta(f, large, small))
}

fn vectors(key: Key, l: f64[2, 2]) -> (f64[4000, 2], f64[3], f64[5, 3]) {
    let (a, b, c) = split(key, 3)
    let logits: f64[5, 3] = zeros
    (random.multivariate_normal[4000](a, [1.0, -1.0], l), random.dirichlet(b, [0.5, 1.5, 3.0]),
     random.gumbel_softmax(c, logits, 0.5))
}

fn densities[N](x: f64[N], a: f64[N], b: f64[N]) -> f64[7, N] = [
    random.normal_logpdf(x, a, b), random.laplace_logpdf(x, a, b),
    random.exponential_logpdf(x, a), random.gamma_logpdf(x, a, b),
    random.beta_logpdf(x / 10.0, a, b), random.student_logpdf(x, a),
    random.poisson_logpmf(floor(x), a)
]

fn more_densities[N](x: f64[N], a: f64[N], b: f64[N], y: i32[N], z: f64[N, 4])
        -> (f64[4, N], f64[2, N]) = (
    [random.truncated_normal_logpdf(x, a, b, a, x + 1.0), random.lognormal_logpdf(x, a, b),
     random.cauchy_logpdf(x, a, b), random.gumbel_logpdf(x, a, b)],
    [random.categorical_logpmf(y, z), random.bernoulli_logpmf(y > 1, z[:, 0])])

fn normal_law[N](x: f64[N], p: f64[N]) -> (f64[N], f64[N]) =
    (random.normal_cdf(x), random.normal_quantile(p))

fn truncated[N](low: f64[N], high: f64[N], key: Key) -> f64[N] =
    random.truncated_normal(key, low, high)

fn sum_of_truncated[N](low: f64[N], high: f64[N], key: Key) -> f64 =
    sum(random.truncated_normal(key, low, high) ** 2)

fn joint(x: f64[6, 2], mu: f64[2], l: f64[2, 2], p: f64[3], w: f64[3]) -> (f64[6], f64) =
    (random.multivariate_normal_logpdf(x, mu, l), random.dirichlet_logpdf(p, w))

fn moved[N](shape: f64[N], x: f64[N]) -> f64 = sum(random.implicit_gamma(shape, x))

fn mean_of_draws(shape: f64, key: Key) -> f64 =
    mean(random.gamma(key, [_ in 0..4000] => shape))
"""


@pytest.fixture(scope="module")
def library():
    return dmc.loads(PROGRAM)


def is_drawn_from(x, distribution):
    assert stats.kstest(x, distribution.cdf).pvalue > 0.001


def test_whole_numbers(library):
    ints, permuted, chosen, classes, counts = library.whole(dmc.key(0))
    assert sorted(set(ints)) == [-2, -1, 0, 1, 2]
    assert stats.chisquare(np.bincount(ints + 2)).pvalue > 0.001
    assert sorted(permuted) == list(range(50))
    assert len(set(chosen)) == 5
    assert set(chosen) <= set(range(50))
    shares = special.softmax([0, 1, -1])
    assert stats.chisquare(np.bincount(classes), 4000 * shares).pvalue > 0.001
    k = np.arange(2, 13)
    counts, many = np.split(counts, [3000])
    found = np.bincount(np.clip(counts, 2, 12))[2:]
    chances = stats.poisson(6.5).pmf(k)
    chances[0], chances[-1] = stats.poisson(6.5).cdf(2), stats.poisson(6.5).sf(11)
    assert stats.chisquare(found, 3000 * chances).pvalue > 0.001
    is_drawn_from((many + 0.5 - 5000) / np.sqrt(5000), stats.norm)


def test_floats(library):
    gumbel, exponential, laplace, large, small, beta = library.floats(dmc.key(1))
    is_drawn_from(gumbel, stats.gumbel_r)
    is_drawn_from(exponential, stats.expon)
    is_drawn_from(laplace, stats.laplace)
    is_drawn_from(large, stats.gamma(3.5))
    is_drawn_from(small, stats.gamma(0.4))
    is_drawn_from(beta, stats.beta(3.5, 0.4))


def test_vectors(library):
    l = np.array([[2.0, 0.0], [-1.0, 0.5]])
    drawn, simplex, soft = library.vectors(dmc.key(2), l)
    assert np.allclose(drawn.mean(0), [1, -1], atol=0.15)
    assert np.allclose(np.cov(drawn.T), l @ l.T, atol=0.3)
    assert simplex.sum() == pytest.approx(1)
    assert np.allclose(soft.sum(1), 1)


def test_log_densities(library):
    rng = np.random.default_rng(3)
    x, a, b = 6 * rng.random(9) + 0.1, rng.random(9) + 0.5, rng.random(9) + 0.5
    wanted = [
        stats.norm(a, b).logpdf(x),
        stats.laplace(a, b).logpdf(x),
        stats.expon(scale=1 / a).logpdf(x),
        stats.gamma(a, scale=1 / b).logpdf(x),
        stats.beta(a, b).logpdf(x / 10),
        stats.t(a).logpdf(x),
        stats.poisson(a).logpmf(np.floor(x)),
    ]
    assert np.allclose(library.densities(x, a, b), wanted, rtol=1e-10, atol=1e-12)
    points, mu, w = rng.standard_normal((6, 2)), np.array([0.3, -0.2]), np.array([0.5, 2.0, 1.5])
    l, p = np.array([[1.5, 0.0], [-0.4, 0.7]]), np.array([0.2, 0.5, 0.3])
    several, one = library.joint(points, mu, l, p, w)
    assert np.allclose(several, stats.multivariate_normal(mu, l @ l.T).logpdf(points))
    assert one == pytest.approx(stats.dirichlet(w).logpdf(p))


def test_gamma_draws_follow_their_shape(library):
    shape = np.array([0.2, 0.9, 1.5, 4.0, 20.0, 90.0])
    chance = np.array([0.3, 0.9, 0.5, 0.2, 0.7, 0.6])
    x = special.gammaincinv(shape, chance)
    step = 1e-5 * shape
    wanted = special.gammaincinv(shape + step, chance) - special.gammaincinv(shape - step, chance)
    assert np.allclose(dmc.grad(library.moved)(shape, x), wanted / (2 * step), rtol=1e-6)
    assert dmc.grad(library.mean_of_draws)(2.0, dmc.key(4)) == pytest.approx(1, abs=0.05)


def test_the_normal_law_keeps_its_tails(library):
    x = np.array([-30.0, -8.0, -3.001, -2.999, -1.0, 0.0, 0.5, 3.0])
    p = np.array([1e-30, 1e-10, 1e-3, 0.1, 0.4, 0.5, 0.7, 0.999])
    below, at = library.normal_law(x, p)
    assert np.allclose(below, stats.norm.cdf(x), rtol=1e-12)
    assert np.allclose(at, stats.norm.ppf(p), rtol=1e-12)


def test_truncated_normals(library):
    low, high = np.array([-1.0, 1.0, -9.0]), np.array([0.5, np.inf, -7.0])
    drawn = library.truncated(np.repeat(low, 3000), np.repeat(high, 3000), dmc.key(7))
    for part, a, b in zip(drawn.reshape(3, -1), low, high, strict=True):
        is_drawn_from(part, stats.truncnorm(a, b))
    dmc.check_grads(library.sum_of_truncated, low, np.array([0.5, 2.0, -7.0]), dmc.key(8))


def test_more_log_densities(library):
    rng = np.random.default_rng(5)
    x = 1 + rng.random(5)
    a, b = x - rng.random(5), 0.5 + rng.random(5)
    y, z = rng.integers(0, 4, 5).astype(np.int32), rng.standard_normal((5, 4))
    floats, classes = library.more_densities(x, a, b, y, z)
    wanted = [
        stats.truncnorm.logpdf(x, 0 * a, (x + 1 - a) / b, a, b),
        stats.lognorm.logpdf(x, b, scale=np.exp(a)),
        stats.cauchy.logpdf(x, a, b),
        stats.gumbel_r.logpdf(x, a, b),
    ]
    assert np.allclose(floats, wanted, rtol=1e-12)
    assert np.allclose(classes[0], special.log_softmax(z, 1)[np.arange(5), y], rtol=1e-12)
    assert np.allclose(classes[1], stats.bernoulli.logpmf(y > 1, special.expit(z[:, 0])))
