"""What batch rules share: values over map axes, brought to common axes.

The axes that a value carries lead its shape in ascending order (`dmc.ir.Batched`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dmc.dialects.tensor.base import rank_of
from dmc.dialects.tensor.shape import broadcast_in_dim, transpose
from dmc.ir import Batched, Builder, Value, shape_of


def axis_sizes(operands: Iterable[Batched]) -> dict[int, int]:
    """The size of every map axis that some operand carries."""
    return {
        axis: shape_of(item.value.type)[place]
        for item in operands
        for place, axis in enumerate(item.axes)
    }


def union(operands: Iterable[Batched]) -> tuple[int, ...]:
    """All map axes that some operand carries, ascending."""
    return tuple(sorted({axis for item in operands for axis in item.axes}))


def point_shape(item: Batched) -> tuple[int, ...]:
    """The shape of the value at one point."""
    return shape_of(item.value.type)[len(item.axes) :]


def align(builder: Builder, item: Batched, axes: Sequence[int], sizes: Mapping[int, int]) -> Value:
    """The value with all of `axes` (ascending) leading its shape, repeated along missing ones."""
    if item.axes == tuple(axes):
        return item.value
    shape = (*(sizes[axis] for axis in axes), *point_shape(item))
    lead = len(axes)
    inner = rank_of(item.value) - len(item.axes)
    dims = (*(axes.index(axis) for axis in item.axes), *range(lead, lead + inner))
    return broadcast_in_dim(builder, item.value, shape, dims)


def align_all(builder: Builder, operands: Sequence[Batched]) -> tuple[list[Value], tuple[int, ...]]:
    """All operands with the union of their axes, and that union."""
    axes, sizes = union(operands), axis_sizes(operands)
    return [align(builder, item, axes, sizes) for item in operands], axes


def arrange(builder: Builder, value: Value, labels: Sequence[int], wanted: Sequence[int]) -> Value:
    """Transpose `value`, whose axes carry distinct `labels`, to the order `wanted`."""
    return transpose(builder, value, [labels.index(label) for label in wanted])
