"""Sums over shards whose order is the same for any number of processes, and who holds what.

The parts of a batch, its shards, are summed along a binary tree: neighbours first, then pairs of
neighbours, and so on. A process has a run of shards, and sums these along its part of the tree. The
processes go on by recursive halving: each gives to its neighbour, then to the one two places away,
four, …, the half of what it has that the other goes on with, so that one part of the whole sum ends
with each process. Doubling, the same backwards, puts parts together everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dmc_runtime.buffers import aligned_zeros
from dmc_runtime.team import Team, bits_reversed
from dmc_runtime.trees import Array, Leaf


class TreeSum:
    """Sums arrays that come one by one along the tree; `total` when 2^n have come."""

    def __init__(self) -> None:
        self._count = 0
        self._waiting: list[Array] = []

    def add(self, array: Array) -> None:
        """The next array, which may be written over."""
        self._count += 1
        count = self._count
        while count % 2 == 0:
            before = self._waiting.pop()
            array = np.add(before, array, out=before)
            count //= 2
        self._waiting.append(array)

    @property
    def total(self) -> Array:
        (total,) = self._waiting
        return total


@dataclass(frozen=True)
class Slot:
    """Where a leaf lies in the flat array of its dtype."""

    start: int
    shape: tuple[int, ...]

    @property
    def stop(self) -> int:
        return self.start + int(np.prod(self.shape, dtype=np.int64))


class Flat:
    """Leaves of one dtype in one array, in runs that belong to one process each.

    The runs are in the order in which halving hands them out.
    """

    def __init__(self, team: Team, leaves: Mapping[int, Array], owners: Mapping[int, int]) -> None:
        self._team = team
        self._order = [bits_reversed(place, team.size) for place in range(team.size)]
        self._bounds = [0]
        self._slots: dict[int, Slot] = {}
        at = 0
        for rank in self._order:
            for index, leaf in leaves.items():
                if owners[index] == rank:
                    self._slots[index] = Slot(at, leaf.shape)
                    at = self._slots[index].stop
            self._bounds.append(at)
        (dtype,) = {leaf.dtype for leaf in leaves.values()}
        self.array = aligned_zeros(at, dtype)
        self.views = {index: self._view(slot) for index, slot in self._slots.items()}

    def _view(self, slot: Slot) -> Array:
        return self.array[slot.start : slot.stop].reshape(slot.shape)

    @property
    def own(self) -> Array:
        """The run of this process."""
        place = self._order.index(self._team.rank)
        return self.array[self._bounds[place] : self._bounds[place + 1]]

    def reduce(self) -> None:
        """Make the run of this process the sum over all."""
        for level, (keep, give) in enumerate(self._levels()):
            here = self.array[slice(*keep)]
            taken = np.empty_like(here)
            self._team.swap(self._team.rank ^ (1 << level), self.array[slice(*give)], taken)
            np.add(here, taken, out=here)

    def gather(self) -> None:
        """Make the array what its owners have in their runs."""
        for level, (own, other) in reversed([*enumerate(self._levels())]):
            partner = self._team.rank ^ (1 << level)
            self._team.swap(partner, self.array[slice(*own)], self.array[slice(*other)])

    def _levels(self) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """What this process keeps of what it has, and what it gives to its partner."""
        low, high, rank = 0, self._team.size, self._team.rank
        while high - low > 1:
            middle = (low + high) // 2
            halves = (low, middle), (middle, high)
            kept, given = halves[rank & 1], halves[1 - (rank & 1)]
            yield self._run(*kept), self._run(*given)
            (low, high), rank = kept, rank >> 1

    def _run(self, low: int, high: int) -> tuple[int, int]:
        return self._bounds[low], self._bounds[high]


def by_dtype(leaves: Mapping[int, Array]) -> list[dict[int, Array]]:
    """The leaves of each dtype."""
    kinds = dict.fromkeys(leaf.dtype for leaf in leaves.values())
    return [{i: leaf for i, leaf in leaves.items() if leaf.dtype == kind} for kind in kinds]


def owners_of(sizes: Sequence[int], count: int) -> list[int]:
    """A process for each of several things, such that the largest load is small.

    The largest comes first, each to whom has the least (Graham, 1969).
    """
    loads = [0] * count
    found = [0] * len(sizes)
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        owner = min(range(count), key=lambda rank: (loads[rank], rank))
        loads[owner] += sizes[index]
        found[index] = owner
    return found


def absent(leaf: Leaf) -> Leaf:
    """What stands for an array that another process holds: its shape and type, in no memory."""
    array = np.asarray(leaf)
    return np.broadcast_to(np.zeros((), array.dtype), array.shape)
