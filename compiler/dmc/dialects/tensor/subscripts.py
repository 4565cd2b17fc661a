"""What index tensors are: quasi-affine in the position, or data."""

from __future__ import annotations

import numpy as np

from dmc.dialects import arith
from dmc.dialects.elementwise import constant_array, splat_of
from dmc.dialects.tensor.creation import Iota
from dmc.dialects.tensor.movement import Reverse, Slice
from dmc.dialects.tensor.shape import BroadcastInDim, Reshape, Transpose, squeezed_axes
from dmc.ir import AffineExpr, Array, Operation, TensorType, Value, dtype_of, shape_of


def subscript_of(value: Value) -> AffineExpr | None:
    """An integer tensor as a quasi-affine function of the position along each of its axes.

    None when the value has no elements or is not seen to be such a function.
    """
    type_ = value.type
    if not isinstance(type_, TensorType) or not type_.dtype.is_integer or 0 in type_.shape:
        return None
    return _Structure().of(value)


def fit(table: Array) -> AffineExpr | None:
    """The affine function that a non-empty integer table tabulates, or None."""
    origin = int(table[(0,) * table.ndim])
    coefficients: list[int] = []
    total: Array = np.full(table.shape, origin, np.int64)
    for axis, positions in enumerate(np.indices(table.shape, sparse=True)):
        step = int(table.take(1, axis).flat[0]) - origin if table.shape[axis] > 1 else 0
        coefficients.append(step)
        total = total + step * positions
    return AffineExpr(tuple(coefficients), origin) if np.array_equal(total, table) else None


class _Structure:
    """Reads subscripts off index arithmetic; each operation is visited once."""

    def __init__(self) -> None:
        self.seen: dict[Value, AffineExpr | None] = {}

    def of(self, value: Value) -> AffineExpr | None:
        if value not in self.seen:
            self.seen[value] = self._read(value)
        return self.seen[value]

    def _read(self, value: Value) -> AffineExpr | None:
        shape = shape_of(value.type)
        splat = splat_of(value)
        if splat is not None:
            return AffineExpr.number(len(shape), int(splat))
        op = value.defining_op
        match op:
            case arith.Constant():
                table = constant_array(value)
                return None if table is None else fit(table)
            case Iota():
                if shape[op.iota_dimension] == 1:
                    return AffineExpr.number(len(shape), 0)
                return AffineExpr.dim(len(shape), op.iota_dimension)
            case arith.Add() | arith.Subtract() | arith.Multiply():
                lhs, rhs = self.of(op.lhs), self.of(op.rhs)
                return None if lhs is None or rhs is None else _joined(op, lhs, rhs)
            case arith.Negate():
                inner = self.of(op.operand)
                return None if inner is None else inner.scaled(-1)
            case arith.FloorDivide() | arith.Remainder() | arith.Maximum() | arith.Minimum():
                return self._by_constant(op, shape)
            case arith.Convert() if dtype_of(op.operand.type).is_integer:
                return self.of(op.operand)
            case BroadcastInDim() | Reshape() | Transpose() | Slice() | Reverse():
                inner = self.of(op.operand)
                by = None if inner is None else _positions(op)
                return (
                    None if inner is None or by is None else inner.substitute(by, len(shape), shape)
                )
            case _:
                return None

    def _by_constant(
        self,
        op: arith.FloorDivide | arith.Remainder | arith.Maximum | arith.Minimum,
        shape: tuple[int, ...],
    ) -> AffineExpr | None:
        """Division or clamping by a number."""
        inner, number = self.of(op.lhs), splat_of(op.rhs)
        if number is None and isinstance(op, arith.Maximum | arith.Minimum):
            inner, number = self.of(op.rhs), splat_of(op.lhs)
        if inner is None or number is None:
            return None
        by = int(number)
        low, high = inner.bounds(shape)
        match op:
            case arith.Maximum():
                return inner.clamp(by, max(high, by), shape)
            case arith.Minimum():
                return inner.clamp(min(low, by), by, shape)
            case arith.FloorDivide():
                return inner.floordiv(by, shape) if by > 0 else None
            case arith.Remainder():
                return inner.mod(by, shape) if by > 0 else None


def _joined(op: Operation, lhs: AffineExpr, rhs: AffineExpr) -> AffineExpr | None:
    match op:
        case arith.Add():
            return lhs + rhs
        case arith.Subtract():
            return lhs - rhs
        case _ if not lhs.dims():
            return rhs.scaled(lhs.constant)
        case _ if not rhs.dims():
            return lhs.scaled(rhs.constant)
        case _:
            return None


Movement = BroadcastInDim | Reshape | Transpose | Slice | Reverse
"""Operations whose result is their operand at affine positions."""


def _positions(op: Movement) -> list[AffineExpr] | None:
    """For each axis of the operand the position read, over the axes of the result.

    None for a reshape that does more than add or take axes of size 1.
    """
    shape, out = shape_of(op.operand.type), shape_of(op.results[0].type)
    rank = len(out)
    match op:
        case BroadcastInDim():
            places = zip(shape, op.broadcast_dimensions, strict=True)
            return [
                AffineExpr.dim(rank, d) if n == out[d] and n > 1 else AffineExpr.number(rank, 0)
                for n, d in places
            ]
        case Transpose():
            place = {p: d for d, p in enumerate(op.permutation)}
            return [AffineExpr.dim(rank, place[p]) for p in range(rank)]
        case Slice():
            parts = enumerate(zip(op.strides, op.start_indices, strict=True))
            return [AffineExpr.dim(rank, d, stride, start) for d, (stride, start) in parts]
        case Reverse():
            return [
                AffineExpr.dim(rank, d, -1, n - 1)
                if d in op.dimensions
                else AffineExpr.dim(rank, d)
                for d, n in enumerate(shape)
            ]
        case Reshape():
            placed = squeezed_axes(shape, out)
            if placed is not None:
                return [AffineExpr.dim(rank, d) for d in placed]
            kept = squeezed_axes(out, shape)
            if kept is None:
                return None
            zero = AffineExpr.number(rank, 0)
            return [
                AffineExpr.dim(rank, kept.index(d)) if d in kept else zero
                for d in range(len(shape))
            ]


def movement_map(op: Operation) -> list[AffineExpr] | None:
    """Where an operation that only moves elements reads its operand; None for any other."""
    return _positions(op) if isinstance(op, Movement) else None
