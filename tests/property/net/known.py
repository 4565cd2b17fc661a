"""Known faults, each with a minimal program. Whoever mends one deletes it here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import dmc


@dataclass(frozen=True)
class KnownFault:
    """`run` gives for the program of `source` what should be `expected`."""

    name: str
    source: str
    run: Callable[[dmc.Module], object]
    expected: float


KNOWN: tuple[KnownFault, ...] = (
    KnownFault(
        "wrapped_stride",  # CompilerBug: tensor.accumulate has no form at loop level
        "fn f[M](x: f64[M]) -> f64 requires M >= 1 ="
        " sum[i in 0..2, j in 0..5](x[(2 * j + i) % M] ** 2)",
        lambda program: dmc.grad(program.f)(np.ones(3)).sum(),
        20.0,
    ),
)

SEEDS: dict[int, str] = {}
"""Seeds of the fixed set that show a known fault, by its name."""
