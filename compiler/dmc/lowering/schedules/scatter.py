"""Scatter: points in row-major order, each joining its value to one element of the target.

Where the last dimension of the points is the last axis of the target (rows added to chosen rows),
it runs along the lanes: its points never meet.

Tasks are made in one of three ways, the first that there is something to divide for:

- A dimension that is a subscript as it stands is divided: points of different tasks never meet.
- Where rows are long, or the target outgrows the caches, it is divided along an axis with a
  computed subscript: every task walks all points and takes those that fall to it. That repeats the
  subscripts, not the rows, nor the waiting for memory.
- Where many points are added to a few elements, the points are divided among private copies of
  the target, which are added to it in order.

The first two add to each element in the order of points, as one task would. How many copies there
are depends on the number of points and elements alone. So results have the same bits with any
number of threads.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from dmc.dialects import arith, kernel
from dmc.dialects.loop import strides_of
from dmc.ir.operation import Operation, Value
from dmc.ir.types import ScalarType
from dmc.lowering.loop_builder import Linear, LoopBuilder, Subscript
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.body import Body, Frame, Lanes, spread
from dmc.lowering.schedules.elementwise import vector_blocks
from dmc.lowering.schedules.movement import memref_type
from dmc.lowering.schedules.nest import Nest, access_through
from dmc.lowering.schedules.plan import Split, lanes_for, nanoseconds, split

ROW_ELEMENTS = 8
"""Elements of a row that take about as long as finding out whether it is another task's."""

MOST_RANGES = 8
"""Into as many ranges a target is divided at most."""

FAR_BYTES = 4 << 20
"""A target of more bytes is waited for at almost every point, if points are in no order."""

FAR_RANGES = 4
"""Into as many ranges such a target is divided: passing over another task's point takes about a
quarter of the time that is spent waiting for one's own."""

MOST_COPIES = 16
"""As many private copies of a target there are at most."""

COPY_POINTS = 16
"""Points for each element of a private copy that repay making it and adding it up."""

LEAST_POINTS = 8192
"""Points of a task that repay handing it out."""


def emit_scatter(
    b: LoopBuilder,
    machine: Machine,
    op: Operation,
    buffers: list[Value],
    captured: Mapping[Value, Value],
    parallel: bool,
) -> None:
    """`kernel.scatter` into a target that is the output's buffer already."""
    assert isinstance(op, kernel.Scatter)
    if 0 not in op.space:
        _Scatter(b, machine, op, buffers, captured).emit(parallel)


class _By(enum.Enum):
    """What is divided into tasks."""

    POINTS = enum.auto()
    TARGET = enum.auto()
    COPIES = enum.auto()


@dataclass(frozen=True)
class _Part:
    """What one task does: where it writes, and the bounds of points or of a subscript."""

    flat: Value
    begin: Linear
    points: Mapping[int, tuple[Subscript, Subscript]]
    within: Mapping[int, tuple[Subscript, Subscript]]
    """Bounds of computed subscripts, by axis of the target."""


