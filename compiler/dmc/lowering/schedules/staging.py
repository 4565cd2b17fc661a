"""Short rows reduced as one, whatever is read along them.

Where rows are too short to fill the accumulators, the elements of several reduced dimensions are
combined as those of one, so that vectors run over the ends of rows. What an operand that is not one
along these dimensions gives (it is the same for all rows, say, or all along a row), and subscripts
that are computed with, are first written into a buffer in the first cache, some rows at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dmc.dialects import arith, kernel
from dmc.ir.affine_set import AffineSet
from dmc.ir.operation import Value
from dmc.ir.types import dtype_of
from dmc.lowering.loop_builder import Linear, LoopBuilder, Subscript
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.body import Body, Entry, Frame, Lanes, load, spread
from dmc.lowering.schedules.elementwise import vector_blocks
from dmc.lowering.schedules.nest import Access, Nest

MOST_BITS = 8
"""Exponents of so many bits are taken apart in each lane."""


@dataclass(frozen=True)
class _Staged:
    """A value of a body that is read from a buffer instead."""

    value: Value
    along: frozenset[int]
    buffer: Access


class Staging:
    """Buffers for `rows` rows of the last `joined` dimensions of a nest, which become one."""

    def __init__(
        self, b: LoopBuilder, machine: Machine, nest: Nest, joined: int, lanes: int, rows: int
    ) -> None:
        self.b = b
        self.machine = machine
        self.nest = nest
        self.lanes = lanes
        self.dims = list(range(len(nest.sizes)))[-joined:]
        self.row = nest.sizes[-1]
        self.rows = min(rows, math.prod(nest.sizes[d] for d in self.dims[:-1]))
        self.whole = Body(b, nest, nest.body, nest.inputs)
        self.staged = [self._buffer(value) for value in self._apart()]
        buffers = {each.value: each.buffer for each in self.staged}
        self.flat = nest.flattened(joined)
        pairs = zip(nest.body.args, self.flat.inputs, strict=True)
        inputs = tuple(buffers.get(arg, own) for arg, own in pairs)
        # All points are visited: those that do not count change nothing.
        self.flat = replace(self.flat, inputs=inputs, domain=AffineSet())
        # Powers by numbers that are read take all their squares along, so few are cheaper.
        exponents = {
            op: each
            for op, each in self.whole.exponents.items()
            if isinstance(op.operands[1].defining_op, arith.Convert)
            and each.most.bit_length() <= MOST_BITS
        }
        self.body = Body(
            b, self.flat, nest.body, self.flat.inputs, 0, frozenset(buffers), exponents
        )

    def _apart(self) -> list[Value]:
        """What has no flat subscript: operands that are not one, and subscripts themselves."""
        nest = self.nest
        pairs = zip(nest.body.args, nest.inputs, strict=True)
        operands = [arg for arg, access in pairs if not nest.is_one(access, self.dims)]
        subscripts = [op for op in nest.body if isinstance(op, kernel.Index)]
        return [
            *operands,
            *(op.output for op in subscripts if nest.index_of[op.dim] in self.dims),
        ]

    def _buffer(self, value: Value) -> _Staged:
        # A vector may be written over the end of the last row.
        size = self.rows * self.row + self.lanes
        buffer = self.b.alloca((size,), dtype_of(value.type))
        strides = (*[0] * (len(self.nest.sizes) - len(self.dims)), 1)
        return _Staged(value, self.whole.dims_of(value), Access(buffer, strides))

    def begin(self) -> None:
        """Write what every row has in common."""
        common = [each for each in self.staged if each.along <= {self.dims[-1]}]
        self._fill(common, Frame(), self.b.index(0), self.b.index(self.rows))

    def fill(self, frame: Frame, first: Value, past: Value) -> None:
        """Write the rows of elements from `first` to `past`, both at the beginning of a row."""
        b, row = self.b, self.b.index(self.row)
        staged = [each for each in self.staged if not each.along <= {self.dims[-1]}]
        low, high = (arith.divide(b.builder, at, row) for at in (first, past))
        self._fill(staged, frame, low, high)

    def _fill(self, staged: Sequence[_Staged], frame: Frame, low: Value, high: Value) -> None:
        """Write the rows from number `low` to `high`, each over what the one before left over."""

        def write(number: Value, _: list[Value]) -> list[Value]:
            known = {**frame.positions, **self._places(number)}
            start = (Linear.of(number) + Linear.of(low) * -1) * self.row
            for each in staged:
                self._write(each, known, start)
            return []

        if staged:
            self.b.for_(low, high, write)

    def _write(self, staged: _Staged, known: dict[int, Linear], start: Linear) -> None:
        b, last = self.b, self.dims[-1]
        buffer = staged.buffer.buffer

        def block(j: Subscript, lanes: Lanes) -> None:
            frame = Frame({**known, last: Linear.of(j)}, {}, lanes)
            value = self.whole.element(frame, staged.value)
            at = start + j
            if lanes.count == 1:
                b.store(value, buffer, [at])
            else:
                b.vector_store(spread(b, value, lanes.count), buffer, [at])

        if last in staged.along:
            vector_blocks(b, self.machine, last, self.row, self.lanes, (0, self.row), block)
            return
        frame = Frame(known)
        value = spread(b, self.whole.element(frame, staged.value), self.lanes)
        for j in range(0, self.row, self.lanes):
            b.vector_store(value, buffer, [start + j])

    def _places(self, number: Value) -> dict[int, Linear]:
        """The subscripts of row `number`."""
        b, outer = self.b, self.dims[:-1]
        places: dict[int, Linear] = {}
        for i, d in enumerate(outer):
            rest = math.prod(self.nest.sizes[e] for e in outer[i + 1 :])
            digit = number if rest == 1 else arith.divide(b.builder, number, b.index(rest))
            if i:
                digit = arith.remainder(b.builder, digit, b.index(self.nest.sizes[d]))
            places[d] = Linear.of(digit)
        return places

    def enter(
        self, frame: Frame, first: Value, places: Sequence[tuple[Subscript, Lanes]]
    ) -> list[Frame]:
        """The vectors of elements at some places, where the buffers begin with `first`."""
        entries: list[Entry] = []
        for at, lanes in places:
            place = Linear.of(at) + Linear.of(first) * -1
            read = Frame({lanes.dimension: place}, {}, lanes)
            values = {each.value: load(self.b, each.buffer, read) for each in self.staged}
            known = Frame(frame.positions, {**frame.values, **values}, frame.lanes)
            entries.append(Entry(known, {lanes.dimension: at}, lanes))
        return self.body.enter_all(entries)
