"""A training step of a transformer of 124 million parameters, as many as the small GPT-2 has.

Loss, gradient, clipping by the norm of the whole gradient, and AdamW in place. Matrices decay.
"""

from __future__ import annotations

import numpy as np

from benchmarks.systems import program
from benchmarks.training import AdamW, jax_step, torch_step
from benchmarks.workload import (
    Contestant,
    Entry,
    Foreign,
    Inputs,
    Precision,
    System,
    Workload,
    value_and_gradients,
)
from benchmarks.workloads import gpt

SIZE = gpt.Size(B=1, T=256, D=768, H=12, V=50257, L=12)
ADAMW = AdamW(rate=1e-4, decay=0.01, limit=1.0, decayed=["emb", "pos", "wqkv", "wo", "w1", "w2"])


def _dmc(inputs: Inputs) -> Contestant:
    module = program("gpt")
    net = gpt.network(module, inputs.params, SIZE)
    state = {"net": net, "opt": module.start(net)}
    ids, y, rate = inputs.data["ids"], inputs.data["y"], np.float32(ADAMW.rate)

    def call() -> Foreign:
        value, state["net"], state["opt"] = module.step(
            state["net"], state["opt"], ids, y, rate, donate=("net", "opt")
        )
        return value, state["net"]

    return Contestant(call, lambda out: value_and_gradients(out[0], gpt.leaves(out[1])))


WORKLOAD = Workload(
    "gpt_step",
    f"transformer, {SIZE}, tied embedding; the gradient clipped, and an AdamW update in place",
    Precision.F32,
    SIZE.flops + 16 * SIZE.parameters,
    SIZE.bytes + 4 * 8 * SIZE.parameters,
    lambda: gpt.inputs(SIZE),
    (
        Entry(System.DMC, _dmc),
        jax_step(gpt.jax_loss(SIZE.H), ADAMW),
        torch_step(gpt.torch_loss(SIZE.H), ADAMW),
    ),
)
