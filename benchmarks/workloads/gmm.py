"""ADBench's Gaussian mixture: the log-posterior with a Wishart prior (Srajer et al., 2018)."""

from __future__ import annotations

import ctypes
from math import lgamma, log, pi, sqrt

import numpy as np

from benchmarks import native
from benchmarks.systems import (
    ByHand,
    jax_entry,
    made_entry,
    program,
    torch_compile_entry,
    torch_entry,
)
from benchmarks.workload import (
    COMPILERS,
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

N, D, K = 1000, 32, 25
# The strict lower triangle of each matrix is packed by columns.
COLUMNS, ROWS = np.triu_indices(D, 1)


def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    params = {
        "alpha": rng.standard_normal(K),
        "mu": rng.random((K, D)),
        "icf": rng.standard_normal((K, D * (D + 1) // 2)) * 0.3,
    }
    return Inputs(params, {"x": rng.random((N, D))})


def _dmc(inputs: Inputs) -> Contestant:
    module, x = program("gmm"), inputs.data["x"]
    mixture = module.GMM(**inputs.params)
    prior = module.Wishart(gamma=1.0, m=0)
    run = package("dmc").value_and_grad(module.log_posterior)
    return Contestant(
        lambda: run(mixture, x, prior),
        lambda out: value_and_gradients(out[0], {k: getattr(out[1], k) for k in inputs.params}),
    )


def constant() -> float:
    """What does not depend on the parameters, with gamma = 1 and m = 0."""
    n = D + 1
    log_gamma = D * (D - 1) / 4 * log(pi) + sum(lgamma(0.5 * (n - j)) for j in range(D))
    wishart = K * (n * D * log(1 / sqrt(2)) - log_gamma)
    return -N * D * 0.5 * log(2 * pi) - wishart


def _jax(p: Foreign, d: Foreign) -> Foreign:
    jax, jnp = package("jax"), package("jax.numpy")
    log_q = p["icf"][:, :D]
    q, total = jnp.exp(log_q), log_q.sum(1)
    lower = jnp.zeros((K, D, D)).at[:, ROWS, COLUMNS].set(p["icf"][:, D:])
    away = d["x"][:, None, :] - p["mu"]
    z = q * away + jnp.einsum("kij,nkj->nki", lower, away)
    inner = p["alpha"] + total - 0.5 * (z * z).sum(2)
    prior = 0.5 * ((q * q).sum() + (p["icf"][:, D:] ** 2).sum())
    evidence = jax.nn.logsumexp(inner, axis=1).sum() - N * jax.nn.logsumexp(p["alpha"])
    return constant() + evidence + prior


def _torch(p: Foreign, d: Foreign) -> Foreign:
    torch = package("torch")
    log_q = p["icf"][:, :D]
    q, total = torch.exp(log_q), log_q.sum(1)
    flat = torch.zeros(K, D * D, dtype=torch.float64)
    places = torch.as_tensor(ROWS * D + COLUMNS)
    lower = flat.index_copy(1, places, p["icf"][:, D:]).view(K, D, D)
    away = d["x"][:, None, :] - p["mu"]
    z = q * away + torch.einsum("kij,nkj->nki", lower, away)
    inner = p["alpha"] + total - 0.5 * (z * z).sum(2)
    prior = 0.5 * ((q * q).sum() + (p["icf"][:, D:] ** 2).sum())
    evidence = torch.logsumexp(inner, 1).sum() - N * torch.logsumexp(p["alpha"], 0)
    return constant() + evidence + prior


def _c(_: Inputs) -> ByHand:
    library = native.library("gmm")

    def by_hand(p: Arrays, d: Arrays) -> tuple[Foreign, dict[str, Foreign]]:
        gradients = {name: np.empty_like(array) for name, array in p.items()}
        value = np.zeros(1)
        arrays = (*p.values(), d["x"], *gradients.values(), value)
        library.gmm(*map(ctypes.c_long, (N, D, K)), *map(native.pointer, arrays))
        return constant() + value[0], gradients

    return by_hand


WORKLOAD = Workload(
    "gmm",
    f"ADBench's Gaussian mixture, n={N} d={D} k={K}",
    Precision.F64,
    3 * N * K * (D * D + 3 * D),
    8 * (N * D + 2 * K * (1 + D + D * (D + 1) // 2) + 4 * N * K * D),
    inputs,
    (
        Entry(System.DMC, _dmc),
        jax_entry(_jax),
        torch_entry(_torch),
        torch_compile_entry(_torch),
        made_entry(System.C, _c),
    ),
    Goal(4.0, COMPILERS),
)
