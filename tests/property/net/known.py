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


KNOWN = (
    KnownFault(
        "dependent_range",
        "fn f[N](x: f64[N]) -> f64 = sum[i in 0..N, j in 0..i](x[j])",
        lambda program: program.f(np.ones(4)),
        6.0,
    ),
)

SEEDS: dict[int, str] = {}
"""Seeds of the fixed set that show a known fault, by its name."""
