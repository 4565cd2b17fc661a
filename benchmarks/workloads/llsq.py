"""GradBench's least squares: a polynomial fitted to signs, by its monomials."""

from __future__ import annotations

import ctypes

import numpy as np

from benchmarks import native
from benchmarks.systems import (
    ByHand,
    dmc_arrays,
    jax_entry,
    made_entry,
    torch_compile_entry,
    torch_entry,
)
from benchmarks.workload import Arrays, Foreign, Goal, Inputs, Precision, System, Workload, package

N, M = 4096, 128


def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    return Inputs({"x": rng.standard_normal(M)}, {"t": np.linspace(-1.0, 1.0, N)})


def _jax(p: Foreign, d: Foreign) -> Foreign:
    jnp = package("jax.numpy")
    error = jnp.sign(d["t"]) - (d["t"][:, None] ** jnp.arange(M)) @ p["x"]
    return 0.5 * (error * error).sum()


def _torch(p: Foreign, d: Foreign) -> Foreign:
    torch = package("torch")
    error = torch.sign(d["t"]) - (d["t"][:, None] ** torch.arange(M)) @ p["x"]
    return 0.5 * (error * error).sum()


def _c(_: Inputs) -> ByHand:
    library, error = native.library("llsq"), np.empty(N)

    def by_hand(p: Arrays, d: Arrays) -> tuple[Foreign, dict[str, Foreign]]:
        gradient, value = np.empty(M), np.zeros(1)
        arrays = (p["x"], d["t"], error, gradient, value)
        library.llsq(*map(ctypes.c_long, (N, M)), *map(native.pointer, arrays))
        return value[0], {"x": gradient}

    return by_hand


WORKLOAD = Workload(
    "llsq",
    f"GradBench's least squares, n={N:,} m={M}",
    Precision.F64,
    5 * N * M,
    8 * (2 * N + 2 * M),
    inputs,
    (
        dmc_arrays("llsq", "misfit"),
        jax_entry(_jax),
        torch_entry(_torch),
        torch_compile_entry(_torch),
        made_entry(System.C, _c),
    ),
    Goal(1.0, (System.C,)),
)
