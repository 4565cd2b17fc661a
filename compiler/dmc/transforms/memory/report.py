"""What a recorded plan takes, and which values take it."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.dialects import func, kernel
from dmc.dialects.flow import flow_of
from dmc.ir import Block, Location, ShapedType, Type, Value
from dmc.transforms.memory.layout import aligned
from dmc.transforms.memory.liveness import Liveness
from dmc.transforms.memory.place import ARENA_BYTES, PRIVATE_BYTES, Kind, Place, place_of


@dataclass(frozen=True, slots=True)
class Entry:
    """A value in the arena, and the first and last point at which it must be there."""

    name: str
    type: Type
    location: Location
    offset: int
    bytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """The memory of a planned function beside its arguments and results.

    `arena_bytes` is allocated once, `private_bytes` for each parallel task of a map. `least_bytes`
    is the most that is live at one point: no layout takes less. `entries` are in program order.
    """

    arena_bytes: int
    private_bytes: int
    least_bytes: int
    entries: tuple[Entry, ...]

    def live_bytes(self) -> list[tuple[int, int]]:
        """For each point where something becomes live, the bytes live there."""
        points = sorted({entry.first for entry in self.entries})
        return [(point, self._live_at(point)) for point in points]

    def _live_at(self, point: int) -> int:
        # Values of one buffer, such as views, count once.
        ranges: dict[int, int] = {}
        for entry in self.entries:
            if entry.first <= point <= entry.last:
                ranges[entry.offset] = max(ranges.get(entry.offset, 0), aligned(entry.bytes))
        return sum(ranges.values())


def report(function: func.Func) -> MemoryPlan:
    """Read the plan recorded in `function`. Raises KeyError when it has none."""
    entries: list[Entry] = []
    for value, (first, last) in Liveness(function).intervals.items():
        place = _place(value)
        if place is None or place.kind is not Kind.ARENA:
            continue
        op = value.defining_op or (value.parent_block and value.parent_block.parent_op)
        location = op.location if op else function.location
        size = value.type.bytes if isinstance(value.type, ShapedType) else 0
        entries.append(Entry(value.name, value.type, location, place.offset, size, first, last))
    entries.sort(key=lambda entry: entry.first)
    plan = MemoryPlan(
        _bytes(function, ARENA_BYTES), _bytes(function, PRIVATE_BYTES), 0, tuple(entries)
    )
    least = max((live for _, live in plan.live_bytes()), default=0)
    return MemoryPlan(plan.arena_bytes, plan.private_bytes, least, plan.entries)


def _bytes(function: func.Func, name: str) -> int:
    value = function.attributes[name]
    assert isinstance(value, int)
    return value


def _place(value: Value) -> Place | None:
    """Where a value lies, also one that stands for another."""
    match value.owner:
        case Block():
            flow = flow_of(value)
            leaving = flow.leaving if flow is not None else None
            return None if leaving is None else place_of(leaving)
        case kernel.View() as view:
            return _place(view.source)
        case _:
            return place_of(value)
