"""The Hessian of the perceptron's loss times a vector."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.systems import program, torch_tensors
from benchmarks.workload import (
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
)
from benchmarks.workloads import mlp

ALONG = "along_"


def inputs() -> Inputs:
    """Those of the perceptron; the vector is among the data, under longer names."""
    given = mlp.inputs()
    rng = np.random.default_rng(1)
    along = {
        ALONG + k: (0.05 * rng.standard_normal(v.shape)).astype("f4")
        for k, v in given.params.items()
    }
    return replace(given, data=given.data | along)


def _vector(inputs: Inputs) -> Arrays:
    return {k: inputs.data[ALONG + k] for k in inputs.params}


def _dmc(inputs: Inputs) -> Contestant:
    module = program("mlp")
    net, along = (mlp.network(module, arrays) for arrays in (inputs.params, _vector(inputs)))
    run = package("dmc").hvp(module.loss, along=along)
    x, y = inputs.data["x"], inputs.data["y"]
    return Contestant(lambda: run(net, x, y), lambda out: dict(mlp.leaves(out)))


def _jax(inputs: Inputs) -> Contestant:
    jax = package("jax")

    @jax.jit
    def run(p: Foreign, v: Foreign, d: Foreign) -> Foreign:
        return jax.jvp(jax.grad(lambda q: mlp.jax_loss(q, d)), (p,), (v,))[1]

    given = [jax.device_put(arrays) for arrays in (inputs.params, _vector(inputs), inputs.data)]
    return Contestant(lambda: jax.block_until_ready(run(*given)), _outputs)


def _torch(inputs: Inputs) -> Contestant:
    """Reverse mode twice: an operation at a time, faster than forward over reverse."""
    torch = package("torch")
    params = {k: v.requires_grad_() for k, v in torch_tensors(inputs.params).items()}
    leaves, along = list(params.values()), list(torch_tensors(_vector(inputs)).values())
    data = torch_tensors(inputs.data)

    def call() -> Foreign:
        gradients = torch.autograd.grad(mlp.torch_loss(params, data), leaves, create_graph=True)
        return dict(zip(params, torch.autograd.grad(gradients, leaves, along), strict=True))

    return Contestant(call, _outputs)


def _torch_compile(inputs: Inputs) -> Contestant:
    torch = package("torch")

    def product(p: Foreign, v: Foreign, d: Foreign) -> Foreign:
        gradient = torch.func.grad(lambda q: mlp.torch_loss(q, d))
        return torch.func.jvp(gradient, (p,), (v,))[1]

    run = torch.compile(product)
    given = [torch_tensors(arrays) for arrays in (inputs.params, _vector(inputs), inputs.data)]
    return Contestant(lambda: run(*given), _outputs)


def _outputs(out: Foreign) -> Arrays:
    return {k: np.asarray(v) for k, v in out.items()}


WORKLOAD = Workload(
    "hvp",
    f"Hessian-vector product; {mlp.WHAT}",
    Precision.F32,
    3 * mlp.PRODUCTS[0] + 8 * sum(mlp.PRODUCTS[1:]),
    4 * 5 * mlp.PARAMETERS,
    inputs,
    (
        Entry(System.DMC, _dmc),
        Entry(System.JAX, _jax),
        Entry(System.TORCH, _torch),
        Entry(System.TORCH_COMPILE, _torch_compile),
    ),
    Goal(1.15),
)
