"""Causal attention over 2,048 places: the gradient in queries, keys and values."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.systems import dmc_record, jax_entry, torch_compile_entry, torch_entry
from benchmarks.workload import Foreign, Goal, Inputs, Precision, Workload, package

H, T, K = 8, 2048, 64


def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    return Inputs({name: rng.standard_normal((H, T, K)).astype("f4") for name in ("q", "k", "v")})


def _jax(p: Foreign, _: Foreign) -> Foreign:
    jax, jnp = package("jax"), package("jax.numpy")
    s = jnp.einsum("htk,huk->htu", p["q"], p["k"]) / math.sqrt(K)
    s = jnp.where(jnp.tril(jnp.ones((T, T), bool)), s, -jnp.inf)
    o = jnp.einsum("htu,huk->htk", jax.nn.softmax(s, -1), p["v"])
    return (o * o).mean()


def _torch(p: Foreign, _: Foreign) -> Foreign:
    attention = package("torch.nn.functional").scaled_dot_product_attention
    o = attention(p["q"][None], p["k"][None], p["v"][None], is_causal=True)
    return (o * o).mean()


WORKLOAD = Workload(
    "attention",
    f"causal, H={H} T={T} K={K}; half of the square is counted",
    Precision.F32,
    3 * 4 * H * T * T * K // 2,
    4 * 8 * H * T * K,
    inputs,
    (
        dmc_record("attention", "loss", "Heads"),
        jax_entry(_jax),
        torch_entry(_torch),
        torch_compile_entry(_torch),
    ),
    Goal(1.5),
)
