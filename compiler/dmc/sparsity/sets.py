"""Many sets of whole numbers, in arrays; equal sets are one, and have a number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
"""The set of each element of a tensor, by number."""

EMPTY, FULL = 0, 1
_MOST_A_ROW = 512
_CHUNK = 1 << 22


class Sets:
    """Sets of the numbers below `count`, numbered: `EMPTY`, `FULL`, {0}, {1} and so on.

    Equal sets have one number; they are told apart by hashes of 64 bits. Where one operation would
    make sets of more than some hundred members on average, those larger than that become `FULL`.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._marks = _mixed(np.arange(count, dtype=np.uint64))
        everything = np.arange(count, dtype=np.int64)
        self._items = np.concatenate([everything, everything])
        self._starts = np.concatenate([[0, 0], np.arange(count, 2 * count + 1, dtype=np.int64)])
        self._known: dict[tuple[int, int], int] = {}
        self._remember(np.arange(2 + count))

    def singletons(self) -> Ids:
        """{0}, {1}, … for all numbers."""
        return np.arange(2, 2 + self.count, dtype=np.int64)

    def sizes(self, ids: Ids) -> Ids:
        """How many members each set has."""
        return self._starts[ids + 1] - self._starts[ids]

    def rows(self, ids: Ids) -> tuple[Ids, Ids]:
        """The members of sets one after another, and where those of each begin."""
        ids = ids.reshape(-1)
        starts = np.concatenate([[0], np.cumsum(self.sizes(ids))])
        return self._expanded(ids), starts.astype(np.int64)

    def union(self, left: Ids | None, right: Ids | None) -> Ids | None:
        """Sets of two tensors of one shape, element by element; None is all empty."""
        if left is None or right is None:
            return right if left is None else left
        a, b = left.reshape(-1), right.reshape(-1)
        out = np.where(a == EMPTY, b, a)
        out[(a == FULL) | (b == FULL)] = FULL
        open_ = (a != b) & (a > FULL) & (b > FULL)
        if open_.any():
            low, high = np.minimum(a[open_], b[open_]), np.maximum(a[open_], b[open_])
            keys, places = np.unique(low * len(self._starts) + high, return_inverse=True)
            pairs = np.concatenate(np.divmod(keys, len(self._starts)))
            groups = np.tile(np.arange(len(keys)), 2)
            out[open_] = self.grouped(groups, pairs, len(keys))[places]
        return out.reshape(left.shape)

    def all(self, ids: Ids | None) -> Ids | None:
        """The union of all sets, without axes."""
        if ids is None:
            return None
        return self.reduced(ids.reshape(1, -1))[0]

    def reduced(self, ids: Ids) -> Ids:
        """The union along the last axis of a matrix."""
        groups = np.repeat(np.arange(len(ids)), ids.shape[1])
        return self.grouped(groups, ids.reshape(-1), len(ids))

    def grouped(self, groups: Ids, ids: Ids, count: int) -> Ids:
        """The union of the sets in each of `count` groups."""
        out = np.zeros(count, np.int64)
        there = ids != EMPTY
        # Equal sets of a group count once.
        keys = distinct(groups[there] * len(self._starts) + ids[there])
        groups, ids = np.divmod(keys, len(self._starts))
        out[groups] = ids
        out[groups[ids == FULL]] = FULL
        several = np.bincount(groups, minlength=count) > 1
        several &= out != FULL
        if not several.any():
            return out
        chosen = several[groups]
        groups, ids = groups[chosen], ids[chosen]
        names, groups = np.unique(groups, return_inverse=True)
        out[names] = self._merged(groups, ids, len(names))
        return out

    def _merged(self, groups: Ids, ids: Ids, count: int) -> Ids:
        """The union of each of `count` groups, which come in order."""
        volume = np.bincount(groups, self.sizes(ids), count).astype(np.int64)
        out = np.full(count, FULL, np.int64)
        small = np.ones(count, bool)
        if volume.sum() > _MOST_A_ROW * (self.count + count):
            small = volume <= _MOST_A_ROW
        part = np.cumsum(np.where(small, volume, 0)) // _CHUNK
        for chunk in range(int(part[-1]) + 1):
            inside = small & (part == chunk)
            if inside.any():
                chosen = inside[groups]
                out[inside] = self._made(groups[chosen], ids[chosen])
        return out

    def _made(self, groups: Ids, ids: Ids) -> Ids:
        """The union of each of the groups that occur, in order; none is empty."""
        of_item = np.repeat(groups, self.sizes(ids))
        keys = distinct(of_item * self.count + self._expanded(ids))
        groups, items = np.divmod(keys, self.count)
        begins = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]]))
        sizes = np.diff(np.append(begins, len(items)))
        hashes = np.add.reduceat(self._marks[items], begins)
        known = [
            self._known.get(key, -1) for key in zip(hashes.tolist(), sizes.tolist(), strict=True)
        ]
        found = np.array(known, np.int64)
        new = np.flatnonzero(found < 0)
        if len(new):
            _, first, places = np.unique(hashes[new], return_index=True, return_inverse=True)
            made = len(self._starts) - 1 + np.arange(len(first))
            is_first = np.zeros(len(found), bool)
            is_first[new[first]] = True
            self._append(items[np.repeat(is_first, sizes)], sizes[is_first])
            places = np.argsort(np.argsort(first))[places]  # numbered as they come
            self._remember(made)
            found[new] = made[places]
        return found

    def _append(self, items: Ids, sizes: Ids) -> None:
        self._items = np.concatenate([self._items, items])
        self._starts = np.concatenate([self._starts, self._starts[-1] + np.cumsum(sizes)])

    def _remember(self, ids: Ids) -> None:
        sums = np.concatenate(
            [np.zeros(1, np.uint64), np.cumsum(self._marks[self._expanded(ids)])]
        )  # with an integer 0 they would be floats, and no hash whole
        sizes = self.sizes(ids)
        ends = np.cumsum(sizes)
        hashes = sums[ends] - sums[ends - sizes]
        keys = zip(hashes.tolist(), sizes.tolist(), strict=True)
        for key, number in zip(keys, ids.tolist(), strict=True):
            self._known.setdefault(key, number)

    def _expanded(self, ids: Ids) -> Ids:
        """The members of sets one after another."""
        sizes = self.sizes(ids)
        ends = np.cumsum(sizes)
        total = int(ends[-1]) if len(ends) else 0
        places = np.arange(total) + np.repeat(self._starts[ids] - (ends - sizes), sizes)
        return self._items[places]


def distinct(keys: Ids) -> Ids:
    """Sorted, each once."""
    keys = np.sort(keys)
    return keys[np.concatenate([np.ones(min(1, len(keys)), bool), keys[1:] != keys[:-1]])]


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Bits of numbers mixed (splitmix64), so that sums tell sets apart."""
    x = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
