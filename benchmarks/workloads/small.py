"""Logistic regression on 32 rows of 16: what a call costs. NumPy arrays go in and come out."""

from __future__ import annotations

import numpy as np

from benchmarks.systems import (
    ByHand,
    dmc_record,
    made_entry,
    numpy_entry,
)
from benchmarks.workload import (
    Arrays,
    Contestant,
    Entry,
    Foreign,
    Goal,
    Inputs,
    Maker,
    Precision,
    System,
    Workload,
    package,
    value_and_gradients,
)

N, D = 32, 16


def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    return Inputs(
        {"w": rng.standard_normal(D).astype("f4"), "b": np.array(0.1, "f4")},
        {
            "x": rng.standard_normal((N, D)).astype("f4"),
            "y": rng.choice([-1.0, 1.0], N).astype("f4"),
        },
    )


def _jax(inputs: Inputs) -> Contestant:
    jax = package("jax")

    def loss(p: Foreign, d: Foreign) -> Foreign:
        return jax.nn.softplus(-d["y"] * (d["x"] @ p["w"] + p["b"])).mean()

    run = jax.jit(jax.value_and_grad(loss))

    def call() -> Foreign:
        value, gradients = run(inputs.params, inputs.data)
        return np.asarray(value), {k: np.asarray(g) for k, g in gradients.items()}

    return Contestant(call, lambda out: value_and_gradients(*out))


def _torch_loss(p: Foreign, d: Foreign) -> Foreign:
    softplus = package("torch.nn.functional").softplus
    return softplus(-d["y"] * (d["x"] @ p["w"] + p["b"])).mean()


def _torch(compiled: bool) -> Maker:
    def make(inputs: Inputs) -> Contestant:
        torch = package("torch")
        loss = torch.compile(_torch_loss) if compiled else _torch_loss

        def call() -> Foreign:
            params = {k: torch.from_numpy(v).requires_grad_() for k, v in inputs.params.items()}
            data = {k: torch.from_numpy(v) for k, v in inputs.data.items()}
            value = loss(params, data)
            gradients = torch.autograd.grad(value, list(params.values()))
            return value.detach().numpy(), [g.numpy() for g in gradients]

        return Contestant(
            call,
            lambda out: value_and_gradients(out[0], dict(zip(inputs.params, out[1], strict=True))),
        )

    return make


def _numpy(p: Arrays, d: Arrays) -> tuple[Foreign, dict[str, Foreign]]:
    x, y = d["x"], d["y"]
    margin = -y * (x @ p["w"] + p["b"])
    value = np.logaddexp(np.float32(0), margin).mean()
    slope = -y / (1 + np.exp(-margin)) * np.float32(1 / N)
    return value, {"w": slope @ x, "b": slope.sum()}


def _numba(_: Inputs) -> ByHand:
    numba = package("numba")

    @numba.njit
    def kernel(w: Foreign, b: Foreign, x: Foreign, y: Foreign) -> Foreign:
        one = np.float32(1)
        rows, columns = x.shape
        value, in_b, in_w = np.float32(0), np.float32(0), np.zeros(columns, np.float32)
        for i in range(rows):
            z = b
            for j in range(columns):
                z += x[i, j] * w[j]
            margin = -y[i] * z
            value += max(margin, np.float32(0)) + np.log1p(np.exp(-abs(margin)))
            slope = -y[i] / (one + np.exp(-margin)) / np.float32(rows)
            in_b += slope
            for j in range(columns):
                in_w[j] += slope * x[i, j]
        return value / rows, in_w, in_b

    def run(p: Arrays, d: Arrays) -> tuple[Foreign, dict[str, Foreign]]:
        value, w, b = kernel(p["w"], p["b"][()], d["x"], d["y"])
        return value, {"w": w, "b": b}

    return run


WORKLOAD = Workload(
    "small",
    f"logistic regression, {N} rows of {D}; NumPy to NumPy",
    Precision.F32,
    4 * N * D + 20 * N,
    4 * (N * D + 2 * D + 2 * N),
    inputs,
    (
        dmc_record("small", "loss", "Weights", ("x", "y")),
        Entry(System.JAX, _jax),
        Entry(System.TORCH, _torch(False)),
        Entry(System.TORCH_COMPILE, _torch(True)),
        numpy_entry(_numpy),
        made_entry(System.NUMBA, _numba),
    ),
    Goal(4.0, (System.NUMPY,)),
)
