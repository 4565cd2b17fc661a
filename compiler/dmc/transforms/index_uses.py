"""Where operations index tensors with what is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dmc.dialects import tensor
from dmc.ir import Operation, Value, shape_of


def indexes_of(op: Operation) -> Iterator[tuple[Value, int]]:
    """The indexes that an operation uses, and the size that each must stay below."""
    match op:
        case tensor.Gather() | tensor.Scatter():
            shape = shape_of(op.operands[0].type)
            for index, axis in zip(op.index_operands, op.start_index_map, strict=True):
                yield index, shape[axis]
        case tensor.Extract():
            yield from zip(op.indices, shape_of(op.operand.type), strict=True)
        case tensor.DynamicSlice():
            yield from _starts(op.start_indices, shape_of(op.operand.type), op.slice_sizes)
        case tensor.DynamicUpdateSlice():
            taken = shape_of(op.update.type)
            yield from _starts(op.start_indices, shape_of(op.input.type), taken)
        case _:
            pass


def _starts(
    starts: Sequence[Value], shape: Sequence[int], taken: Sequence[int]
) -> Iterator[tuple[Value, int]]:
    for start, size, length in zip(starts, shape, taken, strict=True):
        yield start, size - length + 1
