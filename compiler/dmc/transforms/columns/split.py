"""Tensors as columns: one tensor over the long axes for each point of the short ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from dmc.dialects import arith, tensor
from dmc.dialects.elementwise import constant_array, splat_of
from dmc.ir import (
    Array,
    Builder,
    Interpreter,
    Operation,
    TensorType,
    Trait,
    Value,
    dtype_of,
    shape_of,
)

MOST_AXIS = 16
"""Axes of at most so many elements are short."""

MOST_COLUMNS = 64
"""A tensor is at most so many columns."""

Point = tuple[int, ...]
"""A subscript for each short axis."""


@dataclass(frozen=True)
class Split:
    """The axes of a shape."""

    shape: tuple[int, ...]
    long: tuple[int, ...]
    """Those that a column has."""
    short: tuple[int, ...]
    """Those that are written out."""

    @staticmethod
    def of(shape: Sequence[int]) -> Split:
        long = tuple(d for d, n in enumerate(shape) if n > MOST_AXIS)
        short = tuple(d for d, n in enumerate(shape) if n <= MOST_AXIS)
        return Split(tuple(shape), long, short)

    @property
    def lanes(self) -> tuple[int, ...]:
        """The shape of a column."""
        return tuple(self.shape[d] for d in self.long)

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(self.shape[d] for d in self.short)

    @property
    def count(self) -> int:
        return prod(self.sizes)

    @property
    def points(self) -> list[Point]:
        """In row-major order, which is that of columns."""
        return list(np.ndindex(*self.sizes))

    def number(self, point: Sequence[int]) -> int:
        """The column of a point."""
        return int(np.ravel_multi_index(tuple(point), self.sizes)) if self.sizes else 0

    def whole(self, point: Sequence[int], along: Sequence[int]) -> list[int]:
        """A number for each axis: those of `point` for short ones, those of `along` for others."""
        found = dict(zip(self.short, point, strict=True))
        found.update(zip(self.long, along, strict=True))
        return [found[d] for d in range(len(self.shape))]


def split_of(value: Value) -> Split:
    """How the shape of `value` is split."""
    return Split.of(shape_of(value.type))


def has_columns(value: Value) -> bool:
    """Whether `value` is a tensor of a few columns."""
    return isinstance(value.type, TensorType) and 0 < split_of(value).count <= MOST_COLUMNS


class Columns:
    """The values of a block that are written out, and those that are asked for."""

    def __init__(self) -> None:
        self._columns: dict[Value, list[Value]] = {}
        self._whole: dict[Value, Value] = {}
        self._numbers: dict[Value, Array | None] = {}

    def set(self, value: Value, columns: Sequence[Value]) -> None:
        """Say what the columns of `value` are; they take its name."""
        self._columns[value] = list(columns)
        for i, column in enumerate(columns):
            if value.name and not column.name:
                column.name = f"{value.name}_{i}" if len(columns) > 1 else value.name

    def known(self, value: Value) -> list[Value] | None:
        """The columns of what was written out."""
        return self._columns.get(value)

    def of(self, builder: Builder, value: Value) -> list[Value]:
        """The columns of `value`, taken out of it where it is whole."""
        found = self._columns.get(value)
        if found is None:
            found = self._taken(builder, value)
            if splat_of(value) is None:
                self._columns[value] = found
                self._whole[value] = value
        return found

    def _taken(self, builder: Builder, value: Value) -> list[Value]:
        split = split_of(value)
        type_ = TensorType(split.lanes, dtype_of(value.type))
        splat = splat_of(value)
        if splat is not None:
            return [arith.constant(builder, splat, type_)] * split.count
        if not split.long:
            known = self._elements(value)
            if known is not None:
                return [arith.constant(builder, n, type_) for n in known.reshape(-1).tolist()]
            return [
                tensor.extract(builder, value, [arith.index(builder, i) for i in point])
                for point in split.points
            ]
        nothing, all_ = [0] * len(split.long), split.lanes
        taken: list[Value] = []
        for point in split.points:
            first = split.whole(point, nothing)
            past = split.whole([i + 1 for i in point], all_)
            part = tensor.slice_(builder, value, first, past)
            taken.append(tensor.reshape(builder, part, split.lanes))
        return taken

    def _elements(self, value: Value) -> Array | None:
        """The elements of a tensor that is made of subscripts and constants alone."""
        if value in self._numbers or not has_columns(value) or split_of(value).long:
            return self._numbers.get(value)
        op, found = value.defining_op, constant_array(value)
        if found is None and op is not None and _is_arithmetic(op):
            operands = [self._elements(operand) for operand in op.operands]
            arrays = [array for array in operands if array is not None]
            if len(arrays) == len(operands):
                with np.errstate(all="ignore"):
                    found = np.asarray(op.compute(arrays, Interpreter())[0])
        self._numbers[value] = found
        return found

    def whole(self, builder: Builder, value: Value) -> Value:
        """`value` as one tensor."""
        columns = self._columns.get(value)
        if columns is None:
            return value
        if value not in self._whole:
            whole = self._whole[value] = _joined(builder, split_of(value), columns)
            whole.name = value.name
        return self._whole[value]


def _is_arithmetic(op: Operation) -> bool:
    """Whether `op` computes or moves the elements of its operands."""
    moves = isinstance(op, tensor.Iota | tensor.BroadcastInDim | tensor.Reshape | tensor.Transpose)
    return moves or op.has(Trait.ELEMENTWISE)


def _joined(builder: Builder, split: Split, columns: Sequence[Value]) -> Value:
    """Columns side by side, those of the last short axes first."""
    if not split.long:
        elements = tensor.from_elements(builder, columns) if split.short else columns[0]
        return tensor.reshape(builder, elements, split.shape)
    behind = len(split.shape) - 1 - max(split.long)
    trailing = split.short[len(split.short) - behind :]
    leading = split.short[: len(split.short) - behind]
    # Axes behind the long ones are one while columns are put together.
    inner = prod(split.shape[d] for d in trailing)
    shape = [1 if d in leading else split.shape[d] for d in range(len(split.shape) - behind)]
    parts = [tensor.reshape(builder, column, (*shape, 1)) for column in columns]
    parts = _side_by_side(builder, parts, inner, len(shape))
    for d in reversed(leading):
        parts = _side_by_side(builder, parts, split.shape[d], d)
    return tensor.reshape(builder, parts[0], split.shape)


def _side_by_side(builder: Builder, parts: Sequence[Value], count: int, axis: int) -> list[Value]:
    """Each `count` neighbours as one along `axis`."""
    groups = [parts[i : i + count] for i in range(0, len(parts), count)]
    return [tensor.concatenate(builder, group, axis) for group in groups]
