"""A training step of the perceptron: loss, gradient and AdamW, in place. Matrices decay."""

from __future__ import annotations

import numpy as np

from benchmarks.systems import program, torch_tensors
from benchmarks.workload import (
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
from benchmarks.workloads import mlp

RATE, DECAY = 1e-3, 0.01


def _dmc(inputs: Inputs) -> Contestant:
    module = program("mlp")
    net = mlp.network(module, inputs.params)
    state = {"net": net, "opt": module.start(net)}
    x, y, rate = inputs.data["x"], inputs.data["y"], np.float32(RATE)

    def call() -> Foreign:
        value, state["net"], state["opt"] = module.step(
            state["net"], state["opt"], x, y, rate, donate=("net", "opt")
        )
        return value, state["net"]

    return Contestant(call, lambda out: value_and_gradients(out[0], mlp.leaves(out[1])))


def _jax(inputs: Inputs) -> Contestant:
    jax, optax = package("jax"), package("optax")
    optimizer = optax.adamw(
        RATE, weight_decay=DECAY, mask=lambda p: jax.tree.map(lambda v: v.ndim > 1, p)
    )

    def step(p: Foreign, s: Foreign, d: Foreign) -> Foreign:
        value, gradients = jax.value_and_grad(mlp.jax_loss)(p, d)
        updates, s = optimizer.update(gradients, s, p)
        return value, optax.apply_updates(p, updates), s

    run = jax.jit(step, donate_argnums=(0, 1))
    params, data = jax.device_put(inputs.params), jax.device_put(inputs.data)
    state = {"p": params, "s": optimizer.init(params)}

    def call() -> Foreign:
        value, state["p"], state["s"] = run(state["p"], state["s"], data)
        return jax.block_until_ready((value, state["p"]))

    return Contestant(call, lambda out: value_and_gradients(*out))


def _torch(compiled: bool) -> Maker:
    def make(inputs: Inputs) -> Contestant:
        torch = package("torch")
        loss = torch.compile(mlp.torch_loss) if compiled else mlp.torch_loss
        params = {k: v.requires_grad_() for k, v in torch_tensors(inputs.params).items()}
        data = torch_tensors(inputs.data)
        groups = [
            {"params": [v for v in params.values() if v.ndim > 1], "weight_decay": DECAY},
            {"params": [v for v in params.values() if v.ndim == 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=RATE, fused=True)

        def call() -> Foreign:
            optimizer.zero_grad(set_to_none=True)
            value = loss(params, data)
            value.backward()
            optimizer.step()
            return value.detach(), params

        return Contestant(
            call,
            lambda out: value_and_gradients(out[0], {k: v.detach() for k, v in out[1].items()}),
        )

    return make


WORKLOAD = Workload(
    "mlp_step",
    f"{mlp.WHAT}; and an AdamW update in place",
    Precision.F32,
    mlp.FLOPS + 14 * mlp.PARAMETERS,
    mlp.BYTES + 4 * 7 * mlp.PARAMETERS,
    mlp.inputs,
    (
        Entry(System.DMC, _dmc),
        Entry(System.JAX, _jax),
        Entry(System.TORCH, _torch(False)),
        Entry(System.TORCH_COMPILE, _torch(True)),
    ),
    Goal(1.3),
)
