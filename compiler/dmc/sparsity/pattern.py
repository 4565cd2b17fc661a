"""Where a matrix of derivatives may differ from zero, and why that is everywhere, if it is."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from dmc.ir.location import Location
from dmc.sparsity.sets import Ids


class Reason(enum.Enum):
    """Why an element depends on all that is differentiated in, and what to do about it."""

    ALL = (
        "here each element depends on all of them",
        "leave out `sparse = true`: all entries are computed anyway",
    )
    SUBSCRIPT = (
        "where this reads or writes is known only when it runs, so it counts as everywhere",
        "use subscripts that follow from sizes, loops and integer arguments; these are known to "
        "`dmc.jacobian(f, sparse=True)` in Python",
    )
    COUNT = (
        "how often this runs is not known, so all that it may reach counts",
        "let a size or an integer argument say how often: `for t in 0..n`; the latter is known to "
        "`dmc.jacobian(f, sparse=True)` in Python",
    )


@dataclass(frozen=True)
class Cause:
    """The first operation of which an element depends on everything, though no operand does."""

    location: Location
    reason: Reason


@dataclass(frozen=True)
class Pattern:
    """Where a matrix may differ from zero: the columns of each row, ascending.

    The columns number the points of a `grid`, the last subscript fastest. `cause` is what first
    made something depend on all columns.
    """

    shape: tuple[int, int]
    starts: Ids
    columns: Ids
    grid: tuple[int, ...]
    cause: Cause | None = None

    @property
    def rows(self) -> Ids:
        """The row of each entry."""
        return np.repeat(np.arange(self.shape[0]), np.diff(self.starts))
