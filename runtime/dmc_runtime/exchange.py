"""Sums over shards whose order is the same for any number of processes, and who holds what.

The parts of a batch, its shards, are summed along a binary tree: neighbours first, then pairs of
neighbours, and so on. A process has a run of shards, and sums these along its part of the tree. The
processes go on by recursive halving: each gives to its neighbour, then to the one two places away,
four, …, the half of what it has that the other goes on with, so that one part of the whole sum ends
with each process. Doubling, the same backwards, puts parts together everywhere.

Where the processes are no power of two, some share one place in that in pairs: the second of a pair
gives all it has to the first, which goes on for both (Thakur et al., "Optimization of collective
communication operations in MPICH", 2005).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from dmc_runtime.buffers import aligned_zeros
from dmc_runtime.team import Team, bits_reversed
from dmc_runtime.trees import Array, Leaf


@dataclass(frozen=True)
class Seats:
    """The places in recursive halving, a power of two, and who of a team has them."""

    size: int

    @property
    def count(self) -> int:
        """How many places there are: as many as members, or the power of two below."""
        return 1 << (self.size.bit_length() - 1)

    def members(self, place: int) -> range:
        """The one or two who have a place; the first goes on for both."""
        pairs = self.size - self.count
        first = place + min(place, pairs)
        return range(first, first + 1 + (place < pairs))

    def place(self, rank: int) -> int:
        """The place of a member."""
        pairs = self.size - self.count
        return rank // 2 if rank < 2 * pairs else rank - pairs

    def shards(self, rank: int, count: int) -> range:
        """Which of `count` shards, a power of two not below the size, a member takes."""
        place, members = self.place(rank), self.members(self.place(rank))
        each = count // (self.count * len(members))
        first = (place * len(members) + rank - members[0]) * each
        return range(first, first + each)


class TreeSum:
    """Sums arrays that come one by one along the tree; `total` when 2^n have come."""

    def __init__(self) -> None:
        self._count = 0
        self._waiting: list[Array] = []

    def add(self, array: Array) -> None:
        """The next array, which is written over."""
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
        seats = Seats(team.size)
        self._place = seats.place(team.rank)
        self._firsts = [seats.members(place)[0] for place in range(seats.count)]
        self._second = next(iter(seats.members(self._place)[1:]), None)
        self._bounds = [0]
        self._runs: dict[int, slice] = {}
        self._slots: dict[int, Slot] = {}
        at = 0
        for turn in range(seats.count):
            for rank in seats.members(bits_reversed(turn, seats.count)):
                begin = at
                for index, leaf in leaves.items():
                    if owners[index] == rank:
                        self._slots[index] = Slot(at, leaf.shape)
                        at = self._slots[index].stop
                self._runs[rank] = slice(begin, at)
            self._bounds.append(at)
        (dtype,) = {leaf.dtype for leaf in leaves.values()}
        self.array = aligned_zeros(at, dtype)
        self.views = {index: self._view(slot) for index, slot in self._slots.items()}

    def _view(self, slot: Slot) -> Array:
        return self.array[slot.start : slot.stop].reshape(slot.shape)

    def reduce(self) -> None:
        """Make the run of this process the sum over all."""
        team, first = self._team, self._firsts[self._place]
        if team.rank != first:
            team.send(self.array, first)
            team.receive(self.array[self._runs[team.rank]], first)
            return
        if self._second is not None:
            self._add(self.array, partial(team.receive, source=self._second))
        for partner, keep, give in self._levels():
            self._add(self.array[keep], partial(team.swap, partner, self.array[give]))
        if self._second is not None:
            team.send(self.array[self._runs[self._second]], self._second)

    def gather(self) -> None:
        """Make the array what its owners have in their runs."""
        team, first = self._team, self._firsts[self._place]
        if team.rank != first:
            team.send(self.array[self._runs[team.rank]], first)
            team.receive(self.array, first)
            return
        if self._second is not None:
            team.receive(self.array[self._runs[self._second]], self._second)
        for partner, own, other in reversed([*self._levels()]):
            team.swap(partner, self.array[own], self.array[other])
        if self._second is not None:
            team.send(self.array, self._second)

    def _add(self, here: Array, take: Callable[[Array], None]) -> None:
        """Add to an array what fills one like it."""
        taken = np.empty_like(here)
        take(taken)
        np.add(here, taken, out=here)

    def _levels(self) -> Iterator[tuple[int, slice, slice]]:
        """The partners of this process, what it keeps of what it has, and what it gives to each."""
        low, high = 0, len(self._firsts)
        for level in range((high - 1).bit_length()):
            middle = (low + high) // 2
            halves = (low, middle), (middle, high)
            bit = self._place >> level & 1
            low, high = halves[bit]
            partner = self._firsts[self._place ^ (1 << level)]
            yield partner, self._run(low, high), self._run(*halves[1 - bit])

    def _run(self, low: int, high: int) -> slice:
        return slice(self._bounds[low], self._bounds[high])


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
