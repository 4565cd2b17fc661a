"""Which directions share a pass: colours of columns, of rows, and of a symmetric matrix.

Greedy colourings in the order of the numbers, near-linear in the entries; a lattice of the points
of a grid where that takes fewer. See Curtis, Powell and Reid (1974); Coleman and Verma (1998) for
dense rows beside sparse ones; Gebremedhin, Manne and Pothen (2005) for star colourings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmc.sparsity.lattice import lattice
from dmc.sparsity.pattern import Pattern
from dmc.sparsity.sets import Ids, distinct

_REVERSE = 2
"""What a pass in reverse costs, in passes forward."""


@dataclass(frozen=True)
class Compression:
    """Where the entries are found in a table of passes.

    Entry e is at `places[e]` of the flattened table of tangents, then of that of cotangents. The
    directions of the passes are sums of those of one colour; -1 is no colour.
    """

    column_colours: Ids
    row_colours: Ids
    places: Ids

    @property
    def forward(self) -> int:
        """The number of passes forward."""
        return int(self.column_colours.max(initial=-1)) + 1

    @property
    def reverse(self) -> int:
        """The number of passes in reverse."""
        return int(self.row_colours.max(initial=-1)) + 1


def compress(pattern: Pattern) -> Compression:
    """Dense rows in reverse, those of others forward; what does not meet shares a pass."""
    rows, columns = pattern.rows, pattern.columns
    dense = _dense(pattern)
    in_reverse = dense[rows]
    row_colours = _greedy(columns[in_reverse], rows[in_reverse], pattern.shape[0])
    column_colours = _coloured(rows[~in_reverse], columns[~in_reverse], pattern.grid)
    height, width = pattern.shape
    passes = int(column_colours.max(initial=-1)) + 1
    places = np.where(
        in_reverse,
        passes * height + row_colours[rows] * width + columns,
        column_colours[columns] * height + rows,
    )
    return Compression(column_colours, row_colours, places)


def _dense(pattern: Pattern) -> NDArray[np.bool_]:
    """The rows to take in reverse: those longer than the length for which passes are fewest."""
    lengths = np.diff(pattern.starts)
    rows, columns = pattern.rows, pattern.columns
    order = np.unique(np.concatenate([[0], lengths]))
    limits = (
        order
        if len(order) <= 32
        else np.unique(np.quantile(order, np.linspace(0, 1, 32), method="nearest"))
    )
    costs: list[tuple[int, int]] = []
    for limit in limits.tolist():
        above = np.bincount(columns[lengths[rows] > limit], minlength=1).max(initial=0)
        costs.append((int(limit) + _REVERSE * int(above), -int(limit)))
    _, best = min(costs)
    return lengths > -best


def _coloured(rows: Ids, columns: Ids, grid: tuple[int, ...]) -> Ids:
    """Colours of columns: fewest is as many as the longest row has entries."""
    greedy = _greedy(rows, columns, math.prod(grid))
    found = lattice(rows, columns, grid, int(greedy.max(initial=-1)) + 1)
    if found is None:
        return greedy
    there = np.unique(columns)
    greedy[there] = np.unique(found[there], return_inverse=True)[1]
    return greedy


def _greedy(meeting: Ids, members: Ids, count: int) -> Ids:
    """Colours of what meets nowhere in one colour; -1 for what occurs nowhere.

    `members[e]` is at `meeting[e]`.
    """
    colours = np.full(count, -1, np.int64)
    order = np.argsort(members, kind="stable")
    places = meeting[order].tolist()
    names, starts = np.unique(members[order], return_index=True)
    ends = [*starts.tolist(), len(places)][1:]
    taken = dict.fromkeys(places, 0)
    """The colours that have been at each place, as bits."""
    found: list[int] = []
    for start, end in zip(starts.tolist(), ends, strict=True):
        here = places[start:end]
        used = 0
        for place in here:
            used |= taken[place]
        bit = ~used & (used + 1)
        found.append(bit.bit_length() - 1)
        for place in here:
            taken[place] |= bit
    colours[names] = found
    return colours


def star(pattern: Pattern) -> Compression:
    """Colours from which every entry of a symmetric matrix is read, at its place or across."""
    count = pattern.shape[0]
    rows, columns = _symmetric(pattern)
    colours = _star_colours(rows, columns, count)
    # An entry is alone at its row and colour, or its mirror image is.
    keys = rows * count + colours[columns]
    _, inverse, times = np.unique(keys, return_inverse=True, return_counts=True)
    alone = dict(
        zip((rows * count + columns).tolist(), (times[inverse] == 1).tolist(), strict=True)
    )
    rows, columns = pattern.rows, pattern.columns
    direct = np.array([alone[key] for key in (rows * count + columns).tolist()], bool)
    places = np.where(direct, colours[columns] * count + rows, colours[rows] * count + columns)
    return Compression(colours, np.full(0, -1, np.int64), places)


def _symmetric(pattern: Pattern) -> tuple[Ids, Ids]:
    """The entries with their mirror images and the diagonal."""
    count = pattern.shape[0]
    rows, columns, own = pattern.rows, pattern.columns, np.arange(count)
    keys = np.concatenate([rows * count + columns, columns * count + rows, own * (count + 1)])
    rows, columns = np.divmod(distinct(keys), count)
    return rows, columns


def _star_colours(rows: Ids, columns: Ids, count: int) -> Ids:
    """Neighbours differ, and so does one of any four in a path from the two of the others."""
    apart = rows != columns
    starts: list[int] = np.searchsorted(rows[apart], np.arange(count + 1)).tolist()
    ends: list[int] = columns[apart].tolist()
    colours: list[int] = [-1] * count
    once, twice, barred = [0] * count, [0] * count, [0] * count
    """Colours of neighbours; those of two of them; those that would end a path of four here."""
    first: list[dict[int, int]] = [{} for _ in range(count)]
    """A neighbour of each colour."""
    for v in range(count):
        near = ends[starts[v] : starts[v + 1]]
        used = once[v]
        for w in near:
            if colours[w] >= 0:
                used |= barred[w]
                if twice[v] >> colours[w] & 1:
                    used |= once[w]
        bit = ~used & (used + 1)
        colour = colours[v] = bit.bit_length() - 1
        for w in near:
            if once[w] & bit:
                twice[w] |= bit
                if colours[w] >= 0:
                    barred[v] |= 1 << colours[w]
                    barred[first[w][colour]] |= 1 << colours[w]
            else:
                once[w] |= bit
                first[w][colour] = v
        for w in near:
            if colours[w] >= 0 and twice[v] >> colours[w] & 1:
                barred[w] |= bit
    return np.array(colours, np.int64)
