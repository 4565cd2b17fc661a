"""Scatter: points in row-major order, each joining its value to one element of the target."""

from __future__ import annotations

from collections.abc import Mapping

from dmc.dialects import arith, kernel
from dmc.dialects.loop import INDEX, strides_of
from dmc.ir.operation import Operation, Value
from dmc.lowering.loop_builder import LoopBuilder
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.body import Body, Frame
from dmc.lowering.schedules.movement import memref_type
from dmc.lowering.schedules.nest import Nest, access_through
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
    _, *mapped, output = buffers
    if 0 in op.space:
        return
    inputs = tuple(access_through(b, v, m) for v, m in zip(mapped, op.affine_maps, strict=True))
    count = len(op.space)
    nest = Nest(
        op.space, count, inputs, (), op.body, index_of=tuple(range(count)), captured=captured
    )
    body = Body(b, nest, op.body, inputs)
    type_ = memref_type(output)
    flat = b.flat(output)

    def join(frame: Frame) -> None:
        *subscripts, value = body.outputs(frame)
        inside: Value | None = None
        offset = b.index(0)
        for at, extent, stride in zip(subscripts, type_.shape, strides_of(type_), strict=True):
            above = arith.compare(b.builder, arith.Direction.GE, at, b.index(0))
            below = arith.compare(b.builder, arith.Direction.LT, at, b.constant(extent, INDEX))
            both = arith.logical_and(b.builder, above, below)
            inside = both if inside is None else arith.logical_and(b.builder, inside, both)
            step = arith.multiply(b.builder, at, b.constant(stride, INDEX))
            offset = arith.add(b.builder, offset, step)

        def write() -> list[Value]:
            joined = value
            if op.combiner != kernel.OVERWRITE:
                joined = b.insert(COMBINE[op.combiner]([b.load(flat, [offset]), value])).results[0]
            b.store(joined, flat, [offset])
            return []

        if inside is None:
            write()
        else:
            b.if_(inside, write)

    def loops(dimension: int, frame: Frame) -> None:
        if dimension == count:
            join(frame)
            return

        def step(i: Value, _: list[Value]) -> list[Value]:
            loops(dimension + 1, body.enter(frame, {dimension: i}))
            return []

        b.for_(0, op.space[dimension], step)

    loops(0, body.enter(Frame(), {}))
