"""A training step of the perceptron: loss, gradient and AdamW, in place. Matrices decay."""

from __future__ import annotations

import numpy as np

from benchmarks.systems import program
from benchmarks.training import AdamW, jax_step, torch_compile_step, torch_step
from benchmarks.workload import (
    Contestant,
    Entry,
    Foreign,
    Goal,
    Inputs,
    Precision,
    System,
    Workload,
    value_and_gradients,
)
from benchmarks.workloads import mlp

ADAMW = AdamW(rate=1e-3, decay=0.01, decayed=[f"w{i}" for i in range(len(mlp.LAYERS))])


def _dmc(inputs: Inputs) -> Contestant:
    module = program("mlp")
    net = mlp.network(module, inputs.params)
    state = {"net": net, "opt": module.start(net)}
    x, y, rate = inputs.data["x"], inputs.data["y"], np.float32(ADAMW.rate)

    def call() -> Foreign:
        value, state["net"], state["opt"] = module.step(
            state["net"], state["opt"], x, y, rate, donate=("net", "opt")
        )
        return value, state["net"]

    return Contestant(call, lambda out: value_and_gradients(out[0], mlp.leaves(out[1])))


WORKLOAD = Workload(
    "mlp_step",
    f"{mlp.WHAT}; and an AdamW update in place",
    Precision.F32,
    mlp.FLOPS + 14 * mlp.PARAMETERS,
    mlp.BYTES + 4 * 7 * mlp.PARAMETERS,
    mlp.inputs,
    (
        Entry(System.DMC, _dmc),
        jax_step(mlp.jax_loss, ADAMW),
        torch_step(mlp.torch_loss, ADAMW),
        torch_compile_step(mlp.torch_loss, ADAMW),
    ),
    Goal(1.3),
)
