"""Natural gradients, Kronecker factors and clipped examples against their definitions in NumPy."""

import numpy as np
import pytest

import dmc

PROGRAM = """
import nn
import optim
from nn import Linear

model Net {
    first: Linear[3, 4, f64]
    last: Linear[4, 2, f64]

    ## What comes out, with something added to what the layers give.
    fn forward[B](x: f64[B, 3], p: f64[B, 4] = zeros) -> f64[B, 2] = last(tanh(first(x) + p))
}

fn logits[B](net: Net, x: f64[B, 3]) -> f64[B, 2] = net(x)

fn loss[B](net: Net, x: f64[B, 3], y: i32[B], p: f64[B, 4]) -> f64 =
    nn.cross_entropy(net(x, p), y)

fn start(net: Net) -> optim.KFAC[3, 4, f64] = optim.kfac_init(net.first)

## The net a natural step further, and what it took.
fn stepped[B](net: Net, s: optim.KFAC[3, 4, f64], x: f64[B, 3], y: i32[B], damping: f64)
        -> (Net, Grad[Net], Grad[Net], optim.KFAC[3, 4, f64], Grad[Linear[3, 4, f64]]) {
    let (g, slopes) = grad(loss, wrt = (net, p))(net, x, y, zeros)
    let natural = optim.natural_gradient[60](
        fn(n) => logits(n, x), fn(z) => nn.cross_entropy(z, y), net, g, damping)
    let factors = optim.kfac_update(s, x, slopes)
    let net2 = optim.with_params(net, net.params - 0.05 * natural)
    (net2, g, natural, factors, optim.kfac_gradient(g.first, factors, damping))
}

fn private[B](net: Net, x: f64[B, 3], y: i32[B], limit: f64) -> Grad[Net] requires B >= 1 =
    optim.clip_examples[B](
        fn(m, n) => loss(m, x[n : n + 1], y[n : n + 1], zeros), net, limit)
"""
B = 7


@pytest.fixture(scope="module")
def library():
    return dmc.loads(PROGRAM)


@pytest.fixture(scope="module")
def problem(library):
    rng = np.random.default_rng(0)
    net = library.Net.init(dmc.key(0))
    return net, rng.standard_normal((B, 3)), rng.integers(0, 2, B).astype(np.int32)


def flat(record, batch=()):
    return np.concatenate([np.reshape(leaf, (*batch, -1)) for _, leaf in record.items()], -1)


def test_a_hundred_steps(library, problem):
    net, x, y = problem
    factors, means = library.start(net), None
    a, jacobian_of = np.c_[x, np.ones(B)], dmc.jacobian(library.logits)
    for _ in range(100):
        z, h = library.logits(net, x), np.tanh(x @ net.first.w + net.first.b)
        jacobian, last = flat(jacobian_of(net, x), (B, 2)), net.last.w
        net, g, natural, factors, turned = library.stepped(net, factors, x, y, 0.1)
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        of_outputs = [np.diag(row) - np.outer(row, row) for row in p]
        fisher = np.einsum("bip,bij,bjq->pq", jacobian, of_outputs, jacobian) / B
        wanted = np.linalg.solve(fisher + 0.1 * np.eye(len(fisher)), flat(g))
        assert np.allclose(flat(natural), wanted, rtol=1e-8, atol=1e-12)

        slopes = (p - np.eye(2)[y]) @ last.T * (1 - h**2)
        seen = np.array([a.T @ a / B, slopes.T @ slopes / B])
        means = seen if means is None else 0.95 * means + 0.05 * seen
        left, right = means
        assert np.allclose(factors.inputs, left)
        assert np.allclose(factors.outputs, right)
        ratio, damping = np.sqrt(np.trace(left) / np.trace(right)), np.sqrt(0.1)
        whole = np.vstack([g.first.w, g.first.b])
        whole = np.linalg.solve(left + ratio * damping * np.eye(4), whole)
        whole = whole @ np.linalg.inv(right + damping / ratio * np.eye(4))
        assert np.allclose(np.vstack([turned.w, turned.b]), whole)


def test_each_example_is_clipped(library, problem):
    net, x, y = problem
    total = 0.0
    for n in range(B):
        g = flat(dmc.grad(library.loss)(net, x[n : n + 1], y[n : n + 1], np.zeros((1, 4))))
        total = total + g * min(1, 0.2 / np.linalg.norm(g))
    assert np.allclose(flat(library.private(net, x, y, 0.2)), total / B)
