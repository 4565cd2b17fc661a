"""Known faults, each with a minimal program. Whoever mends one deletes it here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import dmc


@dataclass(frozen=True)
class KnownFault:
    """`run` gives for the program of `source` what should be `expected`."""

    name: str
    source: str
    run: Callable[[dmc.Module], object]
    expected: float


KNOWN: tuple[KnownFault, ...] = ()

SEEDS: dict[int, str] = {}
"""Seeds of the fixed set that show a known fault, by its name."""
