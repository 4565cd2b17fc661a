"""Entropic optimal transport between 256 and 256 points: the gradient through 50 iterations."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.systems import dmc_record, jax_entry, torch_compile_entry, torch_entry
from benchmarks.workload import Foreign, Goal, Inputs, Precision, System, Workload, package

N, DIMENSIONS, ITERATIONS, BLUR = 256, 2, 50, 0.1


def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    clouds = {"x": rng.random((N, DIMENSIONS)), "y": 0.3 + rng.random((N, DIMENSIONS))}
    return Inputs(clouds, {"blur": np.array(BLUR)})


def _jax(p: Foreign, d: Foreign) -> Foreign:
    jax, jnp = package("jax"), package("jax.numpy")
    blur = d["blur"]
    cost = ((p["x"][:, None] - p["y"]) ** 2).sum(-1)

    def step(state: Foreign, _: None) -> tuple[Foreign, None]:
        _, g = state
        f = -blur * (jax.nn.logsumexp((g - cost) / blur, 1) - math.log(N))
        g = -blur * (jax.nn.logsumexp((f[:, None] - cost) / blur, 0) - math.log(N))
        return (f, g), None

    start = jnp.zeros(N), jnp.zeros(N)
    (f, g), _ = jax.lax.scan(step, start, None, length=ITERATIONS)
    return (jnp.exp((f[:, None] + g - cost) / blur) * cost).sum() / N**2


def _torch(p: Foreign, d: Foreign) -> Foreign:
    torch, blur = package("torch"), d["blur"]
    cost = ((p["x"][:, None] - p["y"]) ** 2).sum(-1)
    f = g = torch.zeros(N, dtype=torch.float64)
    for _ in range(ITERATIONS):
        f = -blur * (torch.logsumexp((g - cost) / blur, 1) - math.log(N))
        g = -blur * (torch.logsumexp((f[:, None] - cost) / blur, 0) - math.log(N))
    return (torch.exp((f[:, None] + g - cost) / blur) * cost).sum() / N**2


WORKLOAD = Workload(
    "sinkhorn",
    f"optimal transport, {N}×{N}, {ITERATIONS} iterations",
    Precision.F64,
    ITERATIONS * 2 * N * N * 3 * 10,
    8 * 2 * N * DIMENSIONS * 2,
    inputs,
    (
        dmc_record("sinkhorn", "transport", "Clouds", ("blur",)),
        jax_entry(_jax),
        torch_entry(_torch),
        torch_compile_entry(_torch),
    ),
    Goal(3.0, (System.JAX,)),
)
