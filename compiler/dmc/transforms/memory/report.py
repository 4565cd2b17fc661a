"""What a recorded plan takes, and which values take it."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.dialects import control, func, kernel
from dmc.dialects.flow import flow_of
from dmc.ir import (
    Block,
    DType,
    Location,
    Operation,
    ShapedType,
    TapeType,
    TensorType,
    Type,
    Value,
)
from dmc.transforms.memory.layout import aligned
from dmc.transforms.memory.liveness import Liveness, uses_of
from dmc.transforms.memory.place import ROUNDED, Kind, Place, place_of


@dataclass(frozen=True, slots=True)
class Entry:
    """A value in the arena, and the first and last point at which it must be there.

    It `is_saved` if it is made in the forward pass and read in the reverse pass, and `is_rounded`
    if it waits in fewer bits than what it stands for has.
    """

    name: str
    type: Type
    location: Location
    offset: int
    bytes: int
    first: int
    last: int
    is_saved: bool = False
    is_rounded: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """A value that a loop without a bound keeps on a tape, and its bytes in one iteration."""

    name: str
    type: Type
    location: Location
    bytes: int


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """The memory of a planned function beside its arguments and results.

    `arena_bytes` is allocated once, `private_bytes` for each parallel task of a map. `least_bytes`
    is the most that is live at one point: no layout takes less. `entries` are in program order.
    The reverse pass begins at the point `reverse_from`, where there is one. What is `kept` on tapes
    comes on top, as long as loops run.
    """

    arena_bytes: int
    private_bytes: int
    least_bytes: int
    entries: tuple[Entry, ...]
    reverse_from: int | None = None
    kept: tuple[Kept, ...] = ()

    def live_bytes(self) -> list[tuple[int, int]]:
        """For each point where something becomes live, the bytes live there."""
        points = sorted({entry.first for entry in self.entries})
        return [(p, sum(aligned(e.bytes) for e in self._distinct(p))) for p in points]

    def live_at_peak(self) -> list[Entry]:
        """What is live where the most is, the largest first."""
        points = self.live_bytes()
        if not points:
            return []
        peak, _ = max(points, key=lambda pair: pair[1])
        return sorted(self._distinct(peak), key=lambda entry: -entry.bytes)

    def _distinct(self, point: int) -> list[Entry]:
        """What is live at a point. Values of one buffer, such as views, count once."""
        ranges: dict[int, Entry] = {}
        for entry in self.entries:
            if entry.first <= point <= entry.last:
                known = ranges.get(entry.offset)
                if known is None or aligned(entry.bytes) > aligned(known.bytes):
                    ranges[entry.offset] = entry
        return list(ranges.values())


def report(function: func.Func) -> MemoryPlan:
    """Read the plan recorded in `function`. Raises KeyError when it has none."""
    entries: list[Entry] = []
    # Lowering leaves operations about that read values of the function it was given.
    copy = function.clone({})
    assert isinstance(copy, func.Func)
    function = copy
    liveness = Liveness(function)
    for value, (first, last) in liveness.intervals.items():
        place = _place(value)
        if place is None or place.kind is not Kind.ARENA:
            continue
        op = value.defining_op or (value.parent_block and value.parent_block.parent_op)
        location = op.location if op else function.location
        size = value.type.bytes if isinstance(value.type, ShapedType) else 0
        saved = isinstance(value.owner, Operation) and _is_saved(value)
        what = value.name, value.type, location, place.offset, size
        entries.append(Entry(*what, first, last, saved, _is_rounded(value)))
    entries.sort(key=lambda entry: entry.first)
    begin = liveness.numbering.begin
    reverse = min((begin[op] for op in function.body if op.location.is_reverse), default=None)
    arena, private = function.arena_bytes or 0, function.private_bytes or 0
    plan = MemoryPlan(arena, private, 0, tuple(entries), reverse)
    least = max((live for _, live in plan.live_bytes()), default=0)
    kept = [
        _kept(stack)
        for op in function.walk()
        if isinstance(op, control.Loop)
        for stack in op.stacks
    ]
    tapes = tuple(each for each in kept if each is not None)
    return MemoryPlan(arena, private, least, plan.entries, reverse, tapes)


def _kept(stack: Value) -> Kept | None:
    """What one iteration adds to a tape."""
    if not isinstance(stack.type, TapeType):
        return None
    loop, element = stack.defining_op, stack.type.element
    assert isinstance(loop, control.Loop)
    value = loop.repeated.terminator.operands[stack.index]
    made = value.defining_op or loop
    size = element.bytes if isinstance(element, TensorType) else DType.I64.bytes
    return Kept(value.name, element, made.location, size)


def described(type_: Type) -> str:
    """A type as the language writes it."""
    if isinstance(type_, TapeType):
        return f"as often as a loop inside ran: {described(type_.element)}"
    if not isinstance(type_, TensorType):
        return str(type_)
    return f"{type_.dtype.value}{list(type_.shape)}" if type_.shape else type_.dtype.value


def _is_saved(value: Value) -> bool:
    """Whether a value of the forward pass is read in the reverse pass, itself or as a view."""
    op = value.defining_op
    if op is None or op.location.is_reverse:
        return False
    return any(
        user.location.is_reverse or (isinstance(user, kernel.View) and _is_saved(user.output))
        for user, _ in uses_of(value)
    )


def _is_rounded(value: Value) -> bool:
    """Whether a value, or what a loop stacks to it, is kept in fewer bits."""
    op = value.defining_op
    if isinstance(op, control.Loop) and value in op.stacks:
        return _is_rounded(op.repeated.terminator.operands[value.index])
    if isinstance(op, kernel.View):
        return _is_rounded(op.source)
    return op is not None and op.location.is_by(ROUNDED)


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
