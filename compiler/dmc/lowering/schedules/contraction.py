"""Contractions: a register tile of the result, fed by panels.

A task takes some rows and some panels of columns of the result. For each part of the sum it packs
the right operand's part of those panels once, so that each step of the micro-kernel reads
neighbouring vectors, then block after block of rows of the left operand, where they do not lie well
in place. The structure is that of Goto and van de Geijn, "Anatomy of high-performance matrix
multiplication" (2008): a panel of the right operand stays in the first cache, a block of the left
one in the second.

Each element of the result is summed in one order, whatever the tasks: the dimensions that are
summed over, ascending, in parts that are summed by themselves, as are as many parts as
`MOST_PARTS`, and so on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from dmc.dialects import arith
from dmc.ir.operation import Value
from dmc.ir.types import MemRefType
from dmc.lowering.loop_builder import Linear, LoopBuilder, Subscript, register_type
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.body import Body, Frame, Lanes, absorbed, address, load, spread, store
from dmc.lowering.schedules.contraction_plan import (
    Contraction,
    Plan,
    Step,
    as_contraction,
    is_divided,
    levels_of,
    make_plan,
)
from dmc.lowering.schedules.domain import Domain, Range, Spread, at
from dmc.lowering.schedules.nest import Nest
from dmc.lowering.schedules.packing import Box, Cut, Panels, Piece, Places, read_vector
from dmc.lowering.schedules.plan import MOST_TASKS, Split

Within = Mapping[int, tuple[Value, Subscript]]
"""Which part of the dimensions that are summed over."""

HEAVY = 6
"""An epilogue of more operations is a loop over the rows of a tile."""


def emit_contraction(b: LoopBuilder, machine: Machine, nest: Nest, parallel: bool) -> bool:
    """Emit the nest if it is a contraction for which this schedule is the better one."""
    shape = as_contraction(nest, machine)
    if shape is None:
        return False
    lanes = machine.lanes(shape.dtype)
    if shape.columns * 4 < lanes or (not machine.has_masks and shape.columns < lanes):
        return False
    if shape.b.strides[shape.n] != 1 and shape.rows < 6:
        return False
    _Emitter(b, machine, shape, make_plan(machine, shape, lanes), parallel).emit()
    return True


class _Emitter:
    """Emits one contraction."""

    def __init__(
        self, b: LoopBuilder, machine: Machine, shape: Contraction, plan: Plan, parallel: bool
    ) -> None:
        self.b = b
        self.machine = machine
        self.shape = shape
        self.plan = plan
        self.parallel = parallel
        nest = shape.nest
        self.domain = Domain(b, nest)
        self.dtype = shape.dtype
        self.vector = register_type(self.dtype, plan.lanes)
        self.rows = Cut(shape.m, shape.rows, plan.tile.rows)
        self.columns = Cut(shape.n, shape.columns, plan.width)
        self.levels = levels_of(shape, plan.part)
        self.in_parts = bool(self.levels[0])
        self.epilogue = (
            None
            if nest.epilogue is None
            else Body(b, nest, nest.epilogue, nest.extras, given=len(nest.combiners))
        )

    def emit(self) -> None:
        """All tasks, or the same as loops where tasks are not worth it or not allowed."""
        shape, plan = self.shape, self.plan
        row_groups = -(-self.rows.pieces // plan.tiles)
        column_groups = -(-self.columns.pieces // plan.panels)
        counts = [*(shape.nest.sizes[d] for d in shape.outer), column_groups, row_groups]
        total = math.prod(counts)
        if not self.parallel or total == 1 or not is_divided(shape):
            self._with_memory(lambda: self._units(counts, {}, []))
        elif total <= MOST_TASKS:
            # Private memory is the task's.
            self.b.parallel(
                total,
                lambda task: self._with_memory(lambda: self._unit(self._digits(task, counts))),
            )
        else:
            longest = max(range(len(counts)), key=lambda d: counts[d])
            size = counts[longest]
            division = Split(longest, size, -(-size // MOST_TASKS))

            def some(task: Value) -> None:
                bounds = {longest: division.bounds(self.b, task)}
                self._with_memory(lambda: self._units(counts, bounds, []))

            self.b.parallel(division.tasks, some)

    def _units(
        self,
        counts: Sequence[int],
        bounds: dict[int, tuple[Subscript, Subscript]],
        chosen: list[Value],
    ) -> None:
        """Loops over all units, or those within `bounds` of some dimensions."""
        depth = len(chosen)
        if depth == len(counts):
            self._unit(chosen)
            return
        low, high = bounds.get(depth, (0, counts[depth]))
        self.b.each(low, high, 1, lambda i: self._units(counts, bounds, [*chosen, i]))

    def _unit(self, place: Sequence[Value]) -> None:
        """One group of columns and rows, of one matrix where there are many."""
        *outer, columns, rows = place
        known = {d: Linear.of(i) for d, i in zip(self.shape.outer, outer, strict=True)}
        self._task(known, columns, rows)

    def _with_memory(self, run: Callable[[], object]) -> None:
        """Reserve the packed panels and partial sums of one task, then run it."""
        plan, shape = self.plan, self.shape
        points, lanes = plan.part.points, plan.lanes
        self.left = self.right = None
        if plan.pack_left:
            self.left = Panels(self.b, shape.a, self.rows, lanes, plan.block, points)
        if plan.pack_right:
            self.right = Panels(self.b, shape.b, self.columns, lanes, plan.panels, points)
        if self.in_parts:
            levels = len(self.levels)
            size = plan.rows * plan.panels * plan.width
        else:
            levels = int(self._is_heavy())
            size = plan.tile.rows * plan.width
        self.sums = [self.b.alloca((size,), self.dtype) for _ in range(levels)]
        again = plan.tile.rows * plan.width if self.shape.is_guarded else 0
        self.again = self.b.alloca((again,), self.dtype) if again else None
        run()

    def _is_heavy(self) -> bool:
        """Whether repeating the epilogue for every vector of a tile would be much code."""
        return self.epilogue is not None and sum(1 for _ in self.epilogue.block) > HEAVY

    def _digits(self, number: Value, counts: Sequence[int]) -> list[Value]:
        """`number` in the mixed radix of `counts`, most significant first."""
        b = self.b
        digits: list[Value] = []
        for position, count in enumerate(counts):
            rest = math.prod(counts[position + 1 :])
            digit = number
            if count == 1:
                digits.append(b.index(0))
                continue
            if rest > 1:
                digit = arith.divide(b.builder, digit, b.index(rest))
            if math.prod(counts[:position]) > 1:
                digit = arith.remainder(b.builder, digit, b.index(count))
            digits.append(digit)
        return digits

    def _task(self, known: dict[int, Linear], column_group: Value, row_group: Value) -> None:
        """Some rows of some panels."""
        b, shape, plan = self.b, self.shape, self.plan
        tile = b.index(Linear.of(row_group) * plan.tiles)
        panel = b.index(Linear.of(column_group) * plan.panels)
        tiles = self.rows.past(b, tile, plan.tiles)
        panels = self.columns.past(b, panel, plan.panels)
        group = _Group(known, tile, tiles, panel, panels)
        summed = {d: (b.index(0), shape.nest.sizes[d]) for d in shape.summed}
        if not self.in_parts:
            self._part(group, summed)
            return
        self._sum_parts(group, len(self.levels) - 1, summed)
        self.columns.each(b, panel, group.past_panel, partial(self._finish_panel_from_sums, group))

    def _sum_parts(self, group: _Group, level: int, within: Within) -> None:
        """Sum the products `within` some part of what is summed into the memory of a level."""
        b, lanes = self.b, self.plan.lanes
        sums = self.sums[level]
        assert isinstance(sums.type, MemRefType)
        (size,) = sums.type.shape
        zero = b.constant(0.0, self.vector)
        b.each(0, size, lanes, lambda i: b.vector_store(zero, sums, [i]))

        def add(i: Value) -> None:
            part = b.vector_load(self.sums[level - 1], [i], lanes)
            total = b.vector_load(sums, [i], lanes)
            b.vector_store(arith.add(b.builder, total, part), sums, [i])

        def part(within: Within) -> None:
            if level:
                self._sum_parts(group, level - 1, within)
                b.each(0, size, lanes, add)
            else:
                self._part(group, within)

        self._walk(self.levels[level], within, part)

    def _walk(self, steps: Sequence[Step], within: Within, body: Callable[[Within], None]) -> None:
        """Loops over what is `within`, by some steps of its dimensions."""
        if not steps:
            body(within)
            return
        (d, step), *inner = steps
        lower, upper = within[d]

        def at(i: Value) -> None:
            past: Subscript = Linear.of(i) + step
            if step > 1:
                past = arith.minimum(self.b.builder, self.b.index(past), self.b.index(upper))
            self._walk(inner, {**within, d: (i, past)}, body)

        self.b.each(lower, upper, step, at)

    def _part(self, group: _Group, within: Within) -> None:
        """One part of the sum, added to the sums in memory if there are several."""
        b, plan, sizes = self.b, self.plan, self.shape.nest.sizes
        part = plan.part
        around = {d: Linear.of(within[d][0]) for d in part.around}
        start, end = within[part.moving]
        inner = [(d, sizes[d]) for d in part.inner]
        box = Box(around, part.moving, sizes[part.moving], start, end, inner)
        columns = Spread(Linear.of(group.panel) * plan.width, plan.panels * plan.width)
        unit = 1 if box.inner else plan.lanes
        if self.right:
            rows = Spread(Linear.of(group.tile) * plan.tile.rows, plan.rows)
            counted = self._counted(group, rows, columns, box, unit)
            self.right.pack(group.known, group.panel, group.past_panel, box, counted)
        if not self.left:
            self._in_place(group, box)
            return
        left = self.left

        def block(first: Value) -> None:
            rows = Spread(Linear.of(first) * plan.tile.rows, plan.block * plan.tile.rows)
            past = self.rows.past(b, first, plan.block)
            counted = self._counted(group, rows, columns, box, unit)
            left.pack(group.known, first, past, box, counted)
            self._packed(group, box, first, past)

        b.each(group.tile, group.past_tile, plan.block, block)

    def _in_place(self, group: _Group, box: Box) -> None:
        """All tiles, whose rows stay in the first cache while panels pass by."""
        b = self.b

        def tile(tile: Piece) -> None:
            def panel(panel: Piece) -> None:
                self._tile(group, panel, tile, box, None)

            self.columns.each(b, group.panel, group.past_panel, panel)

        self.rows.each(b, group.tile, group.past_tile, tile)

    def _packed(self, group: _Group, box: Box, first: Value, past: Value) -> None:
        """The tiles of a block; each panel stays in the first cache while they pass by."""
        b = self.b

        def panel(panel: Piece) -> None:
            self.rows.each(b, first, past, lambda tile: self._tile(group, panel, tile, box, first))

        self.columns.each(b, group.panel, group.past_panel, panel)

    def _counted(
        self, group: _Group, rows: Spread, columns: Spread, box: Box, unit: int = 1
    ) -> Range:
        """The part of a box, along its moving dimension, in which some product counts."""
        shape = self.shape
        known = {**at(group.known), **at(box.around), shape.n: columns}
        if shape.m is not None:
            known[shape.m] = rows
        return self.domain.within(box.moving, box.whole, known, unit)

    # The micro-kernel

    def _tile(
        self, group: _Group, panel: Piece, tile: Piece, box: Box, block: Value | None
    ) -> None:
        """Sum one tile in registers; `block` is the first tile of those that are packed."""
        b, plan = self.b, self.plan
        rows, columns = Spread(tile.first, tile.count), Spread(panel.first, panel.count)
        counted = self._counted(group, rows, columns, box)
        vectors = -(-panel.count // plan.lanes)

        def step(places: Places, point: Linear, sums: list[Value]) -> list[Value]:
            right = [self._columns(group, panel, v, places, point) for v in range(vectors)]
            out: list[Value] = []
            for r in range(tile.count):
                wide = b.broadcast(self._row(group, tile, r, places, point, block), plan.lanes)
                sums_of_row = sums[r * vectors : (r + 1) * vectors]
                out += [b.fma(wide, *pair) for pair in zip(right, sums_of_row, strict=True)]
            return out

        zeros = [b.constant(0.0, self.vector)] * (tile.count * vectors)
        sums = self._sum(box, counted, step, zeros, flat=block is not None)
        if self.shape.is_guarded:
            again = partial(self._sum_again, group, panel, tile, box, counted)
            sums = b.if_(self._any_nan(sums), again, lambda sums=sums: sums, rare=True)
        by_row = [sums[r * vectors : (r + 1) * vectors] for r in range(tile.count)]
        if self.in_parts:
            for r, row in enumerate(by_row):
                for v, part in enumerate(row):
                    at = [self._sum_at(group, panel, tile.first + r, v)]
                    total = b.vector_load(self.sums[0], at, plan.lanes)
                    b.vector_store(arith.add(b.builder, total, part), self.sums[0], at)
        elif self._is_heavy():
            for r, row in enumerate(by_row):
                for v, total in enumerate(row):
                    b.vector_store(total, self.sums[0], [r * plan.width + v * plan.lanes])
            self._finish_rows(group, panel, tile)
        else:
            frames = [self._column_frame(group, panel, v) for v in range(vectors)]
            for r, row in enumerate(by_row):
                for frame, total in zip(frames, row, strict=True):
                    self._finish(frame, tile.first + r, total)

    def _sum(
        self,
        box: Box,
        counted: Range,
        step: Callable[[Places, Linear, list[Value]], list[Value]],
        zeros: Sequence[Value],
        flat: bool,
    ) -> list[Value]:
        """Sums over a part of a box: where everything is packed, in one loop."""
        b = self.b
        if not (flat and self.right):
            return box.points(b, counted, lambda at, sums: step(at, box.flat(at), sums), zeros)
        before = Linear.of(box.start) * -1
        first, end = (b.index((Linear.of(c) + before) * box.unit) for c in counted)
        return b.for_(first, end, lambda i, sums: step({}, Linear.of(i), sums), zeros, name="k")

    def _columns(self, group: _Group, panel: Piece, v: int, places: Places, point: Linear) -> Value:
        """A vector of B."""
        b, lanes = self.b, self.plan.lanes
        if self.right is None:
            places = {**group.known, **places}
            first, mask = panel.first + v * lanes, self._mask(panel, v)
            return read_vector(b, self.shape.b, self.columns, lanes, places, first, mask)
        local = panel.number + Linear.of(group.panel) * -1
        return b.vector_load(self.right.memory, [self.right.at(local, point, v * lanes)], lanes)

    def _row(
        self,
        group: _Group,
        tile: Piece,
        r: Subscript,
        places: Places,
        point: Linear,
        block: Value | None,
    ) -> Value:
        """An element of A."""
        b, shape = self.b, self.shape
        if self.left is not None and block is not None:
            local = tile.number + Linear.of(block) * -1
            return b.load(self.left.memory, [self.left.at(local, point, r)])
        places = {**group.known, **places}
        if shape.m is not None:
            places[shape.m] = tile.first + r
        element = b.load(shape.a.buffer, [address(shape.a, places)])
        return arith.convert(b.builder, element, self.dtype)

    def _mask(self, panel: Piece, v: int) -> Value | None:
        """The mask of a vector of a panel: only the last of all has one."""
        left = panel.count - v * self.plan.lanes
        return self.b.tail_mask(left, self.plan.lanes) if left < self.plan.lanes else None

    def _sum_again(
        self, group: _Group, panel: Piece, tile: Piece, box: Box, counted: Range
    ) -> list[Value]:
        """Sum one tile with guards, one vector after the other: little code, seldom run."""
        b, plan, shape = self.b, self.plan, self.shape
        assert self.again is not None
        again = self.again
        vectors = -(-panel.count // plan.lanes)

        def place(r: Subscript, v: Subscript) -> list[Linear]:
            return [Linear.of(r) * plan.width + Linear.of(v) * plan.lanes]

        def vector(r: Value, v: Value) -> None:
            before = Linear.of(v) * plan.lanes
            mask = None
            if panel.count % plan.lanes:
                mask = b.tail_mask(before * -1 + panel.count, plan.lanes)
            first = panel.first + before

            def step(places: Places, sums: list[Value]) -> list[Value]:
                places = {**group.known, **places}
                element = self._row(group, tile, r, places, Linear(), None)
                wide = b.broadcast(element, plan.lanes)
                column = read_vector(b, shape.b, self.columns, plan.lanes, places, first, mask)
                places[shape.n] = first
                if shape.m is not None:
                    places[shape.m] = tile.first + r
                return [b.fma(*self._guarded(wide, column, places, mask), *sums)]

            (total,) = box.points(b, counted, step, [b.constant(0.0, self.vector)])
            b.vector_store(total, again, place(r, v))

        b.each(0, tile.count, 1, lambda r: b.each(0, vectors, 1, lambda v: vector(r, v)))
        return [
            b.vector_load(again, place(r, v), plan.lanes)
            for r in range(tile.count)
            for v in range(vectors)
        ]

    def _guarded(
        self, x: Value, y: Value, places: Places, mask: Value | None
    ) -> tuple[Value, Value]:
        """Two factors such that nothing is NaN that should count as 0."""
        b, shape, plan = self.b, self.shape, self.plan
        x, y = absorbed(b, x, y, shape.a_absorbs, shape.b_absorbs)
        if shape.gate is None:
            return x, y
        frame = Frame({**places}, {}, Lanes(shape.n, plan.lanes, mask))
        selected = spread(b, load(b, shape.gate, frame), plan.lanes)
        zero = b.constant(0.0, self.vector)
        x = arith.select(b.builder, selected, x, zero)
        return x, arith.select(b.builder, selected, y, zero)

    def _any_nan(self, sums: Sequence[Value]) -> Value:
        """Whether a zero may have met an infinity or NaN: only then is guarding worth its time.

        A sum that is not NaN is what guarded products give, in every bit.
        """
        b = self.b
        sums = list(sums)
        while len(sums) > 1:
            pairs = zip(sums[::2], sums[1::2], strict=False)
            sums = [*(arith.add(b.builder, x, y) for x, y in pairs), *sums[len(sums) & ~1 :]]
        is_nan = arith.compare(b.builder, arith.Direction.NE, sums[0], sums[0])

        def either(x: list[Value], y: list[Value]) -> list[Value]:
            return [arith.logical_or(b.builder, *pair) for pair in zip(x, y, strict=True)]

        return b.fold_lanes([is_nan], either)[0]

    # Results

    def _sum_at(self, group: _Group, panel: Piece, row: Subscript, v: Subscript) -> Linear:
        """Where the partial sums of a row of the task are."""
        plan = self.plan
        local = panel.number + Linear.of(group.panel) * -1
        before = Linear.of(group.tile) * -plan.tile.rows
        at = local * plan.rows + Linear.of(row) + before
        return at * plan.width + Linear.of(v) * plan.lanes

    def _finish_panel_from_sums(self, group: _Group, panel: Piece) -> None:
        """The epilogue of all rows of a task, from the sums in memory."""
        b, plan = self.b, self.plan
        vectors = range(-(-panel.count // plan.lanes))
        frames = [self._column_frame(group, panel, v) for v in vectors]

        def row(i: Value) -> None:
            for v, frame in enumerate(frames):
                at = self._sum_at(group, panel, i, v)
                self._finish(frame, Linear.of(i), b.vector_load(self.sums[-1], [at], plan.lanes))

        lower = b.index(Linear.of(group.tile) * plan.tile.rows)
        upper = b.index(self.shape.rows)
        if plan.rows < self.shape.rows:
            upper = b.minimum(b.index(Linear.of(lower) + plan.rows), self.shape.rows)
        b.each(lower, upper, 1, row)

    def _finish_rows(self, group: _Group, panel: Piece, tile: Piece) -> None:
        """The epilogue of a tile as a loop over its rows."""
        vectors = range(-(-panel.count // self.plan.lanes))
        frames = [self._column_frame(group, panel, v) for v in vectors]

        def row(r: Value) -> None:
            for v, frame in enumerate(frames):
                at = Linear.of(r) * self.plan.width + v * self.plan.lanes
                value = self.b.vector_load(self.sums[-1], [at], self.plan.lanes)
                self._finish(frame, tile.first + r, value)

        self.b.each(0, tile.count, 1, row)

    def _column_frame(self, group: _Group, panel: Piece, v: int) -> Frame:
        """What the epilogue computes from the columns alone."""
        shape, plan = self.shape, self.plan
        lanes = Lanes(shape.n, plan.lanes, self._mask(panel, v))
        places: dict[int, Subscript] = {**group.known}
        places[shape.n] = panel.first + v * plan.lanes
        if self.epilogue is None:
            return Frame({d: Linear.of(s) for d, s in places.items()}, {}, lanes)
        return self.epilogue.enter(Frame(), places, lanes)

    def _finish(self, frame: Frame, row: Linear, total: Value) -> None:
        """The epilogue of one vector, and the results into memory."""
        places: dict[int, Subscript] = {} if self.shape.m is None else {self.shape.m: row}
        values = [total]
        if self.epilogue is None:
            frame = Frame(
                {**frame.positions, **{d: Linear.of(s) for d, s in places.items()}},
                {},
                frame.lanes,
            )
        else:
            frame = self.epilogue.enter(frame, places, given=[total])
            values = self.epilogue.outputs(frame)
        for value, access in zip(values, self.shape.nest.outputs, strict=True):
            store(self.b, value, access, frame)


@dataclass(frozen=True)
class _Group:
    """A task's part of the result: its tiles of rows and its panels."""

    known: dict[int, Linear]
    tile: Value
    past_tile: Value
    panel: Value
    past_panel: Value
