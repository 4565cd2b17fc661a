"""Nests of two loops along antidiagonals: cells of neighbouring rows in the lanes of vectors.

Strips of rows one after the other; within one, antidiagonal by antidiagonal, from top to bottom. A
vector of cells runs the operations of a cell one by one, in the program's order. What the inner
loop carries in a register is an array here, with an element for each row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dmc.dialects import arith, kernel
from dmc.dialects.elementwise import splat_of
from dmc.dialects.kernel import OVERWRITE
from dmc.dialects.loop import strides_of
from dmc.ir.declarations import Trait
from dmc.ir.operation import Block, Operation, Value
from dmc.ir.types import DType, MemRefType, ScalarType, dtype_of, shape_of
from dmc.lowering.carried import Carried, scanned_part
from dmc.lowering.loop_builder import Linear, clone_elementwise, lanes_of
from dmc.lowering.schedules.body import Frame, Lanes, clamp, load, mask_of, spread, store
from dmc.lowering.schedules.domain import larger, smaller
from dmc.lowering.schedules.nest import Access
from dmc.lowering.statements import Statements
from dmc.lowering.wavefront_plan import Form, Nest, needed, strips

_LANES = 0
"""The dimension along the lanes: rows, in the order in which they run."""


def lower_nest(s: Statements, nest: Nest, polls: bool) -> None:
    """A loop that `recognize` has made a nest of."""
    outer, inner = nest.outer, nest.inner
    carried = Carried(s, outer.inits, outer.finals)
    whole = [s.place(v) for v in outer.stacks]
    rows, columns = nest.sizes
    dtypes = [dtype_of(inner.inits[k].type) for k in nest.states]
    states = [s.buffers.fresh(MemRefType((rows,), dtype)) for dtype in dtypes]
    memory = dict(zip(outer.carried_args, carried.held, strict=True))
    memory.update(zip(outer.scanned_args, (s.values[v] for v in outer.scanned), strict=True))
    scalars = _Rows(s, nest, carried, whole, states)
    scalars.begin()
    cells = _Cells(s, nest, memory, dict(zip(outer.stacked_values, whole, strict=True)), states)
    count, height = strips(rows)

    def strip(number: Value, _: list[Value]) -> list[Value]:
        first = Linear.of(number) * height
        past = smaller(s.b, first + height, Linear((), rows))

        def antidiagonal(d: Value, _: list[Value]) -> list[Value]:
            if polls:
                s.b.poll()
            start = first + larger(s.b, Linear(), Linear.of(d) + (1 - columns))
            stop = smaller(s.b, past, first + Linear.of(d) + 1)
            cells.along(start, stop, Linear.of(d) + first)
            return []

        s.b.for_(0, past + first * -1 + (columns - 1), antidiagonal)
        return []

    s.b.for_(0, count, strip)
    s.set(outer, [*scalars.end(), *whole])


class _Rows:
    """What runs once a row, before its cells and after them."""

    def __init__(
        self,
        s: Statements,
        nest: Nest,
        carried: Carried,
        whole: Sequence[Value],
        states: Sequence[Value],
    ) -> None:
        self.s, self.nest, self.carried, self.whole = s, nest, carried, whole
        self.states = states

    def _enter(self, number: Value, registers: Sequence[Value]) -> Value:
        """Run what precedes the cells of a row; the index of the row."""
        s, outer = self.s, self.nest.outer
        last = outer.trip_count - 1
        at = s.b.index(Linear.of(number) * -1 + last) if outer.reverse else number
        s.values[outer.index] = at
        self.carried.bind(outer.carried_args, registers)
        for arg, value in zip(outer.scanned_args, outer.scanned, strict=True):
            s.values[arg] = scanned_part(s, arg, value, s.values[value], at)
        for op in self.nest.before:
            s.operation(op)
        return at

    def begin(self) -> None:
        """What the inner loop carries in registers, as every row begins."""
        inner = self.nest.inner

        def row(number: Value, _: list[Value]) -> list[Value]:
            at = self._enter(number, self.carried.registers)
            for k, state in zip(self.nest.states, self.states, strict=True):
                init = self.s.values[inner.inits[k]]
                first = self.s.b.constant(0.0, init.type) if k in self.nest.sums else init
                self.s.b.store(first, state, [at])
            return []

        if self.states:
            self.s.b.for_(0, self.nest.sizes[0], row)

    def end(self) -> list[Value]:
        """What the rows make of their cells; what the outer loop leaves of what it carries."""
        s, outer, inner = self.s, self.nest.outer, self.nest.inner
        for v in inner.finals:
            if v in self.nest.tables:
                place = outer.carried_args.index(self.nest.tables[v])
                s.values[v] = self.carried.held[place]

        def row(number: Value, registers: list[Value]) -> list[Value]:
            at = self._enter(number, registers)
            for k, state in zip(self.nest.states, self.states, strict=True):
                final = s.b.load(state, [at])
                before = self.nest.sums.get(k)
                if before is not None:
                    final = arith.add(s.b.builder, s.values[before], final)
                s.values[inner.finals[k]] = final
            slices = [s.slice(stack, [at]) for stack in self.whole]
            with s.iteration([*(None for _ in outer.inits), *slices]):
                for op in self.nest.after:
                    s.operation(op)
            for value, part in zip(outer.stacked_values, slices, strict=True):
                if value not in inner.stacks:
                    s.copy(s.values[value], part)
            return self.carried.advance([s.values[v] for v in outer.next_values])

        idle = not self.nest.after and not self.states
        if idle and all(v in inner.stacks for v in outer.stacked_values):
            return self.carried.results(self.carried.registers)
        finals = s.b.for_(0, self.nest.sizes[0], row, self.carried.registers)
        return self.carried.results(finals)


@dataclass
class _Vector:
    """Cells in the lanes: the index of each loop in the first, and by how much it grows."""

    frame: Frame
    lanes: Lanes
    indexes: tuple[Linear, Linear]
    steps: tuple[int, int]
    values: dict[Value, Value] = field(default_factory=dict[Value, Value])

    def at(self, form: Form) -> tuple[Linear, int]:
        """A form in the first lane, and by how much it grows from lane to lane."""
        (i, j), (row, column) = self.indexes, self.steps
        first = i * form.row + j * form.column + form.constant
        return first, form.row * row + form.column * column


class _Cells:
    """Emits vectors of cells."""

    def __init__(
        self,
        s: Statements,
        nest: Nest,
        memory: Mapping[Value, Value],
        stacks: Mapping[Value, Value],
        states: Sequence[Value],
    ) -> None:
        self.s, self.b, self.nest = s, s.b, nest
        self.memory, self.states = memory, states
        pairs = zip(nest.inner.stacks, nest.inner.stacked_values, strict=True)
        self.stacked = [(value, stacks[stack]) for stack, value in pairs if stack in stacks]
        self.operations = list(needed(nest))
        self.count = nest.lanes(s.machine)

    def along(self, start: Linear, stop: Linear, diagonal: Linear) -> None:
        """The cells of an antidiagonal in the rows from `start` up to `stop`."""
        b, count = self.b, self.count
        length = b.index(stop + start * -1)
        vectors = arith.floor_divide(b.builder, length, b.index(count))
        middle = start + Linear.of(vectors) * count

        def full(row: Value) -> None:
            self._run(Linear.of(row), diagonal, Lanes(_LANES, count))

        def masked(row: Value) -> None:
            mask = b.tail_mask(stop + Linear.of(row) * -1, count)
            self._run(Linear.of(row), diagonal, Lanes(_LANES, count, mask))

        def single(row: Value) -> None:
            self._run(Linear.of(row), diagonal, Lanes(_LANES, 1))

        b.each(start, middle, count, full)
        if self.s.machine.has_masks:
            b.each(middle, stop, count, masked)
        else:
            b.each(middle, stop, 1, single)

    def _run(self, row: Linear, diagonal: Linear, lanes: Lanes) -> None:
        """All operations on the cells from `row` on, down and to the left."""
        indexes = row, diagonal + row * -1
        steps = 1, -1
        if self.nest.outer.reverse:
            rows, columns = self.nest.sizes
            indexes = indexes[0] * -1 + (rows - 1), indexes[1] * -1 + (columns - 1)
            steps = -1, 1
        at = _Vector(Frame({_LANES: row}, {}, lanes), lanes, indexes, steps)
        inner = self.nest.inner
        for arg, value in zip(inner.scanned_args, inner.scanned, strict=True):
            at.values[arg] = load(self.b, self._of_slice(at, value, Form(0, 1)), at.frame)
        held = [self._access(at, state, [Form(1, 0)]) for state in self.states]
        for k, access in zip(self.nest.states, held, strict=True):
            at.values[inner.carried_args[k]] = load(self.b, access, at.frame)
        for op in self.operations:
            with self.b.builder.at(op.location.by(self.b.location.producer)):
                self._operation(at, op)
        for value, table in self.stacked:
            target = self._access(at, table, [Form(1, 0), Form(0, 1)])
            store(self.b, self._value(at, value), target, at.frame)
        for k, access in zip(self.nest.states, held, strict=True):
            store(self.b, self._value(at, inner.next_values[k]), access, at.frame)

    # Memory

    def _access(self, at: _Vector, memref: Value, forms: Sequence[Form]) -> Access:
        """An element of a buffer for each lane."""
        type_ = memref.type
        assert isinstance(type_, MemRefType)
        whole = Form()
        for form, stride in zip(forms, strides_of(type_), strict=True):
            whole = whole.plus(form, stride)
        first, step = at.at(whole)
        row = at.frame.positions[_LANES]
        return Access(self.b.flat(memref), (step,), first + row * -step)

    def _of_slice(self, at: _Vector, value: Value, *forms: Form) -> Access:
        """An element of what a row takes of a scanned tensor, or of a tensor from outside."""
        if value in self.nest.outer.scanned_args:
            return self._access(at, self.memory[value], [Form(1, 0), *forms])
        return self._access(at, self.s.values[value], forms)

    def _load(self, at: _Vector, op: kernel.Load) -> Value:
        table = self.nest.tables.get(op.source)
        forms = [self.nest.form(v) for v in op.subscripts]
        known = [form for form in forms if form is not None]
        if table is not None:
            return load(self.b, self._access(at, self.memory[table], known), at.frame)
        if op.in_bounds and len(known) == len(forms):
            return load(self.b, self._of_slice(at, op.source, *known), at.frame)
        return self._gather(at, op)

    def _gather(self, at: _Vector, op: kernel.Load) -> Value:
        """Elements at subscripts that the cells compute."""
        b = self.b
        shape, access = shape_of(op.source.type), self._of_slice(at, op.source, *_corner(op))
        strides = strides_of(MemRefType(shape, dtype_of(op.source.type)))
        offset: Value | None = None
        for v, extent, stride in zip(op.subscripts, shape, strides, strict=True):
            place = arith.convert(b.builder, self._value(at, v), DType.I64)
            place = place if op.in_bounds else clamp(b, place, extent)
            place = arith.multiply(b.builder, place, b.constant(stride, place.type))
            if offset is not None:
                count = max(lanes_of(offset), lanes_of(place))
                place = arith.add(b.builder, *(spread(b, v, count) for v in (offset, place)))
            offset = place
        assert offset is not None
        row = at.frame.positions[_LANES]
        first = access.offset + row * access.strides[0]
        count = at.lanes.count
        if count == 1:
            return b.load(access.buffer, [first + Linear.of(offset)])
        offsets = spread(b, offset, count)
        if access.strides[0]:
            offsets = arith.add(b.builder, offsets, b.iota(count, access.strides[0]))
        return b.gather(access.buffer, [first], offsets, mask_of(b, at.lanes, count))

    def _update(self, at: _Vector, op: kernel.Store) -> None:
        forms = [form for v in op.subscripts if (form := self.nest.form(v)) is not None]
        access = self._access(at, self.memory[self.nest.tables[op.target]], forms)
        value = self._value(at, op.value)
        if op.combiner != OVERWRITE:
            there = load(self.b, access, at.frame)
            value = arith.add(self.b.builder, there, spread(self.b, value, lanes_of(there)))
        store(self.b, value, access, at.frame)

    # Values

    def _value(self, at: _Vector, value: Value) -> Value:
        """A value of the cells; a form of their indexes where it is computed with."""
        found = at.values.get(value)
        if found is not None:
            return found
        if value in self.nest.outer.scanned_args:
            made = load(self.b, self._of_slice(at, value), at.frame)
        elif value in self.nest.forms:
            first, step = at.at(self.nest.forms[value])
            made = self.b.index(first)
            if at.lanes.count > 1:
                numbers = self.b.iota(at.lanes.count, step)
                made = arith.add(self.b.builder, spread(self.b, made, at.lanes.count), numbers)
        else:
            return self.s.values[value]
        at.values[value] = made
        return made

    def _operation(self, at: _Vector, op: Operation) -> None:
        match op:
            case kernel.Load():
                at.values[op.output] = self._load(at, op)
            case kernel.Store():
                self._update(at, op)
            case arith.Constant():
                number, type_ = splat_of(op.result), ScalarType(dtype_of(op.result.type))
                assert number is not None
                at.values[op.result] = self.b.constant(number, type_)
            case kernel.Generic():
                self._point(at, op)
            case _:
                self._elementwise(at, op)

    def _elementwise(self, at: _Vector, op: Operation) -> None:
        operands = [self._value(at, v) for v in op.operands]
        lanes = max((lanes_of(v) for v in operands), default=1)
        made = clone_elementwise(self.b, op, [spread(self.b, v, lanes) for v in operands])
        at.values.update(zip(op.results, made, strict=True))

    def _point(self, at: _Vector, op: kernel.Generic) -> None:
        """A kernel of one point."""

        def run(block: Block, given: Sequence[Value]) -> list[Value]:
            at.values.update(zip(block.args, given, strict=True))
            for each in block:
                if not each.has(Trait.TERMINATOR):
                    self._operation(at, each)
            return [at.values[v] for v in block.terminator.operands]

        inner = run(op.body, [self._value(at, v) for v in op.operands])
        at.values.update(zip(op.results, run(op.epilogue, inner), strict=True))


def _corner(op: kernel.Load) -> list[Form]:
    """The first element."""
    return [Form() for _ in op.subscripts]
