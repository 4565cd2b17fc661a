"""The determinant of a small matrix, of which GradBench takes the gradient."""

from __future__ import annotations

import numpy as np

from benchmarks.systems import dmc_arrays, jax_entry, numpy_entry, torch_compile_entry, torch_entry
from benchmarks.workload import Arrays, Foreign, Goal, Inputs, Precision, Workload, package

N = 12


def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    return Inputs({"m": np.eye(N) + 0.2 * rng.standard_normal((N, N))})


def _jax(p: Foreign, _: Foreign) -> Foreign:
    return package("jax.numpy").linalg.det(p["m"])


def _torch(p: Foreign, _: Foreign) -> Foreign:
    return package("torch").linalg.det(p["m"])


def _numpy(p: Arrays, _: Arrays) -> tuple[Foreign, dict[str, Foreign]]:
    value = np.linalg.det(p["m"])
    return value, {"m": value * np.linalg.inv(p["m"]).T}


WORKLOAD = Workload(
    "det",
    f"GradBench's determinant, {N}×{N}, by elimination",
    Precision.F64,
    3 * 2 * N**3 / 3,
    8 * 2 * N * N,
    inputs,
    (
        dmc_arrays("det", "det"),
        jax_entry(_jax),
        torch_entry(_torch),
        torch_compile_entry(_torch),
        numpy_entry(_numpy),
    ),
    Goal(1.0),
)
