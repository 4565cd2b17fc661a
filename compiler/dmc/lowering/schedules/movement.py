"""Copies: whole buffers, windows into buffers, and concatenation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dmc.dialects import arith, kernel
from dmc.dialects.loop import strides_of
from dmc.ir.operation import Block, Operation, Value
from dmc.ir.types import DType, MemRefType, TensorType
from dmc.lowering.loop_builder import Linear, LoopBuilder
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.body import clamp
from dmc.lowering.schedules.elementwise import emit_map
from dmc.lowering.schedules.nest import Access, Nest


def move(
    b: LoopBuilder,
    machine: Machine,
    sizes: Sequence[int],
    source: Access,
    target: Access,
    parallel: bool,
) -> None:
    """Copy an element (or one scalar) for every point of `sizes`."""
    block = Block([TensorType((), target.dtype)])
    block.insert(kernel.Yield(block.args))
    nest = Nest(tuple(sizes), len(sizes), (source,), (target,), block)
    emit_map(b, machine, nest, parallel)


def memref_type(value: Value) -> MemRefType:
    """The type of a buffer."""
    assert isinstance(value.type, MemRefType)
    return value.type


def whole(b: LoopBuilder, memref: Value) -> Access:
    """All elements of a contiguous buffer, by its own axes."""
    return Access(b.flat(memref), strides_of(memref_type(memref)))


def copy(b: LoopBuilder, machine: Machine, source: Value, target: Value, parallel: bool) -> None:
    """Copy a buffer into one of the same shape, or a scalar into every element."""
    sizes = memref_type(target).shape
    scalar = not isinstance(source.type, MemRefType)
    read = Access(source, (0,) * len(sizes)) if scalar else whole(b, source)
    move(b, machine, sizes, read, whole(b, target), parallel)


def emit_copy(
    b: LoopBuilder,
    machine: Machine,
    op: Operation,
    buffers: list[Value],
    captured: Mapping[Value, Value],
    parallel: bool,
) -> None:
    """`kernel.copy`."""
    copy(b, machine, buffers[0], buffers[1], parallel)


def emit_concatenate(
    b: LoopBuilder,
    machine: Machine,
    op: Operation,
    buffers: list[Value],
    captured: Mapping[Value, Value],
    parallel: bool,
) -> None:
    """`kernel.concatenate`: one copy for each part."""
    assert isinstance(op, kernel.Concatenate)
    *parts, target = buffers
    strides = strides_of(memref_type(target))
    flat = b.flat(target)
    start = 0
    for part in parts:
        sizes = memref_type(part).shape
        place = Access(flat, strides, Linear((), start * strides[op.axis]))
        move(b, machine, sizes, whole(b, part), place, parallel)
        start += sizes[op.axis]


def emit_update_window(
    b: LoopBuilder,
    machine: Machine,
    op: Operation,
    buffers: list[Value],
    captured: Mapping[Value, Value],
    parallel: bool,
) -> None:
    """`kernel.update_window` of a target that is the output's buffer already."""
    assert isinstance(op, kernel.UpdateWindow)
    _, update, *subscripts, output = buffers
    type_ = memref_type(output)
    sizes = memref_type(update).shape if isinstance(update.type, MemRefType) else ()
    strides = strides_of(type_)
    offset = Linear()
    for subscript, stride, outer, inner in zip(
        subscripts, strides, type_.shape, sizes, strict=True
    ):
        wide = arith.convert(b.builder, subscript, DType.I64)
        offset = offset + Linear.of(clamp(b, wide, outer - inner + 1)) * stride
    place = Access(b.flat(output), strides, offset)
    joins = op.combiner != kernel.OVERWRITE
    if not isinstance(update.type, MemRefType):
        if joins:
            old = b.load(place.buffer, [offset])
            update = b.insert(kernel.COMBINE[op.combiner]([old, update])).results[0]
        b.store(update, place.buffer, [offset])
    elif joins:
        element = TensorType((), type_.dtype)
        block = Block([element, element])
        joined = kernel.COMBINE[op.combiner](block.args)
        block.insert(joined)
        block.insert(kernel.Yield(joined.results))
        reads = (place, whole(b, update))
        emit_map(b, machine, Nest(sizes, len(sizes), reads, (place,), block), parallel)
    else:
        move(b, machine, sizes, whole(b, update), place, parallel)
