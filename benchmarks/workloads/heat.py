"""A hundred steps of the heat equation on a grid of 256²; the gradient in where it starts."""

from __future__ import annotations

import numpy as np

from benchmarks.systems import dmc_arrays, jax_entry, torch_compile_entry, torch_entry
from benchmarks.workload import Foreign, Goal, Inputs, Precision, System, Workload, package

N, STEPS = 256, 100


def inputs() -> Inputs:
    return Inputs({"start": np.random.default_rng(0).standard_normal((N, N))})


def _jax(p: Foreign, _: Foreign) -> Foreign:
    jax, jnp = package("jax"), package("jax.numpy")

    def step(u: Foreign, _: None) -> tuple[Foreign, None]:
        v = jnp.pad(u, 1, mode="edge")
        around = v[:-2, 1:-1] + v[2:, 1:-1] + v[1:-1, :-2] + v[1:-1, 2:]
        return u + 0.1 * (around - 4.0 * u), None

    u, _ = jax.lax.scan(step, p["start"], None, length=STEPS)
    return (u * u).sum()


def _torch(p: Foreign, _: Foreign) -> Foreign:
    f, u = package("torch.nn.functional"), p["start"]
    for _ in range(STEPS):
        v = f.pad(u[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
        around = v[:-2, 1:-1] + v[2:, 1:-1] + v[1:-1, :-2] + v[1:-1, 2:]
        u = u + 0.1 * (around - 4.0 * u)
    return (u * u).sum()


WORKLOAD = Workload(
    "heat",
    f"the heat equation, {N}² places, {STEPS} steps, closed borders",
    Precision.F64,
    2 * 7 * N * N * STEPS,
    8 * 2 * N * N,
    inputs,
    (
        dmc_arrays("heat", "energy"),
        jax_entry(_jax),
        torch_entry(_torch),
        torch_compile_entry(_torch),
    ),
    Goal(2.0, (System.JAX,)),
)
