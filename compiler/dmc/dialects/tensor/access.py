"""What index tensors are: affine in the position, tables known while compiling, or neither."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dmc.dialects import arith
from dmc.dialects.elementwise import FOLD_LIMIT, constant_array, splat_of
from dmc.dialects.tensor.base import rank_of, type_of
from dmc.dialects.tensor.creation import Iota
from dmc.dialects.tensor.movement import Reverse, Slice
from dmc.dialects.tensor.shape import BroadcastInDim, Reshape, Transpose, squeezed_axes
from dmc.ir import AffineExpr, Array, Interpreter, Operation, TensorType, Value, dtype_of, shape_of

_MOST_OPS = 256
"""Expressions of more operations are not looked at."""


def affine(value: Value) -> AffineExpr | None:
    """An integer tensor as an affine function of the position along each of its axes.

    Axes of size 1 have coefficient 0. None when the value is not seen to be affine.
    """
    if not isinstance(value.type, TensorType) or not value.type.dtype.is_integer:
        return None
    expr = _Structure().of(value)
    if expr is None and 0 < value.type.size <= FOLD_LIMIT:
        table = known(value)
        expr = None if table is None else fit(table)
    if expr is None:
        return None
    pairs = zip(expr.coefficients, value.type.shape, strict=True)
    return AffineExpr(tuple(0 if n == 1 else c for c, n in pairs), expr.constant)


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


def known(value: Value) -> Array | None:
    """The value of an expression of constants and positions of moderate size, else None."""
    return _Evaluation().of(value)


class _Structure:
    """Reads affine functions off index arithmetic; each operation is visited once."""

    def __init__(self) -> None:
        self.seen: dict[Value, AffineExpr | None] = {}

    def of(self, value: Value) -> AffineExpr | None:
        if value not in self.seen:
            if len(self.seen) > _MOST_OPS:
                return None
            self.seen[value] = None
            self.seen[value] = self._read(value)
        return self.seen[value]

    def _read(self, value: Value) -> AffineExpr | None:
        rank = rank_of(value)
        splat = splat_of(value)
        if splat is not None:
            return AffineExpr((0,) * rank, int(splat))
        op = value.defining_op
        match op:
            case Iota():
                return AffineExpr(tuple(int(d == op.iota_dimension) for d in range(rank)))
            case arith.Add():
                return _sum(self.of(op.lhs), self.of(op.rhs), 1)
            case arith.Subtract():
                return _sum(self.of(op.lhs), self.of(op.rhs), -1)
            case arith.Negate():
                return _scaled(self.of(op.operand), -1)
            case arith.Multiply():
                return _product(self.of(op.lhs), self.of(op.rhs))
            case arith.Convert() if dtype_of(op.operand.type).is_integer:
                return self.of(op.operand)
            case _:
                return self._moved(op)

    def _moved(self, op: Operation | None) -> AffineExpr | None:
        if not isinstance(op, (BroadcastInDim, Reshape, Transpose, Slice, Reverse)):
            return None
        inner = self.of(op.operand)
        if inner is None:
            return None
        c, k = inner.coefficients, inner.constant
        shape = shape_of(op.operand.type)
        match op:
            case BroadcastInDim():
                out = [0] * len(op.shape)
                for axis, d in enumerate(op.broadcast_dimensions):
                    out[d] = c[axis] if shape[axis] == op.shape[d] else 0
                return AffineExpr(tuple(out), k)
            case Transpose():
                return AffineExpr(tuple(c[p] for p in op.permutation), k)
            case Slice():
                pairs = list(zip(c, op.start_indices, op.strides, strict=True))
                start = sum(n * a for n, a, _ in pairs)
                return AffineExpr(tuple(n * s for n, _, s in pairs), k + start)
            case Reverse():
                turned = [d in op.dimensions for d in range(len(c))]
                end = sum(n * (m - 1) for n, m, t in zip(c, shape, turned, strict=True) if t)
                signs = (-n if t else n for n, t in zip(c, turned, strict=True))
                return AffineExpr(tuple(signs), k + end)
            case Reshape():
                return _reshaped(inner, shape, op.shape)


def _sum(a: AffineExpr | None, b: AffineExpr | None, sign: int) -> AffineExpr | None:
    if a is None or b is None:
        return None
    pairs = zip(a.coefficients, b.coefficients, strict=True)
    return AffineExpr(tuple(x + sign * y for x, y in pairs), a.constant + sign * b.constant)


def _scaled(a: AffineExpr | None, factor: int) -> AffineExpr | None:
    if a is None:
        return None
    return AffineExpr(tuple(factor * c for c in a.coefficients), factor * a.constant)


def _product(a: AffineExpr | None, b: AffineExpr | None) -> AffineExpr | None:
    if a is None or b is None:
        return None
    if not any(a.coefficients):
        return _scaled(b, a.constant)
    return None if any(b.coefficients) else _scaled(a, b.constant)


def _reshaped(inner: AffineExpr, shape: Sequence[int], wanted: Sequence[int]) -> AffineExpr | None:
    """Through a reshape that only adds or takes axes of size 1."""
    placed = squeezed_axes(shape, wanted)
    if placed is not None:
        out = [0] * len(wanted)
        for axis, d in enumerate(placed):
            out[d] = inner.coefficients[axis]
        return AffineExpr(tuple(out), inner.constant)
    kept = squeezed_axes(wanted, shape)
    if kept is None:
        return None
    return AffineExpr(tuple(inner.coefficients[d] for d in kept), inner.constant)


class _Evaluation:
    """Evaluates expressions of constants; each operation is visited once."""

    def __init__(self) -> None:
        self.seen: dict[Value, Array | None] = {}

    def of(self, value: Value) -> Array | None:
        if value not in self.seen:
            if len(self.seen) > _MOST_OPS:
                return None
            self.seen[value] = self._compute(value)
        return self.seen[value]

    def _compute(self, value: Value) -> Array | None:
        op = value.defining_op
        constant = constant_array(value)
        if op is None or constant is not None:
            return constant
        small = isinstance(value.type, TensorType) and type_of(value).size <= FOLD_LIMIT
        plain = op.name.partition(".")[0] in ("arith", "math", "tensor") and not op.regions
        if not small or not plain or len(op.results) != 1:
            return None
        arrays: list[Array] = []
        for operand in op.operands:
            array = self.of(operand)
            if array is None:
                return None
            arrays.append(array)
        with np.errstate(all="ignore"):
            return np.asarray(op.evaluate(arrays, Interpreter())[0])
