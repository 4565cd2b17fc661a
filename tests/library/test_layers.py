"""Layers by what holds for them; the oracle holds their values and gradients against PyTorch."""

import numpy as np
import pytest

import dmc

PROGRAM = """
import nn
from nn import Attention, BatchNorm, Block, CausalConv1, Conv2, ConvTranspose2, GRU, KVCache, LSTM

model Net {
    conv: Conv2[3, 2, 1, 3, 4]
    norm: BatchNorm[4]
    up: ConvTranspose2[4, 2, 1, 4, 2]

    mut fn forward[B](x: f32[B, 8, 6, 3]) -> f32[B, 8, 6, 2] = up(nn.relu(norm(conv(x))))
}

fn loss[B](var net: Net, x: f32[B, 8, 6, 3]) -> (f32, Net) {
    let y = net(x)
    (mean(y * y), net)
}

fn adjoint(x: f64[2, 5, 4, 3], y: f64[2, 10, 8, 2], w: f64[4, 4, 3, 2], v: f64[4, 4, 2, 3])
        -> (f64, f64) {
    let there = nn.conv_transpose2[2, 1](x, w)
    let back = nn.conv2[2, 1](nn.pad2[1, 1, 1, 1](y), v)
    (sum(there * y), sum(back * x))
}

fn causal(l: CausalConv1[3, 2, 2, 2, f64], x: f64[1, 9, 2]) -> f64[1, 9, 2] = l(x)

fn folded[B, T](l: LSTM[3, 4, f64], g: GRU[3, 4, f64], x: f64[B, T, 3])
        -> (f64[B, T, 4], f64[B, 4], f64[B, T, 4], f64[B, 4]) {
    var h: f64[B, 4] = zeros
    var c: f64[B, 4] = zeros
    var k: f64[B, 4] = zeros
    for t in 0..T {
        (h, c) = l.step(x[:, t], h, c)
        k = g.step(x[:, t], k)
    }
    (l(x), h, g(x), k)
}

fn mask(l: Attention[8, 4, 2, f64], x: f64[2, 5, 8], seen: bool[2, 5]) -> f64[2, 5, 8] =
    l.masked(x, seen)

fn generate[T](l: Block[8, 2, 8, f64], x: f64[1, T, 8]) -> (f64[1, T, 8], f64[T, 1, 8]) {
    var cache: KVCache[1, 2, T, 4, f64] = KVCache(k = zeros, v = zeros, length = 0)
    let out = for t in 0..T {
        let (y, later) = l.next(x[:, t], cache)
        cache = later
        y
    }
    (l.causal(x), out)
}

fn drops(key: Key) -> (f32[500], f64[100, 3], f32[40, 2, 2, 10], f64[2000]) {
    let (a, b, c, d) = split(key, 4)
    let x: f32[500] = ones
    let y: f64[100, 3] = ones
    let z: f32[40, 2, 2, 10] = ones
    let u: f64[2000] = normal(fold(d, 1))
    (nn.dropout(x, 0.25, a), nn.drop_path(y, 0.5, b), nn.dropout_channels(z, 0.5, c),
     nn.alpha_dropout(u, 0.3, fold(d, 2)))
}
"""


@pytest.fixture(scope="module")
def library():
    return dmc.loads(PROGRAM)


def test_a_network_trains_and_keeps_statistics(library):
    net = library.Net.init(dmc.key(0))
    x = np.random.default_rng(0).standard_normal((4, 8, 6, 3)).astype(np.float32)
    (value, moved), gradient = dmc.value_and_grad(library.loss)(net, x)
    assert value > 0
    assert moved.norm.center.any()
    assert gradient.conv.w.any()
    assert gradient.up.b.any()


def test_the_transpose_of_a_convolution(library):
    rng = np.random.default_rng(1)
    x, y, w = (rng.standard_normal(s) for s in ((2, 5, 4, 3), (2, 10, 8, 2), (4, 4, 3, 2)))
    there, back = library.adjoint(x, y, w, np.swapaxes(w, 2, 3).copy())
    assert there == pytest.approx(back, rel=1e-12)


def test_causal_convolution_is_blind_to_the_future(library):
    layer = library.CausalConv1.init[3, 2, 2, 2, np.float64](dmc.key(0))
    x = np.random.default_rng(2).standard_normal((1, 9, 2))
    before = library.causal(layer, x)
    x[0, 5:] = 7
    after = library.causal(layer, x)
    assert np.array_equal(before[0, :5], after[0, :5])
    assert not np.array_equal(before[0, 5], after[0, 5])


def test_recurrent_layers_are_folds_of_their_steps(library):
    lstm = library.LSTM.init[3, 4, np.float64](dmc.key(0))
    gru = library.GRU.init[3, 4, np.float64](dmc.key(1))
    x = np.random.default_rng(3).standard_normal((2, 6, 3))
    hs, h, ks, k = library.folded(lstm, gru, x)
    assert np.allclose(hs[:, -1], h, rtol=1e-12)
    assert np.allclose(ks[:, -1], k, rtol=1e-12)


def test_padding_is_not_seen(library):
    layer = library.Attention.init[8, 4, 2, np.float64](dmc.key(0))
    x = np.random.default_rng(4).standard_normal((2, 5, 8))
    seen = np.arange(5) < np.array([[5], [3]])
    before = library.mask(layer, x, seen)
    x[1, 3:] = np.inf
    after = library.mask(layer, np.nan_to_num(x, posinf=1e3), seen)
    assert np.array_equal(before[0], after[0])
    assert np.array_equal(before[1, :3], after[1, :3])


def test_a_cache_gives_what_causal_attention_gives(library):
    block = library.Block.init[8, 2, 8, np.float64](dmc.key(0), turned=True)
    x = np.random.default_rng(5).standard_normal((1, 6, 8))
    whole, one_by_one = library.generate(block, x)
    assert np.allclose(whole[0], one_by_one[:, 0], rtol=1e-11)


def test_dropping(library):
    plain, paths, channels, alpha = library.drops(dmc.key(2))
    assert set(np.unique(plain)) == {0, np.float32(1) / np.float32(0.75)}
    assert plain.mean() == pytest.approx(1, abs=0.1)
    assert all(len(np.unique(row)) == 1 for row in paths)
    assert set(np.unique(paths)) == {0, 2}
    assert (channels == channels[:, :1, :1, :]).all()
    assert alpha.mean() == pytest.approx(0, abs=0.1)
    assert alpha.std() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hyperparameters_left_out_take_the_type_of_the_others(dtype: type) -> None:
    module = dmc.loads(
        "from nn import LayerNorm\n"
        "fn f[N, D, F: float](n: LayerNorm[D, F], x: F[N, D]) -> F[N, D] = n(x)\n"
    )
    layer = module.LayerNorm(gain=np.ones(4, dtype), bias=np.zeros(4, dtype))
    assert module.f(layer, np.ones((2, 4), dtype)).dtype == dtype
    assert layer.eps == module.LayerNorm(gain=layer.gain, bias=layer.bias, eps=1e-5).eps
