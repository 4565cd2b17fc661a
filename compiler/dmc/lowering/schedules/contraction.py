"""Contractions: a register tile of the result, fed by columns packed into panels.

A task takes some rows and some panels of columns of the result and packs the right operand's part
of those panels once, so that each step of the micro-kernel reads neighbouring vectors; the left
operand is read in place, one element for each row of the tile. The structure is that of Goto and
van de Geijn, "Anatomy of high-performance matrix multiplication" (2008), without packing of the
left operand: a wide tile keeps its traffic low, and measured, packing it never paid.

Each element of the result is summed in one order, whatever the tasks: the dimensions around `k` and
`k` ascending, in parts that are summed by themselves, as are as many parts as `MOST_PARTS`, and so
on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from dmc.dialects import arith
from dmc.ir.operation import Value
from dmc.ir.types import DType, MemRefType, VectorType
from dmc.lowering.loop_builder import Linear, LoopBuilder, Subscript, register_type
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.body import Body, Frame, Lanes, absorbed, address, load, spread, store
from dmc.lowering.schedules.contraction_plan import (
    LONGEST_PANEL,
    PARALLEL_NANOSECONDS,
    PART,
    Contraction,
    Plan,
    Step,
    as_contraction,
    levels_of,
    make_plan,
    nanoseconds,
)
from dmc.lowering.schedules.domain import Domain, Range, Spread, at
from dmc.lowering.schedules.elementwise import part_before
from dmc.lowering.schedules.nest import Nest
from dmc.lowering.schedules.plan import MOST_TASKS, Split

Within = Mapping[int, tuple[Subscript, Subscript]]
"""Which part of the dimensions that are summed over."""

HEAVY = 6
"""An epilogue of more operations is a loop over the rows of a tile."""


def emit_contraction(b: LoopBuilder, machine: Machine, nest: Nest, parallel: bool) -> bool:
    """Emit the nest if it is a contraction for which this schedule is the better one."""
    shape = as_contraction(nest)
    if shape is None:
        return False
    dtype = shape.a.dtype
    lanes = machine.lanes(dtype)
    if shape.columns * 4 < lanes or (not machine.has_masks and shape.columns < lanes):
        return False
    contiguous = shape.b.strides[shape.n] == 1
    if not contiguous and shape.rows < 6:
        return False
    _Emitter(b, machine, shape, make_plan(machine, shape, lanes, contiguous), parallel).emit()
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
        self.dtype = shape.a.dtype
        self.vector = register_type(self.dtype, plan.lanes)
        self.in_parts = shape.length > LONGEST_PANEL or bool(shape.around)
        self.part = PART if shape.length > LONGEST_PANEL else shape.length
        self.levels = levels_of(shape, self.part)
        self.epilogue = (
            None
            if nest.epilogue is None
            else Body(b, nest, nest.epilogue, nest.extras, given=len(nest.combiners))
        )

    def emit(self) -> None:
        """All tasks, or the same as loops where tasks are not worth it or not allowed."""
        shape, plan = self.shape, self.plan
        row_groups = -(-shape.rows // plan.rows)
        self.panel_count = -(-shape.columns // plan.width)
        column_groups = -(-self.panel_count // plan.panels)
        counts = [*(shape.nest.sizes[d] for d in shape.outer), column_groups, row_groups]
        total = math.prod(counts)
        if not self.parallel or total == 1 or nanoseconds(shape) < PARALLEL_NANOSECONDS:
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
        self._loop(low, high, 1, lambda i: self._units(counts, bounds, [*chosen, i]))

    def _unit(self, place: Sequence[Value]) -> None:
        """One group of columns and rows, of one matrix where there are many."""
        *outer, columns, rows = place
        known = {d: Linear.of(i) for d, i in zip(self.shape.outer, outer, strict=True)}
        self._task(known, columns, rows)

    def _with_memory(self, run: Callable[[], object]) -> None:
        """Reserve the packed panels and partial sums of one task, then run it."""
        plan = self.plan
        panels = plan.panels * self.part * plan.width
        self.packed = self.b.alloca((panels,), self.dtype) if plan.pack else None
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
        rows = Linear.of(row_group) * plan.rows
        lower, upper = b.index(rows), b.index(shape.rows)
        if plan.rows < shape.rows:
            upper = b.minimum(b.index(rows + plan.rows), shape.rows)
        first = b.index(Linear.of(column_group) * plan.panels)
        group = _Group(known, lower, upper, first)
        if not self.in_parts:
            self._part(group, b.index(0), shape.length)
            return
        summed = {d: (0, shape.nest.sizes[d]) for d in (*shape.around, shape.k)}
        self._sum_parts(group, len(self.levels) - 1, summed)
        self._panels(group, self._finish_panel_from_sums)

    def _sum_parts(self, group: _Group, level: int, within: Within) -> None:
        """Sum the products `within` some part of what is summed into the memory of a level."""
        b, shape, lanes = self.b, self.shape, self.plan.lanes
        sums = self.sums[level]
        assert isinstance(sums.type, MemRefType)
        (size,) = sums.type.shape
        zero = b.constant(0.0, self.vector)
        self._loop(0, size, lanes, lambda i: b.vector_store(zero, sums, [i]))

        def add(i: Value) -> None:
            part = b.vector_load(self.sums[level - 1], [i], lanes)
            total = b.vector_load(sums, [i], lanes)
            b.vector_store(arith.add(b.builder, total, part), sums, [i])

        def part(within: Within) -> None:
            if level:
                self._sum_parts(group, level - 1, within)
                self._loop(0, size, lanes, add)
                return
            around = {d: Linear.of(within[d][0]) for d in shape.around}
            start, end = within[shape.k]
            self._part(replace(group, known=group.known | around), b.index(start), end)

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

        self._loop(lower, upper, step, at)

    def _part(self, group: _Group, start: Value, end: Subscript) -> None:
        """The products of `k` from `start` to `end`, added to the sums in memory if in parts."""
        if self.plan.pack:
            self._panels(group, lambda panel: self._pack(panel, start, (start, end)))
        tile_rows = self.plan.tile.rows

        def tile(i: Value, rows: int) -> None:
            self._panels(group, lambda panel: self._tile(panel, i, rows, start, end))

        middle = part_before(self.b, group.upper, self.shape.rows, tile_rows)
        self._loop(group.lower, middle, tile_rows, lambda i: tile(i, tile_rows))
        rest = self.shape.rows % tile_rows
        if rest:
            self._loop(middle, group.upper, tile_rows, lambda i: tile(i, rest))

    def _loop(
        self, lower: Subscript, upper: Subscript, step: int, body: Callable[[Value], None]
    ) -> None:
        def run(i: Value, _: list[Value]) -> list[Value]:
            body(i)
            return []

        low, high = (_static(bound) for bound in (lower, upper))
        self.b.for_(low, high, run, step=step)

    def _panels(self, group: _Group, body: Callable[[_Panel], None]) -> None:
        """Run `body` for the panels of a task; the last of all panels may be narrower."""
        b, plan, columns = self.b, self.plan, self.shape.columns
        whole = columns // plan.width
        many = self.panel_count > plan.panels
        past = b.index(Linear.of(group.first) + plan.panels)
        middle = b.minimum(past, whole) if many else b.index(whole)

        def panel(p: Value, count: int, mask: Value | None) -> None:
            local = Linear.of(p) + Linear.of(group.first) * -1
            vectors = -(-count // plan.lanes)
            body(_Panel(group, Linear.of(p) * plan.width, local, vectors, count, mask))

        self._loop(group.first, middle, 1, lambda p: panel(p, plan.width, None))
        rest = columns % plan.width
        if rest:
            end = b.minimum(past, self.panel_count) if many else b.index(self.panel_count)
            left = rest % plan.lanes
            mask = b.tail_mask(left, plan.lanes) if left else None
            self._loop(middle, end, 1, lambda p: panel(p, rest, mask))

    # The right operand

    def _counted(self, panel: _Panel, rows: Spread, whole: Range, unit: int = 1) -> Range:
        """The part of the range `whole` of k in which some product of rows and columns counts."""
        shape = self.shape
        known = {**at(panel.group.known), shape.n: Spread(panel.column, panel.columns)}
        if shape.m is not None:
            known[shape.m] = rows
        return self.domain.within(shape.k, whole, known, unit)

    def _pack(self, panel: _Panel, start: Value, whole: Range) -> None:
        """Copy the panel's part of B; where its columns are rows in memory, transpose blocks."""
        b, lanes = self.b, self.plan.lanes
        rows = Spread(Linear.of(panel.group.lower), self.plan.rows)
        first, end = self._counted(panel, rows, whole, lanes)
        strides = self.shape.b.strides
        turned = strides[self.shape.n] != 1 and strides[self.shape.k] == 1
        if turned:
            # Every part but the last is a whole number of blocks.
            middle = part_before(b, end, self.shape.length, lanes)
            self._loop(first, middle, lanes, lambda k: self._pack_block(panel, k, start))
            first = middle

        def row(k: Value) -> None:
            for v in range(panel.vectors):
                value = self._read_b(panel, k, v)
                self._store_packed(value, panel, k, start, v)

        if not turned or self.shape.length % lanes:
            self._loop(first, end, 1, row)

    def _pack_block(self, panel: _Panel, k: Value, start: Value) -> None:
        """Transpose blocks of as many columns and `k` as there are lanes."""
        whole = panel.columns // self.plan.lanes

        def block(v: Subscript, columns: int) -> None:
            b, shape, lanes = self.b, self.shape, self.plan.lanes
            rows = [b.constant(0.0, self.vector)] * lanes
            first = panel.column + Linear.of(v) * lanes
            for column in range(columns):
                places = {**panel.group.known, shape.k: Linear.of(k)}
                places[shape.n] = first + column
                rows[column] = b.vector_load(shape.b.buffer, [address(shape.b, places)], lanes)
            for t, row in enumerate(b.transpose(rows)):
                self._store_packed(row, panel, Linear.of(k) + t, start, v)

        self._loop(0, whole, 1, lambda v: block(v, self.plan.lanes))
        rest = panel.columns % self.plan.lanes
        if rest:
            block(whole, rest)

    def _store_packed(
        self, value: Value, panel: _Panel, k: Subscript, start: Value, v: Subscript
    ) -> None:
        assert self.packed is not None
        self.b.vector_store(value, self.packed, [self._packed_at(panel, k, start, v)])

    def _packed_at(self, panel: _Panel, k: Subscript, start: Value, v: Subscript) -> Linear:
        plan = self.plan
        row = panel.local * self.part + Linear.of(k) + Linear.of(start) * -1
        return row * plan.width + Linear.of(v) * plan.lanes

    def _read_b(self, panel: _Panel, k: Subscript, v: int) -> Value:
        """A vector of B where it lies."""
        b, shape, plan = self.b, self.shape, self.plan
        places = {**panel.group.known, shape.k: Linear.of(k)}
        places[shape.n] = panel.column + v * plan.lanes
        at = address(shape.b, places)
        mask = panel.mask_of(v)
        stride = shape.b.strides[shape.n]
        if stride == 1:
            return b.vector_load(shape.b.buffer, [at], plan.lanes, mask=mask)
        every = b.constant(True, VectorType((plan.lanes,), DType.BOOL))
        return b.gather(shape.b.buffer, [at], b.iota(plan.lanes, stride), mask or every)

    def _read_a(self, group: _Group, i: Value, r: Subscript, k: Subscript) -> Value:
        """An element of A where it lies."""
        places = {**group.known, self.shape.k: Linear.of(k)}
        if self.shape.m is not None:
            places[self.shape.m] = Linear.of(i) + r
        return self.b.load(self.shape.a.buffer, [address(self.shape.a, places)])

    # The micro-kernel

    def _tile(self, panel: _Panel, i: Value, rows: int, start: Value, end: Subscript) -> None:
        """Sum one tile in registers."""
        b, plan = self.b, self.plan
        counted = self._counted(panel, Spread(Linear.of(i), rows), (start, end))

        def step(k: Value, sums: list[Value]) -> list[Value]:
            columns: list[Value] = []
            for v in range(panel.vectors):
                if self.packed is None:
                    columns.append(self._read_b(panel, k, v))
                else:
                    at = self._packed_at(panel, k, start, v)
                    columns.append(b.vector_load(self.packed, [at], plan.lanes))
            out: list[Value] = []
            for r in range(rows):
                a = self._read_a(panel.group, i, r, k)
                wide = b.broadcast(a, plan.lanes)
                out += [
                    b.fma(wide, column, sums[r * panel.vectors + v])
                    for v, column in enumerate(columns)
                ]
            return out

        sums = [b.constant(0.0, self.vector)] * (rows * panel.vectors)
        sums = b.for_(*counted, step, sums, name="k")
        if self.shape.is_guarded:
            again = partial(self._sum_again, panel, i, rows, start, counted)
            sums = b.if_(self._any_nan(sums), again, lambda sums=sums: sums, rare=True)
        if self.in_parts:
            for r in range(rows):
                for v in range(panel.vectors):
                    at = [self._sum_at(panel, i, r, v)]
                    total = b.vector_load(self.sums[0], at, plan.lanes)
                    total = arith.add(b.builder, total, sums[r * panel.vectors + v])
                    b.vector_store(total, self.sums[0], at)
        elif self._is_heavy():
            for r in range(rows):
                for v in range(panel.vectors):
                    at = r * plan.width + v * plan.lanes
                    b.vector_store(sums[r * panel.vectors + v], self.sums[0], [at])
            self._finish_rows(panel, i, rows, Linear())
        else:
            frames = [self._column_frame(panel, v) for v in range(panel.vectors)]
            for r in range(rows):
                for v, frame in enumerate(frames):
                    self._finish(frame, Linear.of(i) + r, sums[r * panel.vectors + v])

    def _sum_again(
        self, panel: _Panel, i: Value, rows: int, start: Value, counted: Range
    ) -> list[Value]:
        """Sum one tile with guards, one vector after the other: little code, seldom run."""
        b, plan = self.b, self.plan
        assert self.again is not None
        again = self.again

        def place(r: Subscript, v: Subscript) -> list[Linear]:
            return [Linear.of(r) * plan.width + Linear.of(v) * plan.lanes]

        def vector(r: Value, v: Value) -> None:
            one = self._vector_of(panel, v)

            def step(k: Value, sums: list[Value]) -> list[Value]:
                wide = b.broadcast(self._read_a(panel.group, i, r, k), plan.lanes)
                if self.packed is None:
                    column = self._read_b(one, k, 0)
                else:
                    at = self._packed_at(panel, k, start, v)
                    column = b.vector_load(self.packed, [at], plan.lanes)
                row = Linear.of(i) + Linear.of(r)
                return [b.fma(*self._guarded(wide, column, one, row, k), *sums)]

            zero = b.constant(0.0, self.vector)
            (total,) = b.for_(*counted, step, [zero], name="k")
            b.vector_store(total, again, place(r, v))

        self._loop(0, rows, 1, lambda r: self._loop(0, panel.vectors, 1, lambda v: vector(r, v)))
        return [
            b.vector_load(again, place(r, v), plan.lanes)
            for r in range(rows)
            for v in range(panel.vectors)
        ]

    def _vector_of(self, panel: _Panel, v: Value) -> _Panel:
        """One vector of a panel, which may be the last."""
        before = Linear.of(v) * self.plan.lanes
        mask = panel.mask
        if mask is not None:
            mask = self.b.tail_mask(before * -1 + panel.columns, self.plan.lanes)
        return replace(panel, column=panel.column + before, vectors=1, mask=mask)

    def _guarded(
        self, x: Value, y: Value, one: _Panel, row: Linear, k: Value
    ) -> tuple[Value, Value]:
        """Two factors such that nothing is NaN that should count as 0."""
        b, shape, plan = self.b, self.shape, self.plan
        x, y = absorbed(b, x, y, shape.a_absorbs, shape.b_absorbs)
        if shape.gate is None:
            return x, y
        places = {**one.group.known, shape.k: Linear.of(k), shape.n: one.column}
        if shape.m is not None:
            places[shape.m] = row
        lanes = Lanes(shape.n, plan.lanes, one.mask)
        selected = spread(b, load(b, shape.gate, Frame(places, {}, lanes)), plan.lanes)
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

    def _sum_at(self, panel: _Panel, i: Value, r: Subscript, v: Subscript) -> Linear:
        """Where the partial sums of a row of the task are."""
        plan = self.plan
        row = Linear.of(i) + r + Linear.of(panel.group.lower) * -1
        return (
            row * (plan.panels * plan.width) + panel.local * plan.width + Linear.of(v) * plan.lanes
        )

    def _finish_panel_from_sums(self, panel: _Panel) -> None:
        """The epilogue of all rows of a task, from the sums in memory."""
        frames = [self._column_frame(panel, v) for v in range(panel.vectors)]

        def row(i: Value) -> None:
            for v, frame in enumerate(frames):
                at = self._sum_at(panel, i, 0, v)
                value = self.b.vector_load(self.sums[-1], [at], self.plan.lanes)
                self._finish(frame, Linear.of(i), value)

        self._loop(panel.group.lower, panel.group.upper, 1, row)

    def _finish_rows(self, panel: _Panel, i: Value, rows: int, base: Linear) -> None:
        """The epilogue of a tile as a loop over its rows."""
        frames = [self._column_frame(panel, v) for v in range(panel.vectors)]

        def row(r: Value) -> None:
            for v, frame in enumerate(frames):
                at = Linear.of(r) * self.plan.width + v * self.plan.lanes + base
                value = self.b.vector_load(self.sums[-1], [at], self.plan.lanes)
                self._finish(frame, Linear.of(i) + r, value)

        self._loop(0, rows, 1, row)

    def _column_frame(self, panel: _Panel, v: int) -> Frame:
        """What the epilogue computes from the columns alone."""
        shape, plan = self.shape, self.plan
        lanes = Lanes(shape.n, plan.lanes, panel.mask_of(v))
        places: dict[int, Subscript] = {**panel.group.known}
        places[shape.n] = panel.column + v * plan.lanes
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
    """A task's part: rows from `lower` to `upper`, and panels from `first` on."""

    known: dict[int, Linear]
    lower: Value
    upper: Value
    first: Value


@dataclass(frozen=True)
class _Panel:
    """`columns` columns from `column` on, in `vectors` vectors; number `local` of its task."""

    group: _Group
    column: Linear
    local: Linear
    vectors: int
    columns: int
    mask: Value | None

    def mask_of(self, v: int) -> Value | None:
        """The mask of a vector: only the last has one."""
        return self.mask if v == self.vectors - 1 else None


def _static(bound: Subscript) -> Subscript:
    """A bound that is a known number as that number."""
    linear = Linear.of(bound)
    return bound if linear.terms else linear.constant
