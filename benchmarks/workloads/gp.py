"""The likelihood of a Gaussian process: the gradient in the parameters of its kernel."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.systems import dmc_record, jax_entry, torch_compile_entry, torch_entry
from benchmarks.workload import Foreign, Goal, Inputs, Precision, System, Workload, package

N, D = 400, 4


def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    kernel = {"scale": np.array(0.1), "length": np.array(0.3), "noise": np.array(-1.0)}
    x = rng.standard_normal((N, D))
    return Inputs(kernel, {"x": x, "y": np.sin(x.sum(1)) + 0.1 * rng.standard_normal(N)})


def _jax(p: Foreign, d: Foreign) -> Foreign:
    jax, jnp = package("jax"), package("jax.numpy")
    x, y = d["x"], d["y"]
    squares = ((x[:, None] - x) ** 2).sum(-1)
    near = jnp.exp(2 * p["scale"] - 0.5 * jnp.exp(-2 * p["length"]) * squares)
    lower = jnp.linalg.cholesky(near + jnp.exp(2 * p["noise"]) * jnp.eye(N))
    z = jax.scipy.linalg.solve_triangular(lower, y, lower=True)
    return 0.5 * z @ z + jnp.log(jnp.diag(lower)).sum() + 0.5 * N * math.log(2 * math.pi)


def _torch(p: Foreign, d: Foreign) -> Foreign:
    torch = package("torch")
    x, y = d["x"], d["y"]
    squares = ((x[:, None] - x) ** 2).sum(-1)
    near = torch.exp(2 * p["scale"] - 0.5 * torch.exp(-2 * p["length"]) * squares)
    noise = torch.exp(2 * p["noise"]) * torch.eye(N, dtype=torch.float64)
    lower = torch.linalg.cholesky(near + noise)
    z = torch.linalg.solve_triangular(lower, y[:, None], upper=False)[:, 0]
    return 0.5 * z @ z + torch.log(torch.diag(lower)).sum() + 0.5 * N * math.log(2 * math.pi)


WORKLOAD = Workload(
    "gp",
    f"Gaussian process, n={N} d={D}: likelihood by Cholesky's decomposition",
    Precision.F64,
    N**3 / 3 * 3 + N * N * (3 * D + 20) * 2,
    8 * 4 * N * N,
    inputs,
    (
        dmc_record("gp", "loss", "Kernel", ("x", "y")),
        jax_entry(_jax),
        torch_entry(_torch),
        torch_compile_entry(_torch),
    ),
    Goal(1.0, (System.JAX,)),
)
