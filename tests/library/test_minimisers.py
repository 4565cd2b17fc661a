"""Averages of weights, and minimisers by curvature, against their definitions and SciPy."""

import numpy as np
import pytest
from scipy import optimize

import dmc

PROGRAM = """
import optim
from nn import Linear

model Net {
    layer: Linear[3, 2]
    state seen: i64 = 0
}

fn start(net: Net) -> (optim.EMA[Net], optim.SWA[Net], optim.Lookahead[Net]) =
    (optim.ema_init(net), optim.swa_init(net), optim.lookahead_init(net))

fn averaged(net: Net, a: optim.EMA[Net], b: optim.SWA[Net])
        -> (optim.EMA[Net], optim.SWA[Net], Net, Net) {
    let a2 = optim.ema_update(net, a, 0.75)
    let b2 = optim.swa_update(net, b)
    (a2, b2, optim.ema_model(net, a2), optim.swa_model(net, b2))
}

fn ahead(net: Net, s: optim.Lookahead[Net]) -> (Net, optim.Lookahead[Net]) =
    optim.lookahead_update(net, s, every = 2, share = 0.25)

fn worst(net: Net, g: Net) -> Net = optim.sam_model(net, g.params, 0.5)

fn valley[N, F: float](x: F[N]) -> F requires N >= 2 =
    sum[i in 0..N - 1](100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2)

fn minima[F: float](x: F[3], tolerance: F) -> F[2, 3] = [
    optim.lbfgs[5](valley, x, tolerance = tolerance),
    optim.newton_cg[20](valley, x, tolerance = tolerance)
]

fn fitted[F: float](x: F[3], t: F[20], y: F[20]) -> F[2, 3] = [
    optim.levenberg_marquardt(fn(p) => p[0] * exp(p[1] * t) + p[2] - y, x),
    optim.gauss_newton(fn(p) => p[0] * exp(p[1] * t) + p[2] - y, x)
]

fn stepped(x: f64[2], d: f64[2]) -> f64 = optim.wolfe_step(valley, x, d)
"""


@pytest.fixture(scope="module")
def library():
    return dmc.loads(PROGRAM)


def shifted(net, by):
    return net.replace(layer=net.layer.replace(b=net.layer.b + np.float32(by)))


def test_averages_of_weights(library):
    net = library.Net.init(dmc.key(0))
    ema, swa, _ = library.start(net)
    for by in (4.0, 8.0):
        ema, swa, of_ema, of_swa = library.averaged(shifted(net, by), ema, swa)
    assert np.allclose(of_ema.layer.b, 0.75 * (0.25 * 4) + 0.25 * 8)
    assert np.allclose(of_swa.layer.b, 6)
    assert np.allclose(of_swa.layer.w, net.layer.w, rtol=1e-6)
    assert swa.count == 2


def test_lookahead(library):
    net = library.Net.init(dmc.key(0))
    state = library.start(net)[2]
    one, state = library.ahead(shifted(net, 1.0), state)
    assert np.allclose(one.layer.b, 1)
    two, state = library.ahead(shifted(one, 1.0), state)
    assert np.allclose(two.layer.b, 0.5)
    assert np.allclose(state.slow.layer.b, 0.5)


def test_the_worst_place_nearby(library):
    net = library.Net.init(dmc.key(0))
    far = library.worst(net, net)
    size = np.sqrt(sum((leaf.astype(float) ** 2).sum() for leaf in (net.layer.w, net.layer.b)))
    assert np.allclose(far.layer.w, net.layer.w * (1 + 0.5 / size), rtol=1e-5)


def test_minimisers_come_to_the_end_of_a_curved_valley(library):
    start = np.array([-1.2, 1.0, 0.5])
    assert np.allclose(library.minima(start, 1e-8), 1, atol=1e-7)
    assert np.allclose(library.minima(start.astype(np.float32), 1e-3), 1, atol=1e-2)


def test_least_squares(library):
    rng = np.random.default_rng(0)
    t = np.linspace(0, 2, 20)
    y = 2 * np.exp(-1.3 * t) + 0.5 + 0.05 * rng.standard_normal(20)
    start = np.array([1.0, -0.5, 0.0])
    wanted = optimize.least_squares(
        lambda p: p[0] * np.exp(p[1] * t) + p[2] - y, start, xtol=1e-14, ftol=1e-14, gtol=1e-14
    )
    assert np.allclose(library.fitted(start, t, y), wanted.x, rtol=1e-6)
    halves = (part.astype(np.float32) for part in (start, t, y))
    assert np.allclose(library.fitted(*halves), wanted.x, rtol=1e-4)


def test_a_step_keeps_the_conditions_of_wolfe(library):
    rng = np.random.default_rng(1)
    for x in rng.standard_normal((20, 2)):
        g = dmc.grad(library.valley)(x)
        step = library.stepped(x, -g)
        there = x - step * g
        assert library.valley(there) <= library.valley(x) - 1e-4 * step * (g @ g)
        assert abs(dmc.grad(library.valley)(there) @ g) <= 0.9 * (g @ g)
