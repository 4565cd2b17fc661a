"""The standard library against NumPy and SciPy, and the figures that must come out exactly."""

import numpy as np
import pytest
from scipy import special

import dmc
from dmc_runtime import STD_FOLDER

f32 = np.float32


PROGRAM = """
import init
import optim
import schedule
import nn
from nn import Linear

struct Point {
    w: f32[2, 2]
    b: f32[2]
}

fn quadratic(p: Point) -> f32 = 0.5 * sum(p * p)

fn momentum(p: Point, g: Grad[Point], s: optim.SGD[Point]) -> (Point, optim.SGD[Point]) =
    optim.sgd_update(p, g, s, 0.1, 0.8)

fn sgd(p: Point) -> optim.SGD[Point] = optim.sgd_init(p)

fn adam_start(p: Point) -> optim.AdamW[Point] = optim.adamw_init(p)

fn adam(p: Point, g: Grad[Point], s: optim.AdamW[Point], lr: f32) -> (Point, optim.AdamW[Point]) =
    optim.adamw_update(p, g, s, lr, 0.1)

fn clip(g: Point, limit: f32) -> (Point, Point, f32) =
    (optim.clip_norm(g, limit), optim.clip_value(g, limit), optim.global_norm(g))

fn rates(t: i64) -> (f32, f32, f32, f32) = (
    schedule.constant(t, 0.1), schedule.warmup(t, 0.1, 10),
    schedule.cosine(t, 0.1, 100, 0.01), schedule.warmup_cosine(t, 0.1, 10, 100)
)

fn activations[N](x: f64[N]) -> (f64[N], f64[N], f64[N], f64[N]) =
    (nn.relu(x), nn.leaky_relu(x), nn.elu(x), nn.silu(x))

fn losses[B, V](z: f64[B, V], t: f64[B, V]) -> (f64, f64, f64, f64) =
    (nn.bce_with_logits(z, t), nn.mse(z, t), nn.mae(z, t), nn.huber(z, t))

fn labels[B, V](z: f64[B, V], y: i32[B]) -> f64 = nn.cross_entropy(z, y)

fn weights(key: Key) -> (f32[300, 200], f32[300, 200], f32[300, 200], f32[300, 200], f32[300, 200],
                         f32[300, 200]) {
    let (a, b, c, d, e, f) = split(key, 6)
    (init.glorot_normal[300, 200](a), init.glorot_uniform[300, 200](b),
     init.he_normal[300, 200](c), init.he_uniform[300, 200](d),
     init.lecun_normal[300, 200](e), init.lecun_uniform[300, 200](f))
}
"""


@pytest.fixture(scope="module")
def lib(tmp_path_factory):
    path = tmp_path_factory.mktemp("std") / "library.dm"
    path.write_text(PROGRAM)
    return dmc.load(path)


def point(lib, w, b):
    return lib.Point(w=np.asarray(w, f32), b=np.asarray(b, f32))


def flat(record):
    return np.concatenate([np.ravel(leaf) for _, leaf in record])


@pytest.mark.parametrize("name", ["nn", "init", "optim", "schedule"])
def test_every_module_loads(name):
    dmc.load(STD_FOLDER / f"{name}.dm")


def test_heavy_ball_momentum(lib):
    p = point(lib, np.zeros((2, 2)), np.zeros(2))
    g = point(lib, np.ones((2, 2)), np.ones(2))
    s = lib.sgd(p)
    for velocity in (1.0, 1.8, 2.44):
        before = p
        p, s = lib.momentum(p, g, s)
        assert np.allclose(flat(s.v), velocity, rtol=1e-6)
        assert np.allclose(flat(before) - flat(p), 0.1 * velocity, rtol=1e-5)


def test_adamw_follows_its_paper(lib):
    rng = np.random.default_rng(0)
    p = point(lib, rng.normal(size=(2, 2)), rng.normal(size=2))
    s = lib.adam_start(p)
    x, m, v = flat(p).astype(np.float64), np.zeros(6), np.zeros(6)
    decayed = np.array([1, 1, 1, 1, 0, 0])
    for t in range(1, 6):
        g = rng.normal(size=6)
        p, s = lib.adam(p, point(lib, g[:4].reshape(2, 2), g[4:]), s, 0.01)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        x = x - 0.01 * (step + 0.1 * decayed * x)
        assert np.allclose(flat(p), x, rtol=1e-4, atol=1e-6)
        assert s.t == t


def test_clipping(lib):
    g = point(lib, [[3, -4], [0, 0]], [0, 0])
    by_norm, by_value, norm = lib.clip(g, 1.0)
    assert norm == pytest.approx(5)
    assert flat(by_norm)[:2] == pytest.approx([0.6, -0.8])
    assert flat(by_value)[:2].tolist() == [1, -1]
    inside, _, _ = lib.clip(g, 100.0)
    assert flat(inside).tolist() == flat(g).tolist()
    zero, _, norm = lib.clip(point(lib, np.zeros((2, 2)), np.zeros(2)), 1.0)
    assert norm == 0
    assert not flat(zero).any()


def test_schedules(lib):
    for t in (0, 4, 9, 10, 55, 99, 100, 1000):
        constant, warmup, cosine, both = (float(rate) for rate in lib.rates(t))
        assert constant == pytest.approx(0.1)
        assert warmup == pytest.approx(0.1 * min((t + 1) / 10, 1))
        half = np.cos(np.pi * min(t / 100, 1))
        assert cosine == pytest.approx(0.01 + 0.045 * (1 + half), rel=1e-4)
        late = 0.05 * (1 + np.cos(np.pi * min((t - 10) / 90, 1)))
        assert both == pytest.approx(0.01 * (t + 1) if t < 10 else late, rel=1e-4, abs=1e-8)


def test_activations(lib):
    x = np.linspace(-5, 5, 41)
    relu, leaky, elu, silu = lib.activations(x)
    assert np.array_equal(relu, np.maximum(x, 0))
    assert np.allclose(leaky, np.where(x > 0, x, 0.01 * x))
    assert np.allclose(elu, np.where(x > 0, x, np.expm1(x)))
    assert np.allclose(silu, x * special.expit(x))


def test_losses(lib):
    rng = np.random.default_rng(1)
    z, t = 5 * rng.normal(size=(7, 4)), rng.uniform(size=(7, 4))
    bce, mse, mae, huber = lib.losses(z, t)
    p = special.expit(z)
    assert bce == pytest.approx(-(t * np.log(p) + (1 - t) * np.log1p(-p)).mean(), rel=1e-10)
    assert mse == pytest.approx(((z - t) ** 2).mean())
    assert mae == pytest.approx(np.abs(z - t).mean())
    assert huber == pytest.approx(special.huber(1.0, z - t).mean())
    y = rng.integers(4, size=7).astype(np.int32)
    expected = -special.log_softmax(z, axis=1)[np.arange(7), y].mean()
    assert lib.labels(z, y) == pytest.approx(expected)


def test_initializers_have_their_variances(lib):
    drawn = lib.weights(dmc.key(0))
    variances = [2 / 500, 2 / 500, 2 / 300, 2 / 300, 1 / 300, 1 / 300]
    for number, (w, variance) in enumerate(zip(drawn, variances, strict=True)):
        assert w.var() == pytest.approx(variance, rel=0.02)
        assert abs(w.mean()) < 4 * np.sqrt(variance / w.size)
        if number % 2:
            assert np.abs(w).max() <= np.sqrt(3 * variance) * (1 + 1e-6)
