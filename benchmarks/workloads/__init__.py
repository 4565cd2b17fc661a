"""The workloads, one a file: its inputs and what its peers compute. The `.dm` texts are beside."""

from __future__ import annotations

import importlib

from benchmarks.workload import Workload

NAMES: list[str] = [
    "small",
    "mlp",
    "mlp_step",
    "hvp",
    "gpt",
    "convnet",
    "lstm",
    "ln_block",
    "attention",
    "gmm",
    "ba",
    "ode",
    "scan",
    "elementwise",
    "heat",
    "unet",
    "sinkhorn",
    "seq2seq",
    "soft_dtw",
    "ctc",
    "gp",
    "ba_large",
    "kmeans",
    "llsq",
    "lstm_diagonal",
    "det",
]
"""Those of the suite."""

LARGE = ["gpt_step"]
"""Those that take minutes and gigabytes, and run where they are asked for."""


def load(name: str) -> Workload:
    """The workload of a name."""
    workload: Workload = importlib.import_module(f"{__name__}.{name}").WORKLOAD
    assert workload.name == name
    return workload
