"""Scatter: points in row-major order, each joining its value to one element of the target.

Where the last dimension of the points is the last axis of the target (rows added to chosen rows),
it runs along the lanes: its points never meet.
"""

from __future__ import annotations

from collections.abc import Mapping

from dmc.dialects import arith, kernel
from dmc.dialects.loop import INDEX, strides_of
from dmc.ir.operation import Operation, Value
from dmc.lowering.loop_builder import Linear, LoopBuilder, Subscript
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.body import Body, Frame, Lanes, spread
from dmc.lowering.schedules.elementwise import vector_blocks
from dmc.lowering.schedules.movement import memref_type
from dmc.lowering.schedules.nest import Nest, access_through
from dmc.lowering.schedules.plan import lanes_for
from dmc.lowering.schedules.reduction import COMBINE


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
        _Scatter(b, machine, op, buffers, captured).emit()


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
        self.subscripts = self.body.yielded[:-1]
        self.flat = b.flat(self.output)

    def emit(self) -> None:
        self._loops(0, self.body.enter(Frame(), {}))

    def _loops(self, dimension: int, frame: Frame) -> None:
        size = self.op.space[dimension] if dimension < len(self.op.space) else 0
        lanes = lanes_for(self.machine, self.nest)
        if dimension == len(self.op.space):
            self._join(frame)
        elif dimension == len(self.op.space) - 1 and lanes > 1 and self._is_row(dimension):

            def block(i: Subscript, each: Lanes) -> None:
                self._join(self.body.enter(frame, {dimension: i}, each))

            vector_blocks(self.b, self.machine, dimension, size, lanes, (0, size), block)
        else:

            def step(i: Value, _: list[Value]) -> list[Value]:
                self._loops(dimension + 1, self.body.enter(frame, {dimension: i}))
                return []

            self.b.for_(0, size, step)

    def _is_row(self, dimension: int) -> bool:
        """Whether the last axis of the target is a dimension on which nothing else depends."""
        if not self.subscripts:
            return False
        *others, last = self.subscripts
        if self._plain(last, len(others)) != dimension:
            return False
        return not any(dimension in self.body.dims_of(v) for v in others)

    def _plain(self, subscript: Value, axis: int) -> int | None:
        """The dimension that a subscript simply is, when that stays inside the axis."""
        op = subscript.defining_op
        if not isinstance(op, kernel.Index):
            return None
        return op.dim if self.op.space[op.dim] <= memref_type(self.output).shape[axis] else None

    def _join(self, frame: Frame) -> None:
        """One point, or one for each lane."""
        b = self.b
        type_ = memref_type(self.output)
        inside: Value | None = None
        place = Linear()
        for axis, (subscript, stride) in enumerate(
            zip(self.subscripts, strides_of(type_), strict=True)
        ):
            dimension = self._plain(subscript, axis)
            if dimension is not None:
                place = place + frame.positions[dimension] * stride
                continue
            at = frame.values[subscript]
            above = arith.compare(b.builder, arith.Direction.GE, at, b.index(0))
            extent = b.constant(type_.shape[axis], INDEX)
            below = arith.compare(b.builder, arith.Direction.LT, at, extent)
            both = arith.logical_and(b.builder, above, below)
            inside = both if inside is None else arith.logical_and(b.builder, inside, both)
            place = place + Linear.of(at) * stride

        def write() -> list[Value]:
            self._write(frame, place)
            return []

        if inside is None:
            write()
        else:
            b.if_(inside, write)

    def _write(self, frame: Frame, place: Linear) -> None:
        b = self.b
        lanes = frame.lanes.count if frame.lanes is not None else 1
        mask = frame.lanes.mask if frame.lanes is not None else None
        value = spread(b, self.body.outputs(frame)[-1], lanes)
        if self.op.combiner != kernel.OVERWRITE:
            combine = COMBINE[self.op.combiner]
            if lanes == 1:
                old = b.load(self.flat, [place])
            else:
                old = b.vector_load(self.flat, [place], lanes, mask=mask)
            value = b.insert(combine([old, value])).results[0]
        if lanes == 1:
            b.store(value, self.flat, [place])
        else:
            b.vector_store(value, self.flat, [place], mask=mask)
