"""A small transformer: the value and gradient of its loss. The parameters of layers are stacked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.systems import Loss, jax_entry, program, torch_compile_entry, torch_entry
from benchmarks.workload import (
    Arrays,
    Contestant,
    Entry,
    Foreign,
    Goal,
    Inputs,
    Precision,
    System,
    Workload,
    package,
    value_and_gradients,
)


@dataclass(frozen=True)
class Size:
    """B sequences of T tokens out of V, L blocks of width D with H heads."""

    B: int
    T: int
    D: int
    H: int
    V: int
    L: int

    @property
    def tokens(self) -> int:
        return self.B * self.T

    @property
    def parameters(self) -> int:
        """Those of matrices."""
        return 12 * self.L * self.D * self.D + self.V * self.D

    @property
    def flops(self) -> int:
        """Of a value and gradient."""
        blocks = self.L * (24 * self.tokens * self.D * self.D + 4 * self.tokens * self.T * self.D)
        return 3 * (blocks + 2 * self.tokens * self.D * self.V)

    @property
    def bytes(self) -> int:
        """Parameters once in each pass and their gradient; what each block keeps."""
        return 4 * (3 * self.parameters + 2 * self.L * self.tokens * self.D * 20)

    def __str__(self) -> str:
        shape = f"B={self.B} T={self.T} d={self.D}"
        return f"{shape}, {self.L} layers of {self.H} heads, {self.V} tokens"


SMALL = Size(B=4, T=128, D=256, H=8, V=512, L=4)
STACKED = {
    "ln1_g": "norm1.gain",
    "ln1_b": "norm1.bias",
    "wqkv": "attention.qkv.w",
    "bqkv": "attention.qkv.b",
    "wo": "attention.out.w",
    "bo": "attention.out.b",
    "ln2_g": "norm2.gain",
    "ln2_b": "norm2.bias",
    "w1": "up.w",
    "b1": "up.b",
    "w2": "down.w",
    "b2": "down.b",
}
"""What each layer has, and where it stands in a block of the program."""

ELSEWHERE = {"emb": "token.w", "pos": "place", "lnf_g": "norm.gain", "lnf_b": "norm.bias"}


def inputs(size: Size) -> Inputs:
    """Parameters as far from their start as makes every part count, and random tokens."""
    V, T, D, L = size.V, size.T, size.D, size.L
    rng = np.random.default_rng(0)

    def normal(*shape: int, scale: float = 0.02) -> Foreign:
        return (scale * rng.standard_normal(shape)).astype("f4")

    params: Arrays = {
        "emb": normal(V, D),
        "pos": normal(T, D),
        "lnf_g": 1 + normal(D),
        "lnf_b": normal(D),
        "ln1_g": 1 + normal(L, D),
        "ln1_b": normal(L, D),
        "wqkv": normal(L, D, 3 * D, scale=0.06),
        "bqkv": normal(L, 3 * D),
        "wo": normal(L, D, D, scale=0.06),
        "bo": normal(L, D),
        "ln2_g": 1 + normal(L, D),
        "ln2_b": normal(L, D),
        "w1": normal(L, D, 4 * D, scale=0.06),
        "b1": normal(L, 4 * D),
        "w2": normal(L, 4 * D, D, scale=0.03),
        "b2": normal(L, D),
    }
    ids, y = (rng.integers(0, V, (size.B, T)).astype("i4") for _ in range(2))
    return Inputs(params, {"ids": ids, "y": y})


def _dmc(inputs: Inputs) -> Contestant:
    dmc, module = package("dmc"), program("gpt")
    run = dmc.value_and_grad(module.loss)
    net = network(module, inputs.params, SMALL)
    ids, y = inputs.data["ids"], inputs.data["y"]
    return Contestant(
        lambda: run(net, ids, y), lambda out: value_and_gradients(out[0], leaves(out[1]))
    )


def leaves(net: Foreign) -> Arrays:
    """The parameters of a network, or their gradients, by name."""
    found = {name: _at(net, path) for name, path in ELSEWHERE.items()}
    return found | {name: _at(net.blocks, path) for name, path in STACKED.items()}


def network(module: Foreign, p: Arrays, size: Size) -> Foreign:
    """A network with the parameters of `inputs`."""

    def block(layer: Mapping[str, Foreign]) -> Foreign:
        dense, norm = module.Linear, module.LayerNorm
        return module.Block(
            norm1=norm(gain=layer["ln1_g"], bias=layer["ln1_b"]),
            attention=module.Attention(
                H=size.H,
                qkv=dense(w=layer["wqkv"], b=layer["bqkv"]),
                out=dense(w=layer["wo"], b=layer["bo"]),
            ),
            norm2=norm(gain=layer["ln2_g"], bias=layer["ln2_b"]),
            up=dense(w=layer["w1"], b=layer["b1"]),
            down=dense(w=layer["w2"], b=layer["b2"]),
        )

    return module.GPT(
        token=module.Embed(w=p["emb"]),
        place=p["pos"],
        blocks=package("dmc").stack(
            [block({name: p[name][i] for name in STACKED}) for i in range(size.L)]
        ),
        norm=module.LayerNorm(gain=p["lnf_g"], bias=p["lnf_b"]),
    )


def _at(record: Foreign, path: str) -> Foreign:
    for name in path.split("."):
        record = getattr(record, name)
    return record


def jax_loss(heads: int) -> Loss:
    """The loss in JAX, its layers in `lax.scan`."""

    def attend(z: Foreign) -> Foreign:
        jax, jnp = package("jax"), package("jax.numpy")
        b, t, d = z.shape[0], z.shape[1], z.shape[2] // 3
        parts = jnp.split(z, 3, -1)
        q, k, v = (part.reshape(b, t, heads, -1).transpose(0, 2, 1, 3) for part in parts)
        s = q @ k.transpose(0, 1, 3, 2) / math.sqrt(d // heads)
        s = jnp.where(jnp.tril(jnp.ones((t, t), bool)), s, -jnp.inf)
        return (jax.nn.softmax(s, -1) @ v).transpose(0, 2, 1, 3).reshape(b, t, d)

    def block(x: Foreign, layer: Foreign) -> tuple[Foreign, None]:
        jax = package("jax")
        z = _jax_norm(x, layer["ln1_g"], layer["ln1_b"]) @ layer["wqkv"] + layer["bqkv"]
        x = x + attend(z) @ layer["wo"] + layer["bo"]
        h = _jax_norm(x, layer["ln2_g"], layer["ln2_b"]) @ layer["w1"] + layer["b1"]
        return x + jax.nn.gelu(h, approximate=True) @ layer["w2"] + layer["b2"], None

    def loss(p: Foreign, d: Foreign) -> Foreign:
        jax, jnp = package("jax"), package("jax.numpy")
        x = p["emb"][d["ids"]] + p["pos"]
        x, _ = jax.lax.scan(block, x, {name: p[name] for name in STACKED})
        logp = jax.nn.log_softmax(_jax_norm(x, p["lnf_g"], p["lnf_b"]) @ p["emb"].T)
        return -jnp.mean(jnp.take_along_axis(logp, d["y"][..., None], -1))

    return loss


def _jax_norm(x: Foreign, gain: Foreign, bias: Foreign) -> Foreign:
    c = x - x.mean(-1, keepdims=True)
    return c * package("jax.lax").rsqrt((c * c).mean(-1, keepdims=True) + 1e-5) * gain + bias


def torch_loss(heads: int) -> Loss:
    """The loss in PyTorch, with its own attention."""

    def attend(z: Foreign) -> Foreign:
        b, t, d = z.shape[0], z.shape[1], z.shape[2] // 3
        q, k, v = (part.view(b, t, heads, -1).transpose(1, 2) for part in z.split(d, -1))
        f = package("torch.nn.functional")
        a = f.scaled_dot_product_attention(q, k, v, is_causal=True)
        return a.transpose(1, 2).reshape(b, t, d)

    def loss(p: Foreign, d: Foreign) -> Foreign:
        f = package("torch.nn.functional")
        x = f.embedding(d["ids"], p["emb"]) + p["pos"]
        width = x.shape[-1:]
        for layer in zip(*(p[name].unbind(0) for name in STACKED), strict=True):
            g1, c1, wqkv, bqkv, wo, bo, g2, c2, w1, b1, w2, b2 = layer
            x = x + attend(f.layer_norm(x, width, g1, c1) @ wqkv + bqkv) @ wo + bo
            h = f.gelu(f.layer_norm(x, width, g2, c2) @ w1 + b1, approximate="tanh")
            x = x + h @ w2 + b2
        logits = f.layer_norm(x, width, p["lnf_g"], p["lnf_b"]) @ p["emb"].T
        return f.cross_entropy(logits.flatten(0, 1), d["y"].flatten())

    return loss


WORKLOAD = Workload(
    "gpt",
    f"transformer, {SMALL}, tied embedding",
    Precision.F32,
    SMALL.flops,
    SMALL.bytes,
    lambda: inputs(SMALL),
    (
        Entry(System.DMC, _dmc),
        jax_entry(jax_loss(SMALL.H)),
        torch_entry(torch_loss(SMALL.H)),
        torch_compile_entry(torch_loss(SMALL.H)),
    ),
    Goal(1.3),
)
