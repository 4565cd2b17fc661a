"""Optimizers and what is done to gradients; the oracle holds every step against the peers."""

from __future__ import annotations

import numpy as np
import pytest

import dmc

PROGRAM = """
import optim
from nn import LayerNorm, Linear

model Net[D] {
    first: Linear[D, D]
    layers: 3 * Linear[D, D]
    norms: 2 * LayerNorm[D, f64]
    state calls: i64 = 0
}

fn marks(net: Net) -> (Grad[Net], Grad[Net]) = (optim.matrices(net), leaves[layers.b, gain](net))

fn clipped(g: Net) -> (Net, Net, Net, f32, f64) = (
    optim.clip_norm(g, 1.0), optim.clip_each_norm(g, 1.0), optim.clip_value(g, 0.1),
    optim.global_norm(g), optim.global_norm[Net, f64](g)
)

fn adaptive(net: Net, g: Net) -> (Grad[Net], Grad[Net]) =
    (optim.clip_adaptive(net, g.params, 0.1), optim.centralize(g.params))

fn start(net: Net) -> (optim.AdamW[Net], optim.Accumulated[Net]) =
    (optim.adamw_init(net), optim.accumulate_init(net))

## No gradient, so that decay alone moves the weights.
fn decay(net: Net, s: optim.AdamW[Net]) -> (Net, optim.AdamW[Net]) =
    optim.adamw_update(net, zeros, s, 0.1, wd = 1.0)

fn some(net: Net, g: Net, s: optim.AdamW[Net]) -> (Net, optim.AdamW[Net]) =
    optim.adamw_update(net, g.params, s, 0.1, rates = 1.0 - leaves[first](net))

fn guarded(net: Net, g: Net, s: optim.AdamW[Net], n: optim.Skips)
        -> (Net, optim.AdamW[Net], optim.Skips) =
    optim.skip(optim.all_finite(g.params), (net, s), optim.adamw_update(net, g.params, s, 0.1), n)

fn gather(g: Net, s: optim.Accumulated[Net]) -> (bool, Grad[Net], optim.Accumulated[Net]) =
    optim.accumulate(g.params, s, 2)

fn noisy(g: Net, key: Key) -> Grad[Net] = optim.add_noise(g.params, 0.5, key)

fn turn(w: f64[20, 20]) -> f64[20, 20] = optim.orthogonal(w)

fn misspelt(net: Net) -> Grad[Net] = leaves[gian](net)
"""


@pytest.fixture(scope="module")
def library():
    return dmc.loads(PROGRAM)


@pytest.fixture(scope="module")
def net(library):
    return library.Net.init(dmc.key(0), D=4)


def leaves(record):
    return {path: np.asarray(leaf, np.float64) for path, leaf in record.items()}


def test_matrices_are_told_from_stacked_gains(library, net):
    matrices, named = (leaves(marks) for marks in library.marks(net))
    assert {path for path, leaf in matrices.items() if leaf.all()} == {"first.w", "layers.w"}
    assert {path for path, leaf in named.items() if leaf.all()} == {"layers.b", "norms.gain"}
    assert all(len(np.unique(leaf)) == 1 for leaf in (*matrices.values(), *named.values()))


def test_a_path_that_no_leaf_has_is_refused(library, net):
    with pytest.raises(dmc.Error, match="did you mean `gain`"):
        library.misspelt(net)


def test_only_matrices_decay(library, net):
    moved, _ = library.decay(net, library.start(net)[0])
    for path, leaf in leaves(moved).items():
        share = 0.9 if path.endswith("w") else 1.0
        assert np.allclose(leaf, share * leaves(net)[path], rtol=1e-6)
    assert moved.norms.gain.dtype == np.float64
    assert moved.first.w.dtype == np.float32


def test_a_group_can_be_frozen(library, net):
    moved, _ = library.some(net, net, library.start(net)[0])
    assert np.array_equal(moved.first.w, net.first.w)
    assert np.abs(moved.layers.w - net.layers.w).min() > 0.05


def test_clipping(library, net):
    whole, each, by_value, norm, precise = library.clipped(net)
    everything = np.concatenate([leaf.ravel() for leaf in leaves(net).values()])
    assert norm == pytest.approx(np.linalg.norm(everything), rel=1e-6)
    assert precise == pytest.approx(np.linalg.norm(everything), rel=1e-7)
    assert np.allclose(whole.first.w, net.first.w / norm, rtol=1e-5)
    for layer, clipped in zip(net.layers.w, each.layers.w, strict=True):
        assert np.allclose(clipped, layer / max(1, np.linalg.norm(layer)), rtol=1e-5)
    assert np.allclose(by_value.norms.gain, 0.1)
    adaptive, centered = library.adaptive(net, net)
    ratio = np.linalg.norm(adaptive.layers.w, axis=1) / np.linalg.norm(net.layers.w, axis=1)
    assert np.allclose(ratio, 0.1, rtol=1e-5)
    assert np.allclose(centered.layers.w.mean(1), 0, atol=1e-7)
    assert np.array_equal(centered.norms.gain, net.norms.gain)


def test_steps_with_a_gradient_that_is_not_finite_are_skipped_and_counted(library, net):
    bad = net.replace(first=net.first.replace(b=np.full(4, np.nan, np.float32)))
    state, count = library.start(net)[0], library.optim.skip_init()
    one, state, count = library.guarded(net, bad, state, count)
    two, state, count = library.guarded(one, bad, state, count)
    assert np.array_equal(two.first.w, net.first.w)
    assert (count.skipped, count.in_a_row, state.t) == (2, 2, 0)
    three, state, count = library.guarded(two, net, state, count)
    assert not np.array_equal(three.first.w, net.first.w)
    assert (count.skipped, count.in_a_row, state.t) == (2, 0, 1)


def test_gradients_are_accumulated(library, net):
    state = library.start(net)[1]
    full, _, state = library.gather(net, state)
    assert not full
    full, mean, state = library.gather(net, state)
    assert full
    assert np.allclose(mean.layers.w, net.layers.w)
    assert state.count == 0
    assert not state.total.layers.w.any()


def test_noise_and_orthogonal_steps(library, net):
    noise = library.noisy(net, dmc.key(1)).layers.w - net.layers.w
    assert 0.3 < noise.std() < 0.7
    singular = np.linalg.svd(library.turn(np.random.default_rng(0).standard_normal((20, 20))))[1]
    assert 0.3 < singular.min() < singular.max() < 1.3
