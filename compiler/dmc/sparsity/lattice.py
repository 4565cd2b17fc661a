"""Colours of columns that are numbered like the points of a grid, as of stencils.

Where all rows meet columns at the same distances, points of one colour form a lattice: the colour
of a point is a linear form of its subscripts, modulo the number of colours. Five points in a cross
take five colours so, thirteen in a diamond thirteen, where a greedy colouring takes seven and
eighteen. See Goldfarb and Toint, "Optimal estimation of Jacobian and Hessian matrices that arise
in finite difference calculations" (1984).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmc.sparsity.sets import Ids

_EACH_ENTRY, _AT_LEAST = 64, 1 << 20
"""So many colours of points are looked at for each entry, and so many in any case."""

_Forms = NDArray[np.int64]
"""Linear forms: their coefficients, a row for each."""


@dataclass
class _Effort:
    """How many more colours of points are looked at before the search is given up."""

    left: int


def lattice(rows: Ids, columns: Ids, grid: Sequence[int], most: int) -> Ids | None:
    """A colour for each point of `grid` such that no two in a row have the same, if there is one.

    Entry e is in row `rows[e]`, ascending, at the point numbered `columns[e]`. There are fewer
    than `most` colours; None where no lattice is found that has so few.
    """
    shapes = _shapes(rows, columns, grid)
    fewest = shapes[0].shape[0] if shapes else most
    effort = _Effort(_EACH_ENTRY * len(rows) + _AT_LEAST)
    for count in range(fewest, most):
        form = _form(shapes, count, len(grid), effort)
        if form is not None:
            colours = _points(np.arange(math.prod(grid)), grid) @ form % count
            seen = np.bincount(_numbered(rows) * count + colours[columns])
            return colours if seen.max() == 1 else None
    return None


def _points(numbers: Ids, grid: Sequence[int]) -> _Forms:
    """The subscripts of points, a row for each."""
    return np.stack(np.unravel_index(numbers, grid), axis=1)


def _numbered(rows: Ids) -> Ids:
    """The rows that have entries, numbered without gaps."""
    return np.cumsum(np.diff(rows, prepend=rows[:1]) != 0)


def _shapes(rows: Ids, columns: Ids, grid: Sequence[int]) -> list[_Forms]:
    """What rows look like from their first points: subscripts, each once, the longest first.

    They are told apart by hashes; a mistake is seen in the colours.
    """
    points = _points(columns, grid)
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    lengths = np.diff(starts, append=len(rows))
    found: list[_Forms] = []
    for length in np.unique(lengths)[::-1].tolist():
        each = points[starts[lengths == length, None] + np.arange(length)]
        each = each - each[:, :1]
        salt = np.random.default_rng(0).integers(1, 1 << 62, each.shape[1:]) | 1
        _, first = np.unique((each * salt).sum(axis=(1, 2)), return_index=True)
        found += list(each[first])
    return found


def _form(shapes: Sequence[_Forms], count: int, rank: int, effort: _Effort) -> _Forms | None:
    """A form that gives each point of every shape another colour of `count`."""
    for forms in _forms(count, rank):
        for shape in shapes:
            effort.left -= len(forms) * len(shape)
            if effort.left < 0:
                return None
            colours = np.sort(forms @ shape.T % count, axis=1)
            forms = forms[(colours[:, 1:] != colours[:, :-1]).all(axis=1)]
            if not len(forms):
                break
        else:
            return forms[0]
    return None


def _forms(count: int, rank: int) -> Iterator[_Forms]:
    """All whose last coefficient is 1, some at a time."""
    total, some = count ** (rank - 1), 1024
    for first in range(0, total, some):
        numbers = np.arange(first, min(first + some, total))
        digits = [numbers // count**k % count for k in range(rank - 1)]
        yield np.stack([*digits, np.ones_like(numbers)], axis=1)
