"""The loss of connectionist temporal classification: the gradient in the logits."""

from __future__ import annotations

import numpy as np

from benchmarks.systems import dmc_arrays, jax_entry, torch_entry
from benchmarks.workload import Foreign, Goal, Inputs, Precision, System, Workload, package

B, T, V, L = 16, 150, 32, 25


def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((B, T, V)).astype("f4")
    return Inputs({"logits": logits}, {"y": rng.integers(1, V, (B, L)).astype("i4")})


def _jax(p: Foreign, d: Foreign) -> Foreign:
    jnp, optax = package("jax.numpy"), package("optax")
    nowhere = (jnp.zeros((B, length), jnp.float32) for length in (T, L))
    return optax.ctc_loss(p["logits"], next(nowhere), d["y"], next(nowhere)).mean()


def _torch(p: Foreign, d: Foreign) -> Foreign:
    torch, f = package("torch"), package("torch.nn.functional")
    logp = torch.log_softmax(p["logits"], -1).transpose(0, 1)
    lengths = (torch.full((B,), length) for length in (T, L))
    return f.ctc_loss(logp, d["y"], *lengths, reduction="none").mean()


WORKLOAD = Workload(
    "ctc",
    f"CTC, B={B} T={T}, {V} classes, {L} labels",
    Precision.F32,
    3 * B * T * ((2 * L + 1) * 15 + V * 8),
    4 * B * T * (V * 4 + 2 * (2 * L + 1)),
    inputs,
    (dmc_arrays("ctc", "loss"), jax_entry(_jax), torch_entry(_torch)),
    Goal(1.0, (System.JAX,)),
)
