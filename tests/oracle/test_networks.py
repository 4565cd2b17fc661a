"""Neural networks and their gradients against JAX; the convolutional one against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dmc
from dmc_runtime.trees import tree_map
from tests.oracle.peers import HERE, close, jax, jnp, lax, torch, value_and_grad_close
from tests.programs import FOLDER

pytestmark = pytest.mark.oracle
RNG = np.random.default_rng(1)
KEY = dmc.key(0)
F: Any = torch.nn.functional


def narrow(*shape: int, scale: float = 1.0) -> Any:
    return (scale * RNG.standard_normal(shape)).astype(np.float32)


def disturbed(net: Any) -> Any:
    """A model with every parameter moved, so gains, biases and zeros are told apart."""
    return tree_map(lambda leaf: leaf + narrow(*np.shape(leaf), scale=0.2), net)


# A transformer


def layer_norm(p: Any, path: str, x: Any) -> Any:
    c = x - x.mean(-1, keepdims=True)
    scaled = c / jnp.sqrt((c * c).mean(-1, keepdims=True) + 1e-5)
    return p[f"{path}.gain"] * scaled + p[f"{path}.bias"]


def attention(p: Any, path: str, x: Any) -> Any:
    q, k, v = (jnp.einsum("btd,dhe->bhte", x, p[f"{path}{n}"]) for n in ("wq", "wk", "wv"))
    s = jnp.einsum("bhte,bhue->bhtu", q, k) / np.sqrt(q.shape[-1]).astype(np.float32)
    s = jnp.where(jnp.tril(jnp.ones(s.shape[-2:], bool)), s, -jnp.inf)
    return jnp.einsum("bhte,hed->btd", jax.nn.softmax(s) @ v, p[f"{path}wo"])


def transformer_block(p: Any, x: Any) -> Any:
    a = x + attention(p, "attn.", layer_norm(p, "ln1", x))
    h = jax.nn.gelu(layer_norm(p, "ln2", a) @ p["up.w"] + p["up.b"], approximate=True)
    return a + h @ p["down.w"] + p["down.b"]


def gpt_loss(p: Any, ids: Any) -> Any:
    inputs, labels = ids[:, :-1], ids[:, 1:]
    x = p["tok.w"][inputs] + p["pos.w"][: inputs.shape[1]]
    for i in range(p["blocks.up.b"].shape[0]):
        block = {k.removeprefix("blocks."): v[i] for k, v in p.items() if k.startswith("blocks.")}
        x = transformer_block(block, x)
    logp = jax.nn.log_softmax(layer_norm(p, "ln", x) @ p["tok.w"].T)
    return -jnp.mean(jnp.take_along_axis(logp, labels[..., None], -1))


def test_gpt() -> None:
    """Two blocks in a stack, embeddings tied to the output."""
    m = dmc.load(HERE / "gpt.dm")
    net = disturbed(m.GPT.init(KEY, V=11, C=7, D=8, H=2, L=2))
    ids = RNG.integers(0, 11, (3, 6)).astype(np.int32)
    got = dmc.value_and_grad(m.loss)(net, ids)
    value_and_grad_close(got, lambda p: gpt_loss(p, ids), net, 2e-5)


# A recurrent network


def lstm_loss(p: Any, ids: Any) -> Any:
    inputs, labels = ids[:, :-1].T, ids[:, 1:].T

    def cell(carried: Any, x: Any) -> Any:
        h, c = carried
        z = jnp.einsum("nd,dgk->gnk", x, p["cell.wx"]) + jnp.einsum("nj,jgk->gnk", h, p["cell.wh"])
        z = z + p["cell.b"][:, None]
        c = jax.nn.sigmoid(z[1] + 1.0) * c + jax.nn.sigmoid(z[0]) * jnp.tanh(z[3])
        h = jax.nn.sigmoid(z[2]) * jnp.tanh(c)
        return (h, c), h

    start = jnp.zeros((ids.shape[0], p["cell.wh"].shape[0]), jnp.float32)
    _, hs = lax.scan(cell, (start, start), p["emb.w"][inputs])
    logp = jax.nn.log_softmax(hs @ p["out.w"] + p["out.b"])
    return -jnp.mean(jnp.take_along_axis(logp, labels[..., None], -1))


def test_lstm() -> None:
    m = dmc.load(HERE / "lstm.dm")
    net = disturbed(m.CharLM.init(KEY, V=9, D=6, H=5))
    ids = RNG.integers(0, 9, (4, 13)).astype(np.int32)
    got = dmc.value_and_grad(m.loss)(net, ids)
    value_and_grad_close(got, lambda p: lstm_loss(p, ids), net, 1e-5)


# Meta-learning: the gradient of steps that follow gradients


def meta_net(p: Any, x: Any) -> Any:
    h = jnp.tanh(x @ p["l1.w"] + p["l1.b"])
    h = jnp.tanh(h @ p["l2.w"] + p["l2.b"])
    return h @ p["l3.w"] + p["l3.b"]


def meta_mse(p: Any, x: Any, y: Any) -> Any:
    return jnp.mean((meta_net(p, x) - y) ** 2)


def meta_loss(p: Any, x: Any, y: Any, xq: Any, yq: Any, lr: float, steps: int) -> Any:
    def task(x: Any, y: Any, xq: Any, yq: Any) -> Any:
        fast = p
        for _ in range(steps):
            gradient = jax.grad(meta_mse)(fast, x, y)
            fast = jax.tree.map(lambda v, g: v - np.float32(lr) * g, fast, gradient)
        return meta_mse(fast, xq, yq)

    return jnp.mean(jax.vmap(task)(x, y, xq, yq))


def test_maml() -> None:
    m = dmc.load(HERE / "maml.dm")
    net = disturbed(m.Net.init(KEY, H=6))
    data = narrow(4, 5, 1), narrow(4, 5, 1), narrow(4, 3, 1), narrow(4, 3, 1)
    got = dmc.value_and_grad(m.meta_loss[3])(net, *data, lr=0.1)
    value_and_grad_close(got, lambda p: meta_loss(p, *data, 0.1, 3), net, 2e-5)


# A convolutional network with batch norm


def lenet(p: Any, averages: Any, img: Any) -> Any:
    """The logits of LeNet in training; updates the running `averages` as PyTorch does."""
    x = img.permute(0, 3, 1, 2)
    for i in (1, 2):
        x = F.conv2d(x, p[f"c{i}.w"].permute(3, 2, 0, 1), p[f"c{i}.b"])
        running = averages[f"n{i}.avg"], averages[f"n{i}.var2"]
        x = F.batch_norm(x, *running, p[f"n{i}.gain"], p[f"n{i}.bias"], True, 0.1, 1e-5)
        x = F.max_pool2d(F.relu(x), 2)
    h = F.relu(x.permute(0, 2, 3, 1).reshape(len(img), -1) @ p["f1.w"] + p["f1.b"])
    return h @ p["f2.w"] + p["f2.b"]


def test_lenet() -> None:
    """State that a `mut fn` updates comes out beside the gradient and has none."""
    m = dmc.load(FOLDER / "lenet.dm")
    net = disturbed(m.LeNet.init(KEY, K=10))
    img, labels = narrow(3, 28, 28, 1), np.array([3, 7, 1], np.int32)
    leaves = {k: torch.tensor(v) for k, v in net.items()}
    averages = {k: leaves.pop(k) for k in list(leaves) if k.endswith((".avg", ".var2"))}
    for leaf in leaves.values():
        leaf.requires_grad_()
    loss = F.cross_entropy(lenet(leaves, averages, torch.tensor(img)), torch.tensor(labels).long())
    gradients = torch.autograd.grad(loss, list(leaves.values()))

    (value, after), gradient = dmc.value_and_grad(m.loss)(net, img, labels)
    close(value, loss.detach().numpy(), 1e-5)
    wanted = {k: g.numpy() for k, g in zip(leaves, gradients, strict=True)}
    got = dict(gradient.items())
    assert got.keys() == wanted.keys()
    for path, leaf in wanted.items():
        # Batch norm takes away what the biases before it add.
        exactly_zero = path in ("c1.b", "c2.b")
        close(got[path], leaf, 1e-4, path, least=1.0 if exactly_zero else 0.0)
    for i, count in ((1, 3 * 24 * 24), (2, 3 * 8 * 8)):
        norm = getattr(after, f"n{i}")
        before = dict(net.items())[f"n{i}.var2"]
        close(norm.avg, averages[f"n{i}.avg"].numpy(), 1e-5)
        # PyTorch's running variance has the correction of Bessel, which batch norm itself has not.
        added = (averages[f"n{i}.var2"].numpy() - 0.9 * before) * (count - 1) / count
        close(norm.var2, 0.9 * before + added, 1e-5)
