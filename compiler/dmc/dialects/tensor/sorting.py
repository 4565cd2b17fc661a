"""`tensor`: ordering along the last axis.

The order is total: NaN comes after all numbers, so it counts as the largest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dmc.dialects import arith
from dmc.dialects.tensor.base import TensorOp, moved_bytes, rank_of, type_of
from dmc.dialects.tensor.gather import add_along, take_along
from dmc.ir import (
    Array,
    Attribute,
    Batched,
    Builder,
    Cost,
    DType,
    Interpreter,
    Operation,
    TensorType,
    Trait,
    Type,
    Value,
    attribute,
    operand,
    result,
    shape_of,
)


def _order(x: Array, descending: bool) -> Array:
    """Positions in order along the last axis; equal elements keep their order."""
    if not descending:
        return np.argsort(x, axis=-1, kind="stable").astype(np.int32)
    backwards = np.argsort(x[..., ::-1], axis=-1, kind="stable")[..., ::-1]
    return (x.shape[-1] - 1 - backwards).astype(np.int32)


def _sorting_cost(op: Operation) -> Cost:
    type_ = type_of(op.operands[0])
    comparisons = type_.size * max(type_.shape[-1] - 1, 1).bit_length()
    return Cost(flops=comparisons, bytes=moved_bytes(op))


class Sort(TensorOp):
    """`tensor.sort`: the elements in order along the last axis.

    C1: there is an axis, and elements are numbers.
    """

    name = "tensor.sort"
    computes = True
    keeps_splats = True
    operand = operand()
    descending = attribute(bool, default=False)
    result = result()

    def infer(self) -> Sequence[Type]:
        type_ = type_of(self.operand)
        self.require(1, _is_sortable(type_), f"{type_} has no order")
        return (type_,)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        (x,) = operands
        return (np.take_along_axis(x, _order(x, self.descending), -1),)

    def fold(self) -> Sequence[Value | Attribute] | None:
        if shape_of(self.operand.type)[-1] <= 1:
            return (self.operand,)
        return super().fold()

    def _positions(self, builder: Builder) -> Value:
        return argsort(builder, self.operand, self.descending)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        (x,) = tangents
        if x is None:
            return (None,)
        return (take_along(builder, x, self._positions(builder), rank_of(x) - 1),)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (y,) = cotangents
        if y is None:
            return (None,)
        zero = arith.zeros(builder, self.operand.type)
        return (add_along(builder, zero, y, self._positions(builder), rank_of(y) - 1),)

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        (x,) = operands
        return (Batched(sort(builder, x.value, self.descending), x.axes),)

    def cost(self) -> Cost:
        return _sorting_cost(self)


class ArgSort(TensorOp):
    """`tensor.argsort`: `i32` positions that put the last axis in order; ties keep theirs.

    C1: there is an axis whose positions fit `i32`, and elements are numbers.
    """

    name = "tensor.argsort"
    computes = True
    traits = frozenset({Trait.INTEGER_VALUED})
    operand = operand()
    descending = attribute(bool, default=False)
    result = result()

    def infer(self) -> Sequence[Type]:
        type_ = type_of(self.operand)
        self.require(1, _is_sortable(type_), f"{type_} has no order")
        return (TensorType(type_.shape, DType.I32),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return (_order(operands[0], self.descending),)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        return (None,)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        return (None,)

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        (x,) = operands
        return (Batched(argsort(builder, x.value, self.descending), x.axes),)

    def cost(self) -> Cost:
        return _sorting_cost(self)


class TopK(TensorOp):
    """`tensor.top_k`: the `k` largest along the last axis, descending, and their `i32` positions.

    Of equal elements the first comes first.
    C1: there is an axis whose positions fit `i32`, and elements are numbers. C2: it has at least
    `k` of them.
    """

    name = "tensor.top_k"
    computes = True
    operand = operand()
    k = attribute(int)
    largest = result()
    positions = result()

    def infer(self) -> Sequence[Type]:
        type_ = type_of(self.operand)
        self.require(1, _is_sortable(type_), f"{type_} has no order")
        self.require(2, 0 <= self.k <= type_.shape[-1], f"no {self.k} elements in {type_}")
        shape = (*type_.shape[:-1], self.k)
        return (TensorType(shape, type_.dtype), TensorType(shape, DType.I32))

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        (x,) = operands
        positions = _order(x, True)[..., : self.k]
        return (np.take_along_axis(x, positions, -1), positions)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        (x,) = tangents
        if x is None:
            return (None, None)
        return (take_along(builder, x, self.positions, rank_of(x) - 1), None)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        y, _ = cotangents
        if y is None:
            return (None,)
        zero = arith.zeros(builder, self.operand.type)
        return (add_along(builder, zero, y, self.positions, rank_of(y) - 1),)

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        (x,) = operands
        return tuple(Batched(value, x.axes) for value in top_k(builder, x.value, self.k))

    def cost(self) -> Cost:
        return _sorting_cost(self)


def _is_sortable(type_: TensorType) -> bool:
    return type_.rank > 0 and type_.dtype is not DType.BOOL and type_.shape[-1] < 2**31


def sort(builder: Builder, x: Value, descending: bool = False) -> Value:
    """The elements in order along the last axis."""
    attributes: dict[str, Attribute] = {"descending": descending}
    return builder.insert(Sort([x], attributes)).result


def argsort(builder: Builder, x: Value, descending: bool = False) -> Value:
    """Positions (`i32`) of the elements in order along the last axis."""
    attributes: dict[str, Attribute] = {"descending": descending}
    return builder.insert(ArgSort([x], attributes)).result


def top_k(builder: Builder, x: Value, k: int) -> tuple[Value, Value]:
    """The `k` largest along the last axis, descending, and their positions (`i32`)."""
    op = builder.insert(TopK([x], {"k": k}))
    return op.largest, op.positions
