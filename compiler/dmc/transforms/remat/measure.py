"""How much memory a function would take as it is now, when the most is live, and what is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dmc.dialects import func, kernel
from dmc.dialects.flow import ControlFlow
from dmc.ir import Block, Operation, Trait, Value, shape_of
from dmc.transforms.common import code
from dmc.transforms.memory.layout import ALIGNMENT, Placed, aligned
from dmc.transforms.memory.liveness import Interval
from dmc.transforms.plan_memory import measured
from dmc.transforms.predict import Clock
from dmc.transforms.remat.move import can_repeat, uses

SHARPNESS = 24
"""The power of bytes that `Measure.weight` sums."""


@dataclass(frozen=True)
class Measure:
    """The plan of a function.

    `arena` is what a plan takes, with the memory of one parallel task, `least` the most that is
    live at one point, which is `peak`. The `profile` has for each stretch of points how many they
    are and what is live. `live` are the values in buffers that are live at the peak, with the bytes
    of their buffers; `points` when operations begin and end. Times are those of `clock`.
    """

    arena: int
    least: int
    peak: int
    profile: list[tuple[int, int]]
    live: dict[Value, int]
    points: dict[Operation, Interval]
    clock: Clock
    _repeats: dict[Operation, bool] = field(default_factory=dict[Operation, bool])
    _times: dict[Operation, float] = field(default_factory=dict[Operation, float])
    _last: dict[Value, Interval] = field(default_factory=dict[Value, Interval])
    _reads: dict[Operation, list[Value]] = field(default_factory=dict[Operation, list[Value]])

    def can_repeat(self, op: Operation) -> bool:
        """As `dmc.transforms.remat.move.can_repeat`, which is asked once."""
        if op not in self._repeats:
            self._repeats[op] = can_repeat(op)
        return self._repeats[op]

    def time_of(self, op: Operation) -> float:
        """The nanoseconds of one execution, as `dmc.transforms.predict` has them."""
        if op not in self._times:
            self._times[op] = self.clock.of(op)
        return self._times[op]

    def time_to_move(self, size: int) -> float:
        """The nanoseconds in which so many bytes are read and written."""
        return self.clock.moving(size)

    def weight(self, unit: int) -> float:
        """How much is live, with most weight on where it is the most; `unit` bytes count 1."""
        return sum(length * (bytes_ / unit) ** SHARPNESS for length, bytes_ in self.profile)

    def reads(self, op: Operation) -> list[Value]:
        """What an operation and everything inside of it read, which is asked once."""
        if op not in self._reads:
            self._reads[op] = op.reads()
        return self._reads[op]

    def last_read(self, value: Value) -> Interval:
        """When the last operation of a value's block that reads it begins, and the last one ends.

        -1 where nothing reads it.
        """
        if value not in self._last:
            places = [self.points[place] for place, _, _ in uses(value)]
            begin = max((begin for begin, _ in places), default=-1)
            self._last[value] = begin, max((end for _, end in places), default=-1)
        return self._last[value]

    def spans(self, op: Operation) -> bool:
        """Whether `op` runs, or begins, at the peak."""
        first, last = self.points[op]
        return first <= self.peak <= last + 1

    def is_behind(self, op: Operation) -> bool:
        """Whether `op` begins after the peak."""
        return self.points[op][0] > self.peak


def measure(function: func.Func, clock: Clock) -> Measure:
    """Plan `function`, and leave it as it is."""
    planned = measured(function)
    numbers = planned.numbering
    points = {op: (begin, numbers.end[op]) for op, begin in numbers.begin.items()}
    everything = [*planned.arena, *planned.private]
    least, at, profile = _profile(everything)
    live = {
        value: placed.buffer.bytes
        for placed in everything
        if any(first <= at <= last for first, last in placed.intervals)
        for value in placed.buffer.members
        if isinstance(value.owner, Block) or value.owner.parent is not None
    }
    spare = _spare(function)
    taken = planned.arena_bytes + planned.private_bytes + spare
    return Measure(taken, least + spare, at, profile, live, points, clock)


def _profile(buffers: list[Placed]) -> tuple[int, int, list[tuple[int, int]]]:
    """The most bytes that are live at one point, the first such point, and the whole profile."""
    if not buffers:
        return 0, 0, []
    changes: dict[int, int] = {}
    for placed in buffers:
        size = aligned(placed.buffer.bytes)
        for first, last in placed.intervals:
            changes[first] = changes.get(first, 0) + size
            changes[last + 1] = changes.get(last + 1, 0) - size
    points = sorted(changes)
    totals = np.cumsum([changes[point] for point in points])
    at = int(np.argmax(totals))
    stretches = zip(np.diff(points), totals, strict=False)
    return int(totals[at]), points[at], [(int(n), int(live)) for n, live in stretches]


def _spare(function: func.Func) -> int:
    """What lowering may take of the arena beside the plan, for scalars that kernels write."""
    slots = views = 0
    for op in code(function):
        scalars = sum(not shape_of(value.type) for value in op.results)
        if isinstance(op, kernel.View):
            views += not shape_of(op.source.type)
        elif not op.has(Trait.CONSTANT) and not isinstance(op, ControlFlow) and op.regions:
            slots = max(slots, scalars)
    return (slots + views) * ALIGNMENT
