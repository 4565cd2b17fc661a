"""Offsets in the arena for buffers that are live at different times.

Best fit, the largest first and of equals the earliest: each buffer goes into the tightest gap
between those already placed that are live together with it (as in Sekiyama et al., "Profile-guided
memory optimization for deep neural networks", 2018). Where that takes more than what is live at one
point, what is live there is placed first, and of equals what ends together lies together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dmc.ir import Value
from dmc.ir.types import Array
from dmc.transforms.memory.liveness import Interval
from dmc.transforms.memory.sharing import Buffer

ALIGNMENT = 64

Intervals = tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """A buffer with its offset and the intervals at which it is live."""

    buffer: Buffer
    offset: int
    intervals: Intervals

    @property
    def end(self) -> int:
        return self.offset + aligned(self.buffer.bytes)


def aligned(size: int) -> int:
    """`size` rounded up to the alignment of buffers."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def lay_out(buffers: Sequence[Buffer], live: Mapping[Value, Interval]) -> list[Placed]:
    """Non-overlapping offsets for buffers that are live together."""
    spans = {b: merge(live[value] for value in b.members) for b in buffers}
    by_size = sorted(buffers, key=lambda b: (-b.bytes, spans[b][0]))
    placed = _in_order(by_size, spans)
    point, least = _busiest(spans)
    if peak(placed) > least:
        together = {b for b in buffers if any(f <= point <= t for f, t in spans[b])}
        by_end = sorted(buffers, key=lambda b: (-b.bytes, spans[b][-1][1]))
        other = _in_order(sorted(by_end, key=lambda b: b not in together), spans)
        placed = min(placed, other, key=peak)
    return placed


def _in_order(buffers: Sequence[Buffer], spans: Mapping[Buffer, Intervals]) -> list[Placed]:
    """Each buffer in the tightest gap that those before it leave."""
    # Python's own integers where a program is too large for any machine, so that it can be said.
    fits = sum(aligned(buffer.bytes) for buffer in buffers) < 1 << 63
    taken = _Taken(np.dtype(np.int64 if fits else object))
    return [
        Placed(buffer, taken.place(aligned(buffer.bytes), spans[buffer]), spans[buffer])
        for buffer in buffers
    ]


def _busiest(spans: Mapping[Buffer, Intervals]) -> tuple[int, int]:
    """The first point at which the most bytes are live, and these."""
    changes = sorted(
        change
        for buffer, intervals in spans.items()
        for first, last in intervals
        for change in ((first, aligned(buffer.bytes)), (last + 1, -aligned(buffer.bytes)))
    )
    busiest, most, now = 0, 0, 0
    for point, change in changes:  # what ends at a point comes before what begins there
        now += change
        if now > most:
            busiest, most = point, now
    return busiest, most


class _Taken:
    """What is placed: a row for each interval at which a range of the arena is in use.

    The rows are in order of their offsets. Columns are arrays, since each buffer that is placed
    looks at all rows.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._rows = np.zeros((4, 64), dtype)
        self._count = 0

    def place(self, size: int, intervals: Sequence[Interval]) -> int:
        """Take the tightest gap of `size` bytes, else the end of all that is live then."""
        offset = self._best_gap(size, intervals)
        while self._count + len(intervals) > self._rows.shape[1]:
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)], axis=1)
        at = int(np.searchsorted(self._rows[0, : self._count], offset))
        end = self._count + len(intervals)
        self._rows[:, at + len(intervals) : end] = self._rows[:, at : self._count].copy()
        for i, (first, last) in enumerate(intervals, at):
            self._rows[:, i] = offset, offset + size, first, last
        self._count = end
        return offset

    def _best_gap(self, size: int, intervals: Sequence[Interval]) -> int:
        starts, ends, firsts, lasts = self._rows[:, : self._count]
        blocks = np.zeros(self._count, np.bool_)
        for first, last in intervals:
            blocks |= (firsts <= last) & (lasts >= first)
        if not blocks.any():
            return 0
        highest: Array = np.maximum.accumulate(ends[blocks])
        before = np.roll(highest, 1)
        before[0] = 0
        gaps = starts[blocks] - before
        fits = np.flatnonzero(gaps >= size)
        return int(before[fits[np.argmin(gaps[fits])]] if fits.size else highest[-1])


def merge(intervals: Iterable[Interval]) -> Intervals:
    """The same points as disjoint intervals in order."""
    merged: list[Interval] = []
    for first, last in sorted(intervals):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def peak(placed: Sequence[Placed]) -> int:
    """Bytes that the layout takes."""
    return max((each.end for each in placed), default=0)
