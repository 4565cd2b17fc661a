"""Contestants are held against each other before they are timed."""

from __future__ import annotations

import numpy as np

from benchmarks.workload import Array, Arrays

SLIGHT = 1e-30


def difference(reference: Array, other: Array) -> float:
    """The norm of the difference over that of the reference; infinite for NaN and other shapes."""
    if reference.shape != other.shape:
        return np.inf
    wide, narrow = (np.asarray(a, np.float64).ravel() for a in (reference, other))
    relative = float(np.linalg.norm(wide - narrow) / max(float(np.linalg.norm(wide)), SLIGHT))
    return np.inf if np.isnan(relative) else relative


def disagreement(reference: Arrays, other: Arrays, tolerance: float) -> str | None:
    """What is wrong with a contestant's outputs, or None."""
    if missing := reference.keys() ^ other.keys():
        return f"outputs differ in {', '.join(sorted(missing))}"
    for name, wanted in reference.items():
        error = difference(wanted, other[name])
        if not error <= tolerance:
            return f"{name} differs by {error:.1e}"
    return None
