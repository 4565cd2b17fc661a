"""How long dmc's kernels take by the cost model, for what a process has compiled."""

from __future__ import annotations

import gc
from collections.abc import Iterator

from dmc.dialects import func
from dmc.driver import Compilation
from dmc.ir import Rates
from dmc.jit.rates import rates_of
from dmc.transforms.predict import Prediction, predictions


def by_kernel() -> list[Prediction]:
    """The kernels of all programs of this process, those first that take the longest."""
    found = [each for program in _programs() for each in _of(program)]
    return sorted(found, key=lambda each: -each.nanoseconds)


def seconds() -> float | None:
    """The time of all kernels on one thread, None where nothing is known to be compiled."""
    found = by_kernel()
    return sum(each.nanoseconds for each in found) / 1e9 if found else None


def _programs() -> Iterator[Compilation]:
    return (found for found in gc.get_objects() if isinstance(found, Compilation))


def _of(program: Compilation) -> list[Prediction]:
    rates: Rates = rates_of(program.engine)
    return predictions(func.lookup(program.kernels, program.entry), rates)
