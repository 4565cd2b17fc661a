"""Slopes from finite differences, and what comparing derivatives with them gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dmc_runtime.arguments import number


@dataclass(frozen=True)
class GradientCheck:
    """One leaf: the largest difference between the gradient and central differences.

    `error` is relative to the largest component of the leaf's gradient, or to 1 if that is less;
    `norm` is that of the leaf's gradient. `checked` components were compared; `kinks` were left
    out: the function bends within the step there, as `relu` does at 0, so differences say nothing.
    A leaf of which nothing could be compared has not `passed`.
    """

    path: str
    count: int
    norm: float
    error: float
    passed: bool
    checked: int = 1
    kinks: int = 0

    @property
    def nothing_checked(self) -> str:
        """Why nothing was compared, where nothing was."""
        if self.count == 0:
            return "it has no elements"
        return "it bends at every place tried" if self.kinks else "no samples were taken"


@dataclass(frozen=True)
class Tolerances:
    """Step of the differences and largest errors; None takes what suits the element type."""

    step: float | None = None
    tolerance: float | None = None

    def __post_init__(self) -> None:
        """Raises dmc.Error for what is no positive number."""
        for name, value in (("step", self.step), ("tolerance", self.tolerance)):
            if value is not None:
                number(value, f"`dmc.check_grads`: `{name}`")

    def of(self, dtype: np.dtype[Any]) -> tuple[float, float]:
        """Step and largest error for leaves of `dtype`."""
        step, largest = {2: (2.5e-1, 1e-1), 4: (2e-2, 1e-2)}.get(dtype.itemsize, (1e-3, 1e-6))
        return self.step or step, self.tolerance or largest


def slope(at: Callable[[float], float], middle: float, h: float, limit: float) -> float | None:
    """A derivative from central differences at two steps, extrapolated (Richardson).

    Where the function bends within the step, smaller ones are tried; None when it bends there, too.
    It bends when the two estimates disagree, or when the slopes to either side do and do not draw
    closer with the step, as at the very point of a kink. `middle` is `at(0)`.
    """
    for step in (h, h / 8):
        high, low = at(step), at(-step)
        higher, lower = at(step / 2), at(-step / 2)
        coarse, fine = (high - low) / (2 * step), (higher - lower) / step
        bend, finer_bend = (
            (high + low - 2 * middle) / step,
            (higher + lower - 2 * middle) / step * 2,
        )
        is_smooth = abs(bend) <= limit or abs(finer_bend) < 0.75 * abs(bend)
        if is_smooth and not abs(coarse - fine) > limit:
            return (4 * fine - coarse) / 3
    return None
