"""Maps: every point computes its elements, with one dimension along the lanes."""

from __future__ import annotations

from collections.abc import Callable

from dmc.ir.operation import Value
from dmc.lowering.loop_builder import Linear, LoopBuilder, Subscript, known_index
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.body import Body, Frame, Lanes, store
from dmc.lowering.schedules.nest import Nest
from dmc.lowering.schedules.plan import (
    Split,
    lanes_for,
    nanoseconds,
    scalar_cost,
    split,
    vector_cost,
)


def emit_map(b: LoopBuilder, machine: Machine, nest: Nest, parallel: bool) -> None:
    """Emit a nest without reduction dimensions; `parallel` allows tasks."""
    if nest.points == 0:
        return
    nest = nest.sorted().fused()
    lanes = lanes_for(machine, nest)
    if not machine.has_masks:
        lanes = _shorter(nest, lanes)
    vector, lanes = _vector_dimension(nest, lanes)
    if vector is not None:
        nest = nest.rearranged([*(d for d in nest.parallel_dims if d != vector), vector])
    last = len(nest.sizes) - 1
    time = nanoseconds(nest, lanes)
    division = split(nest.sizes, nest.parallel_dims, time, {last: lanes}) if parallel else None
    _Map(b, machine, nest, lanes, division).emit()


def _shorter(nest: Nest, lanes: int) -> int:
    """Where lanes cannot idle: no more of them than the longest dimension has elements."""
    longest = max(nest.sizes, default=1)
    return min(lanes, 1 << (longest.bit_length() - 1))


def _vector_dimension(nest: Nest, lanes: int) -> tuple[int | None, int]:
    """The dimension that runs along the lanes and how many; None and 1 for scalar code."""
    accesses = [a for a in (*nest.inputs, *nest.outputs) if a.in_memory]
    costs = {d: vector_cost(nest, accesses, d, lanes) for d in nest.parallel_dims}
    if lanes == 1 or not costs or min(costs.values()) > scalar_cost(nest, accesses):
        return None, 1
    # Of equals the innermost.
    return min(reversed(costs), key=lambda d: costs[d]), lanes


class _Map:
    def __init__(
        self, b: LoopBuilder, machine: Machine, nest: Nest, lanes: int, division: Split | None
    ) -> None:
        self.b = b
        self.machine = machine
        self.nest = nest
        self.lanes = lanes
        self.division = division
        self.body = Body(b, nest, nest.body, nest.inputs)

    def emit(self) -> None:
        frame = self.body.enter(Frame(), {})
        if self.division is None:
            self._loops(frame, 0, {})
            return
        division = self.division

        def run(task: Value) -> None:
            self._loops(frame, 0, {division.dimension: division.bounds(self.b, task)})

        self.b.parallel(division.tasks, run)

    def _loops(
        self, frame: Frame, dimension: int, bounds: dict[int, tuple[Subscript, Subscript]]
    ) -> None:
        if dimension == len(self.nest.sizes):
            self._point(frame)
            return
        lower, upper = bounds.get(dimension, (0, self.nest.sizes[dimension]))
        if dimension == len(self.nest.sizes) - 1 and self.lanes > 1:
            self._vectors(frame, dimension, lower, upper)
            return

        def step(i: Value, _: list[Value]) -> list[Value]:
            self._loops(self.body.enter(frame, {dimension: i}), dimension + 1, bounds)
            return []

        self.b.for_(lower, upper, step)

    def _vectors(self, frame: Frame, dimension: int, lower: Subscript, upper: Subscript) -> None:
        def block(i: Subscript, lanes: Lanes) -> None:
            self._point(self.body.enter(frame, {dimension: i}, lanes))

        size = self.nest.sizes[dimension]
        vector_blocks(self.b, self.machine, dimension, size, self.lanes, (lower, upper), block)

    def _point(self, frame: Frame) -> None:
        for value, access in zip(self.body.outputs(frame), self.nest.outputs, strict=True):
            store(self.b, value, access, frame)


def part_before(b: LoopBuilder, upper: Subscript, size: int, unit: int) -> Subscript:
    """Where whole multiples of `unit` end before `upper`, the end of a task's part of `size`."""
    whole = size - size % unit
    if not isinstance(upper, Value) or known_index(upper) is not None:
        return whole
    return upper if whole == size else b.minimum(upper, whole)


def vector_blocks(
    b: LoopBuilder,
    machine: Machine,
    dimension: int,
    size: int,
    lanes: int,
    bounds: tuple[Subscript, Subscript],
    block: Callable[[Subscript, Lanes], None],
) -> None:
    """Run `block` on whole vectors from `bounds[0]`, a multiple of `lanes`, then on the rest.

    The rest is one masked vector, or single elements where the machine has no masked memory.
    `size` is the extent of the dimension, of which `bounds` may be a part.
    """
    lower, upper = bounds
    whole = size - size % lanes
    middle = part_before(b, upper, size, lanes)

    def full(i: Value, _: list[Value]) -> list[Value]:
        block(i, Lanes(dimension, lanes))
        return []

    b.for_(lower, middle, full, step=lanes)
    if whole == size:
        return

    def masked(i: Value, _: list[Value]) -> list[Value]:
        left = Linear.of(upper) + Linear.of(i) * -1
        block(i, Lanes(dimension, lanes, b.tail_mask(left, lanes)))
        return []

    def single(i: Value, _: list[Value]) -> list[Value]:
        block(i, Lanes(dimension, 1))
        return []

    if machine.has_masks:
        b.for_(middle, upper, masked, step=lanes)
    else:
        b.for_(middle, upper, single)
