"""Maps: every point computes its elements, with one dimension along the lanes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from dmc.ir.operation import Value
from dmc.ir.types import MemRefType, ScalarType
from dmc.lowering.loop_builder import Linear, LoopBuilder, Subscript
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.body import Body, Frame, Lanes, address, store
from dmc.lowering.schedules.domain import Domain, Range, at, known, larger, smaller
from dmc.lowering.schedules.nest import Access, Nest
from dmc.lowering.schedules.plan import (
    Split,
    lanes_for,
    nanoseconds,
    scalar_cost,
    split,
    vector_cost,
)
from dmc.lowering.schedules.zones import Zone, zones


def emit_map(b: LoopBuilder, machine: Machine, nest: Nest, parallel: bool) -> None:
    """Emit a nest without reduction dimensions; `parallel` allows tasks."""
    if nest.points == 0:
        return
    nest = nest.sorted().fused()
    lanes = lanes_for(machine, nest)
    if not machine.has_masks:
        lanes = _shorter(nest, lanes)
    vector, lanes = _vector_dimension(nest, lanes)
    turned: tuple[Access, ...] = ()
    if vector is not None:
        across = _turned(nest, vector, lanes)
        inner = [vector] if across is None else [across, vector]
        nest = nest.rearranged([*(d for d in nest.parallel_dims if d not in inner), *inner])
        turned = () if across is None else tuple(filter(_is_turned, nest.inputs))
    last = len(nest.sizes) - 1
    time = nanoseconds(nest, lanes)
    units = {last: lanes, last - 1: lanes} if turned else {last: lanes}
    division = split(nest.sizes, nest.parallel_dims, time, units) if parallel else None
    _Map(b, machine, nest, lanes, division, turned).emit()


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


def _turned(nest: Nest, vector: int, lanes: int) -> int | None:
    """A dimension along which inputs lie in memory that the lanes would read one by one."""
    if nest.sizes[vector] < lanes:
        return None
    for d in nest.parallel_dims:
        moved = [*(e for e in nest.parallel_dims if e not in (d, vector)), d, vector]
        inputs = nest.rearranged(moved).inputs if d != vector else ()
        if nest.sizes[d] >= lanes and any(_is_turned(a) for a in inputs):
            return d
    return None


def _is_turned(access: Access) -> bool:
    """Whether neighbours in memory differ in the last dimension but one, not in the last."""
    apart = access.in_memory and access.strides[-1] not in (0, 1)
    return apart and access.strides[-2] == 1 and access.dtype.bytes >= 4


class _Map:
    """Emits a map whose last dimension runs along the lanes.

    The inputs `turned` are read by blocks of as many rows as lanes, and transposed in registers.
    """

    def __init__(
        self,
        b: LoopBuilder,
        machine: Machine,
        nest: Nest,
        lanes: int,
        division: Split | None,
        turned: Sequence[Access],
    ) -> None:
        self.turned = turned
        self.b = b
        self.machine = machine
        self.nest = nest
        self.lanes = lanes
        self.division = division
        self.domain = Domain(b, nest)
        self.body = Body(b, nest, nest.body, nest.inputs)
        last = len(nest.sizes) - 1
        self.zones = zones(nest, last, lanes) if nest.sizes and lanes > 1 else []
        self.bodies = {zone: self._body_of(zone) for zone in self.zones}

    def _body_of(self, zone: Zone) -> Body:
        if zone.body is self.nest.body:
            return self.body
        return Body(self.b, self.nest, zone.body, self.nest.inputs)

    def emit(self) -> None:
        frame = self.body.enter(Frame(), {})
        if self.division is None:
            self._allocate_tiles()
            self._loops(frame, 0, {})
            return
        division = self.division

        def run(task: Value) -> None:
            self._allocate_tiles()
            self._loops(frame, 0, {division.dimension: division.bounds(self.b, task)})

        self.b.parallel(division.tasks, run)

    def _allocate_tiles(self) -> None:
        """Memory of a task for the blocks it transposes."""
        shape = (self.lanes, self.lanes)
        self.tiles = {a: self.b.alloca(shape, a.dtype) for a in self.turned}

    def _loops(
        self, frame: Frame, dimension: int, bounds: dict[int, tuple[Subscript, Subscript]]
    ) -> None:
        if dimension == len(self.nest.sizes):
            self._point(frame)
            return
        lower, upper = bounds.get(dimension, (0, self.nest.sizes[dimension]))
        last = len(self.nest.sizes) - 1
        if dimension == last:
            self._along(frame, (lower, upper))
            return
        if self.turned and dimension == last - 1:
            self._blocks(frame, (lower, upper), bounds.get(last, (0, self.nest.sizes[last])))
            return
        self._rows(frame, dimension, lower, upper, bounds)

    def _rows(
        self,
        frame: Frame,
        dimension: int,
        lower: Subscript,
        upper: Subscript,
        bounds: dict[int, tuple[Subscript, Subscript]],
    ) -> None:
        """A loop over one dimension around those that follow."""

        def step(i: Value, _: list[Value]) -> list[Value]:
            self._loops(self.body.enter(frame, {dimension: i}), dimension + 1, bounds)
            return []

        self.b.for_(lower, upper, step)

    def _blocks(
        self,
        frame: Frame,
        across: tuple[Subscript, Subscript],
        along: tuple[Subscript, Subscript],
    ) -> None:
        """Square blocks of the last two dimensions; what they leave over goes row by row."""
        b, lanes = self.b, self.lanes
        last = len(self.nest.sizes) - 1
        middle = part_before(b, across[1], self.nest.sizes[last - 1], lanes)
        right = part_before(b, along[1], self.nest.sizes[last], lanes)

        def block(i: Value, j: Value) -> None:
            known = {**frame.positions, last - 1: Linear.of(i)}
            moved: list[Access] = []
            for access in self.nest.inputs:
                tile = self.tiles.get(access)
                if tile is None:
                    moved.append(access)
                    continue
                rows = [
                    b.vector_load(
                        access.buffer, [address(access, {**known, last: Linear.of(j) + k})], lanes
                    )
                    for k in range(lanes)
                ]
                for k, column in enumerate(b.transpose(rows)):
                    b.vector_store(column, tile, [k, 0])
                moved.append(_in_tile(b, tile, last, Linear.of(i), Linear.of(j)))
            body = Body(b, replace(self.nest, inputs=tuple(moved)), self.nest.body, moved)
            base = Frame(frame.positions, dict(frame.values))

            def row(k: Value, _: list[Value]) -> list[Value]:
                at = {last - 1: Linear.of(i) + k, last: Linear.of(j)}
                self._store(body, body.enter(base, at, Lanes(last, lanes)))
                return []

            b.for_(0, lanes, row)

        def strip(i: Value, _: list[Value]) -> list[Value]:
            def step(j: Value, __: list[Value]) -> list[Value]:
                block(i, j)
                return []

            b.for_(along[0], right, step, step=lanes)
            if self.nest.sizes[last] % lanes:
                after = b.index(Linear.of(i) + lanes)
                self._rows(frame, last - 1, i, after, {last: (right, along[1])})
            return []

        b.for_(across[0], middle, strip, step=lanes)
        if self.nest.sizes[last - 1] % lanes:
            self._rows(frame, last - 1, middle, across[1], {last: along})

    def _along(self, frame: Frame, whole: Range) -> None:
        """The last dimension: what counts is computed, the rest filled with constants."""
        last = len(self.nest.sizes) - 1

        def filled(i: Subscript, lanes: Lanes) -> None:
            place = Frame({**frame.positions, last: Linear.of(i)}, {}, lanes)
            outputs = zip(self.nest.outside, self.nest.outputs, strict=True)
            for constant, access in outputs:
                number = self.b.constant(constant.array.item(), ScalarType(access.dtype))
                store(self.b, number, access, place)

        if not self.nest.outside:
            self._computed(frame, whole)
            return
        first, past = self.domain.within(last, whole, at(frame.positions), self.lanes)
        self._blocks_along((whole[0], first), filled)
        self._computed(frame, (first, past))
        self._blocks_along((past, whole[1]), filled)

    def _computed(self, frame: Frame, part: Range) -> None:
        """Part of the last dimension, zone by zone."""
        last = len(self.nest.sizes) - 1

        def compute(body: Body, start: Frame, part: Range) -> None:
            def block(i: Subscript, lanes: Lanes) -> None:
                self._store(body, body.enter(start, {last: i}, lanes))

            self._blocks_along(part, block)

        if len(self.zones) < 2:
            compute(self.body, frame, part)
            return
        lower, upper = (Linear.of(end) for end in part)
        for zone in self.zones:
            body = self.bodies[zone]
            start = frame if body is self.body else body.enter(Frame(), frame.positions)
            first = larger(self.b, lower, Linear((), zone.lower))
            past = smaller(self.b, upper, Linear((), zone.upper))
            compute(body, start, (known(self.b, first), known(self.b, past)))

    def _blocks_along(self, part: Range, block: Callable[[Subscript, Lanes], None]) -> None:
        """Vectors along the last dimension, or single points where there are no lanes."""
        last = len(self.nest.sizes) - 1
        size = self.nest.sizes[last]
        vector_blocks(self.b, self.machine, last, size, self.lanes, part, block)

    def _point(self, frame: Frame) -> None:
        self._store(self.body, frame)

    def _store(self, body: Body, frame: Frame) -> None:
        for value, access in zip(body.outputs(frame), self.nest.outputs, strict=True):
            store(self.b, value, access, frame)


def _in_tile(b: LoopBuilder, tile: Value, last: int, i: Linear, j: Linear) -> Access:
    """What a tile holds, addressed as the whole: it begins at (i, j) of the last dimensions."""
    assert isinstance(tile.type, MemRefType)
    lanes = tile.type.shape[1]
    strides = (*(0 for _ in range(last - 1)), lanes, 1)
    return Access(b.flat(tile), strides, i * -lanes + j * -1)


def part_before(b: LoopBuilder, upper: Subscript, size: int, unit: int) -> Subscript:
    """Where whole multiples of `unit` end before `upper`, the end of a task's part of `size`."""
    end = Linear.of(upper)
    whole = Linear((), size - size % unit)
    if end.terms and whole.constant == size:
        return upper
    return known(b, smaller(b, end, whole))


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
    # A part may be empty.
    rest = known(b, larger(b, Linear.of(lower), Linear.of(middle)))

    def masked(i: Value, _: list[Value]) -> list[Value]:
        left = Linear.of(upper) + Linear.of(i) * -1
        block(i, Lanes(dimension, lanes, b.tail_mask(left, lanes)))
        return []

    def single(i: Value, _: list[Value]) -> list[Value]:
        block(i, Lanes(dimension, 1))
        return []

    if machine.has_masks:
        b.for_(rest, upper, masked, step=lanes)
    else:
        b.for_(rest, upper, single)
