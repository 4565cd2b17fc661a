"""A small transformer: the value and gradient of its loss. The parameters of layers are stacked."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from benchmarks.systems import jax_entry, program, torch_compile_entry, torch_entry
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

B, T, D, H, V, L = 4, 128, 256, 8, 512, 4
TOKENS = B * T
PARAMETERS = 12 * L * D * D + V * D
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


def inputs() -> Inputs:
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
    ids, y = (rng.integers(0, V, (B, T)).astype("i4") for _ in range(2))
    return Inputs(params, {"ids": ids, "y": y})


def _dmc(inputs: Inputs) -> Contestant:
    dmc, module = package("dmc"), program("gpt")
    run = dmc.value_and_grad(module.loss)
    net = _network(dmc, module, inputs.params)
    ids, y = inputs.data["ids"], inputs.data["y"]

    def outputs(out: Foreign) -> Arrays:
        value, gradient = out
        found = {name: _at(gradient, path) for name, path in ELSEWHERE.items()}
        found |= {name: _at(gradient.blocks, path) for name, path in STACKED.items()}
        return value_and_gradients(value, found)

    return Contestant(lambda: run(net, ids, y), outputs)


def _network(dmc: Foreign, module: Foreign, p: Arrays) -> Foreign:
    def block(layer: Mapping[str, Foreign]) -> Foreign:
        dense, norm = module.Linear, module.LayerNorm
        return module.Block(
            norm1=norm(gain=layer["ln1_g"], bias=layer["ln1_b"]),
            attention=module.Attention(
                H=H,
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
        blocks=dmc.stack([block({name: p[name][i] for name in STACKED}) for i in range(L)]),
        norm=module.LayerNorm(gain=p["lnf_g"], bias=p["lnf_b"]),
    )


def _at(record: Foreign, path: str) -> Foreign:
    for name in path.split("."):
        record = getattr(record, name)
    return record


def _jax(p: Foreign, d: Foreign) -> Foreign:
    jax, jnp = package("jax"), package("jax.numpy")

    def norm(x: Foreign, gain: Foreign, bias: Foreign) -> Foreign:
        c = x - x.mean(-1, keepdims=True)
        return c * jax.lax.rsqrt((c * c).mean(-1, keepdims=True) + 1e-5) * gain + bias

    def block(x: Foreign, layer: Foreign) -> tuple[Foreign, None]:
        z = norm(x, layer["ln1_g"], layer["ln1_b"]) @ layer["wqkv"] + layer["bqkv"]
        q, k, v = (t.reshape(B, T, H, D // H).transpose(0, 2, 1, 3) for t in jnp.split(z, 3, -1))
        s = q @ k.transpose(0, 1, 3, 2) / math.sqrt(D // H)
        s = jnp.where(jnp.tril(jnp.ones((T, T), bool)), s, -jnp.inf)
        a = (jax.nn.softmax(s, -1) @ v).transpose(0, 2, 1, 3).reshape(B, T, D)
        x = x + a @ layer["wo"] + layer["bo"]
        h = norm(x, layer["ln2_g"], layer["ln2_b"]) @ layer["w1"] + layer["b1"]
        return x + jax.nn.gelu(h, approximate=True) @ layer["w2"] + layer["b2"], None

    x = p["emb"][d["ids"]] + p["pos"]
    x, _ = jax.lax.scan(block, x, {name: p[name] for name in STACKED})
    logp = jax.nn.log_softmax(norm(x, p["lnf_g"], p["lnf_b"]) @ p["emb"].T)
    return -jnp.mean(jnp.take_along_axis(logp, d["y"][..., None], -1))


def _torch(p: Foreign, d: Foreign) -> Foreign:
    f = package("torch.nn.functional")
    x = f.embedding(d["ids"], p["emb"]) + p["pos"]
    for layer in zip(*(p[name].unbind(0) for name in STACKED), strict=True):
        g1, c1, wqkv, bqkv, wo, bo, g2, c2, w1, b1, w2, b2 = layer
        z = f.layer_norm(x, (D,), g1, c1) @ wqkv + bqkv
        q, k, v = (t.view(B, T, H, D // H).transpose(1, 2) for t in z.split(D, -1))
        a = f.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + a.transpose(1, 2).reshape(B, T, D) @ wo + bo
        h = f.gelu(f.layer_norm(x, (D,), g2, c2) @ w1 + b1, approximate="tanh")
        x = x + h @ w2 + b2
    logits = f.layer_norm(x, (D,), p["lnf_g"], p["lnf_b"]) @ p["emb"].T
    return f.cross_entropy(logits.view(-1, V), d["y"].view(-1))


WORKLOAD = Workload(
    "gpt",
    f"transformer, B={B} T={T} d={D}, {L} layers of {H} heads, {V} tokens, tied embedding",
    Precision.F32,
    3 * (L * (24 * TOKENS * D * D + 4 * B * T * T * D) + 2 * TOKENS * D * V),
    4 * (3 * PARAMETERS + 2 * L * TOKENS * D * 20),
    inputs,
    (
        Entry(System.DMC, _dmc),
        jax_entry(_jax),
        torch_entry(_torch),
        torch_compile_entry(_torch),
    ),
    Goal(1.3),
)
