"""What a benchmark is made of."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

PROGRAMS = Path(__file__).parent / "programs"
Outputs = dict[str, np.ndarray]


def peer(name: str) -> Any:
    """A package of another system, of which the type checker knows nothing. Raises ImportError."""
    return importlib.import_module(name)


@dataclass(frozen=True)
class Contestant:
    """One implementation: `call` does the work, `outputs` says what came out, by name."""

    name: str
    call: Callable[[], Any]
    outputs: Callable[[Any], Outputs]


@dataclass(frozen=True)
class Workload:
    """A problem, its size in floating-point operations and bytes moved, and who solves it.

    `makers` make contestants: importing a peer and preparing inputs is not timed, the first call
    is, as compilation. `tolerance` bounds the relative difference from the first contestant.
    """

    name: str
    what: str
    dtype: str
    flops: float
    bytes: float
    tolerance: float
    makers: dict[str, Callable[[], Contestant]] = field(default_factory=dict)
