"""What a benchmark is made of: a problem, its inputs, and who solves it.

A workload's file imports no contestant's package before that contestant is made, so that each can
run in an environment of its own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent
PROGRAMS = FOLDER / "programs"

Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = dict[str, Array]
Foreign: TypeAlias = Any
"""A value of a package of which the type checker knows nothing."""


class Missing(Exception):
    """A contestant cannot take part here: its package or a compiler is not installed."""


def package(name: str) -> Foreign:
    """A contestant's package. Raises Missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Missing(f"{name} cannot be imported") from error


class System(Enum):
    """What a contestant is written with."""

    DMC = "dmc"
    JAX = "jax"
    TORCH = "torch"
    TORCH_COMPILE = "torch_compile"
    NUMPY = "numpy"
    NUMBA = "numba"
    C = "c"


COMPILERS = (System.JAX, System.TORCH, System.TORCH_COMPILE)
"""Those that derive derivatives themselves."""


class Precision(Enum):
    """The element type of a workload, and how far from each other contestants may be in it."""

    F32 = "f32"
    F64 = "f64"

    @property
    def tolerance(self) -> float:
        """The largest relative difference, in the Euclidean norm of each output."""
        return 1e-4 if self is Precision.F32 else 1e-10


@dataclass(frozen=True)
class Inputs:
    """Arrays by name: `params` are differentiated in, `data` are not."""

    params: Arrays
    data: Arrays = field(default_factory=dict[str, Array])


@dataclass(frozen=True)
class Contestant:
    """One implementation, ready to run: `outputs` says what came out of a `call`, by name."""

    call: Callable[[], Foreign]
    outputs: Callable[[Foreign], Arrays]


Maker: TypeAlias = Callable[[Inputs], Contestant]


@dataclass(frozen=True)
class Entry:
    """A contestant of a workload, made from its inputs.

    `variant` tells several of one system apart. `tolerance` is the workload's unless the contestant
    is known to be less accurate.
    """

    system: System
    make: Maker
    variant: str = ""
    tolerance: float | None = None

    @property
    def name(self) -> str:
        return f"{self.system.value}_{self.variant}" if self.variant else self.system.value


@dataclass(frozen=True)
class Goal:
    """The ratio to reach: the time of the best of some systems, or of all, over dmc's."""

    ratio: float
    against: tuple[System, ...] = ()


@dataclass(frozen=True)
class Workload:
    """A problem, and its size in floating-point operations and in bytes that must be moved."""

    name: str
    what: str
    precision: Precision
    flops: float
    bytes: float
    inputs: Callable[[], Inputs]
    entries: tuple[Entry, ...]
    goal: Goal | None = None

    def entry(self, name: str) -> Entry:
        return next(entry for entry in self.entries if entry.name == name)

    def tolerance(self, name: str) -> float:
        """How far the outputs of a contestant may be from the reference."""
        own = self.entry(name).tolerance
        return self.precision.tolerance if own is None else own


def value_and_gradients(value: Foreign, gradients: dict[str, Foreign]) -> Arrays:
    """The outputs of a contestant that gives a value and its gradient by parameter."""
    return {"value": np.asarray(value), **{k: np.asarray(g) for k, g in gradients.items()}}