class _Scatter:
    """Emits one scatter."""

    def __init__(
        self,
        b: LoopBuilder,
        machine: Machine,
        op: kernel.Scatter,
        buffers: list[Value],
        captured: Mapping[Value, Value],
    ) -> None:
        _, *mapped, self.output = buffers
        self.b = b
        self.machine = machine
        self.op = op
        count = len(op.space)
        pairs = zip(mapped, op.affine_maps, strict=True)
        inputs = tuple(access_through(b, value, map_) for value, map_ in pairs)
        numbers = tuple(range(count))
        nest = Nest(op.space, count, inputs, (), op.body, index_of=numbers, captured=captured)
        self.nest = nest
        self.body = Body(b, nest, op.body, inputs)
        self.lanes = lanes_for(machine, nest)
        self.subscripts = self.body.yielded[:-1]
        self.type = memref_type(self.output)
        self.plain = {
            axis: dimension
            for axis, value in enumerate(self.subscripts)
            if (dimension := self._plain(value, axis)) is not None
        }
        """The dimensions that are subscripts as they stand, by axis of the target."""
        computed = [v for axis, v in enumerate(self.subscripts) if axis not in self.plain]
        used = {d for value in computed for d in self.body.dims_of(value)}
        self.depth = 1 + max(used, default=-1)
        """Inside so many loops all computed subscripts are known."""

    def _plain(self, subscript: Value, axis: int) -> int | None:
        """The dimension that a subscript simply is, when that stays inside the axis."""
        op = subscript.defining_op
        if not isinstance(op, kernel.Index):
            return None
        return op.dim if self.op.space[op.dim] <= self.type.shape[axis] else None

    # Tasks

    def emit(self, parallel: bool) -> None:
        frame = self.body.enter(Frame(), {})
        whole = _Part(self.b.flat(self.output), Linear(), {}, {})
        found = self._division() if parallel else None
        if found is None:
            self._loops(0, frame, whole, None)
            return
        by, division = found
        if by is _By.COPIES:
            self._copies(frame, whole, division)
            return

        def run(task: Value) -> None:
            bounds = {division.dimension: division.bounds(self.b, task)}
            points, within = (bounds, {}) if by is _By.POINTS else ({}, bounds)
            self._loops(0, frame, _Part(whole.flat, whole.begin, points, within), None)

        self.b.parallel(division.tasks, run)

    def _division(self) -> tuple[_By, Split] | None:
        space, last = self.op.space, len(self.op.space) - 1
        time = nanoseconds(self.nest, self.lanes)
        units = {last: self.lanes} if self._has_rows() else {}
        apart = [d for d in set(self.plain.values()) if space[d] > units.get(d, 1)]
        outer = [d for d in apart if d < self.depth]
        ranges = self._ranges()
        if outer or (apart and ranges is None):
            found = split(space, outer or apart, time, units)
            return None if found is None else (_By.POINTS, found)
        if ranges is not None:
            worth = split([prod(space)], [0], time, {}) is not None
            return (_By.TARGET, ranges) if worth else None
        private = self._private()
        return None if private is None else (_By.COPIES, private)

    def _ranges(self) -> Split | None:
        """Parts of an axis, as many as rows are long enough or elements far enough for."""
        most = min(MOST_RANGES, prod(self.op.space[self.depth :]) // ROW_ELEMENTS)
        if self.type.bytes > FAR_BYTES:
            most = max(most, FAR_RANGES)
        axes = [axis for axis in range(len(self.subscripts)) if axis not in self.plain]
        if not axes:
            return None
        axis = max(axes, key=lambda a: self.type.shape[a])
        size = self.type.shape[axis]
        return None if min(most, size) < 2 else Split(axis, size, -(-size // most))

    def _private(self) -> Split | None:
        """Parts of the points, as many as repay a copy of the target."""
        points = prod(self.op.space)
        least = max(LEAST_POINTS, COPY_POINTS * self.type.size)
        size = max(self.op.space, default=1)
        count = min(MOST_COPIES, points // least, size)
        if count < 2 or self.op.combiner != "add":
            return None
        dimension = self.op.space.index(size)
        return Split(dimension, size, -(-size // count))

    def _copies(self, frame: Frame, whole: _Part, division: Split) -> None:
        """Every task adds to a copy of its own; these are added to the target in order."""
        b, size = self.b, self.type.size
        copies = b.alloca((division.tasks * size,), self.type.dtype)

        def run(task: Value) -> None:
            begin = Linear.of(task) * size
            zero = b.constant(0, ScalarType(self.type.dtype))

            def clear(i: Subscript, each: Lanes) -> None:
                self._store(b.broadcast(zero, each.count), copies, begin + Linear.of(i), each)

            self._whole_vectors(size, clear)
            bounds = {division.dimension: division.bounds(b, task)}
            self._loops(0, frame, _Part(copies, begin, bounds, {}), None)

        b.parallel(division.tasks, run)

        def add_up(i: Subscript, each: Lanes) -> None:
            at = Linear.of(i)
            total = self._load(whole.flat, at, each)
            for task in range(division.tasks):
                total = self._combined(total, self._load(copies, at + task * size, each))
            self._store(total, whole.flat, at, each)

        self._whole_vectors(size, add_up)

    # Loops

    def _loops(self, dimension: int, frame: Frame, part: _Part, place: Linear | None) -> None:
        """The loops from `dimension` on; `place` follows from the computed subscripts."""
        if dimension == self.depth and place is None:
            self._locate(dimension, frame, part)
            return
        last = len(self.op.space) - 1
        if dimension > last:
            assert place is not None
            self._join(frame, part, place)
            return
        bounds = part.points.get(dimension, (0, self.op.space[dimension]))
        if dimension == last and self.lanes > 1 and self._has_rows():

            def block(i: Subscript, each: Lanes) -> None:
                assert place is not None
                self._join(self.body.enter(frame, {dimension: i}, each), part, place)

            size = self.op.space[dimension]
            vector_blocks(self.b, self.machine, dimension, size, self.lanes, bounds, block)
        else:

            def step(i: Value, _: list[Value]) -> list[Value]:
                self._loops(dimension + 1, self.body.enter(frame, {dimension: i}), part, place)
                return []

            self.b.for_(*bounds, step)

    def _has_rows(self) -> bool:
        """Whether the last axis of the target is a dimension on which nothing else depends."""
        last = len(self.op.space) - 1
        if self.depth > last or self.plain.get(len(self.subscripts) - 1) != last:
            return False
        return sum(dimension == last for dimension in self.plain.values()) == 1

    def _locate(self, dimension: int, frame: Frame, part: _Part) -> None:
        """Go on where all computed subscripts are inside the target, and the task's part of it."""
        b = self.b
        inside: Value | None = None
        place = part.begin
        for axis, (subscript, stride) in enumerate(
            zip(self.subscripts, strides_of(self.type), strict=True)
        ):
            if axis in self.plain:
                continue
            at = frame.values[subscript]
            low, high = part.within.get(axis, (0, self.type.shape[axis]))
            above = arith.compare(b.builder, arith.Direction.GE, at, b.index(low))
            below = arith.compare(b.builder, arith.Direction.LT, at, b.index(high))
            both = arith.logical_and(b.builder, above, below)
            inside = both if inside is None else arith.logical_and(b.builder, inside, both)
            place = place + Linear.of(at) * stride

        def rest() -> list[Value]:
            self._loops(dimension, frame, part, place)
            return []

        if inside is None:
            rest()
        else:
            b.if_(inside, rest)

    def _join(self, frame: Frame, part: _Part, place: Linear) -> None:
        """One point, or one for each lane."""
        strides = strides_of(self.type)
        for axis, dimension in self.plain.items():
            place = place + frame.positions[dimension] * strides[axis]
        each = frame.lanes or Lanes(-1, 1)
        value = spread(self.b, self.body.outputs(frame)[-1], each.count)
        if self.op.combiner != kernel.OVERWRITE:
            value = self._combined(self._load(part.flat, place, each), value)
        self._store(value, part.flat, place, each)

    def _combined(self, old: Value, value: Value) -> Value:
        return self.b.insert(kernel.COMBINE[self.op.combiner]([old, value])).results[0]

    # Memory

    def _whole_vectors(self, size: int, block: Callable[[Subscript, Lanes], None]) -> None:
        """Run `block` on all of a contiguous buffer."""
        if self.lanes > 1:
            vector_blocks(self.b, self.machine, 0, size, self.lanes, (0, size), block)
            return

        def step(i: Value, _: list[Value]) -> list[Value]:
            block(i, Lanes(0, 1))
            return []

        self.b.for_(0, size, step)

    def _load(self, flat: Value, place: Linear, each: Lanes) -> Value:
        if each.count == 1:
            return self.b.load(flat, [place])
        return self.b.vector_load(flat, [place], each.count, mask=each.mask)

    def _store(self, value: Value, flat: Value, place: Linear, each: Lanes) -> None:
        if each.count == 1:
            self.b.store(value, flat, [place])
        else:
            self.b.vector_store(value, flat, [place], mask=each.mask)
