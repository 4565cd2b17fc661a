"""GradBench's k-means: the cost of a clustering and its gradient in the centres."""

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

N, K, D = 10_000, 50, 32


def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    return Inputs({"centres": rng.random((K, D))}, {"x": rng.random((N, D))})


def _jax(p: Foreign, d: Foreign) -> Foreign:
    distances = ((d["x"][:, None] - p["centres"]) ** 2).sum(-1)
    return distances.min(1).sum()


def _torch(p: Foreign, d: Foreign) -> Foreign:
    torch = package("torch")
    distances = ((d["x"][:, None] - p["centres"]) ** 2).sum(-1)
    return torch.amin(distances, 1).sum()


def _c(_: Inputs) -> ByHand:
    library = native.library("kmeans")

    def by_hand(p: Arrays, d: Arrays) -> tuple[Foreign, dict[str, Foreign]]:
        gradient, value = np.empty((K, D)), np.zeros(1)
        arrays = (d["x"], p["centres"], gradient, value)
        library.kmeans(*map(ctypes.c_long, (N, K, D)), *map(native.pointer, arrays))
        return value[0], {"centres": gradient}

    return by_hand


WORKLOAD = Workload(
    "kmeans",
    f"GradBench's k-means, n={N:,} k={K} d={D}",
    Precision.F64,
    N * K * D * 3 + N * D * 2,
    8 * (N * D + 2 * K * D),
    inputs,
    (
        dmc_arrays("kmeans", "cost"),
        jax_entry(_jax),
        torch_entry(_torch),
        torch_compile_entry(_torch),
        made_entry(System.C, _c),
    ),
    Goal(1.0, (System.C,)),
)
