"""Offsets in the arena for buffers that are live at different times.

Best fit, the largest first: each buffer goes into the tightest gap between those already placed
that are live together with it (as in Sekiyama et al., "Profile-guided memory optimization for
deep neural networks", 2018).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dmc.ir import Value
from dmc.transforms.memory.liveness import Interval
from dmc.transforms.memory.sharing import Buffer

ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Placed:
    """A buffer with its offset and the intervals at which it is live."""

    buffer: Buffer
    offset: int
    intervals: tuple[Interval, ...]

    @property
    def end(self) -> int:
        return self.offset + aligned(self.buffer.bytes)


def aligned(size: int) -> int:
    """`size` rounded up to the alignment of buffers."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def lay_out(buffers: Sequence[Buffer], live: Mapping[Value, Interval]) -> list[Placed]:
    """Non-overlapping offsets for buffers that are live together."""
    placed: list[Placed] = []
    order = sorted(buffers, key=lambda b: -b.bytes)
    for buffer in order:
        intervals = merge(live[value] for value in buffer.members)
        blocking = [other for other in placed if _meet(other.intervals, intervals)]
        placed.append(Placed(buffer, _best_gap(blocking, aligned(buffer.bytes)), intervals))
    return placed


def _best_gap(blocking: Sequence[Placed], size: int) -> int:
    """The offset of the tightest gap of `size` bytes, else the end of all that blocks."""
    best: tuple[int, int] | None = None
    end = 0
    for other in sorted(blocking, key=lambda p: p.offset):
        gap = other.offset - end
        if gap >= size and (best is None or gap < best[0]):
            best = gap, end
        end = max(end, other.end)
    return end if best is None else best[1]


def merge(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The same points as disjoint intervals in order."""
    merged: list[Interval] = []
    for first, last in sorted(intervals):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def _meet(a: Sequence[Interval], b: Sequence[Interval]) -> bool:
    return any(x[0] <= y[1] and y[0] <= x[1] for x in a for y in b)


def peak(placed: Sequence[Placed]) -> int:
    """Bytes that the layout takes."""
    return max((each.end for each in placed), default=0)
