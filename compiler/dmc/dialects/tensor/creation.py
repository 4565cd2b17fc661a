"""`tensor`: tensors from nothing and from scalars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dmc.dialects import arith
from dmc.dialects.tensor.base import TensorOp, type_of
from dmc.dialects.tensor.batching import align_all
from dmc.dialects.tensor.shape import reshape
from dmc.ir import (
    Array,
    Attribute,
    Batched,
    Builder,
    DType,
    Interpreter,
    Operation,
    TensorType,
    Type,
    Value,
    attribute,
    operands,
    result,
    shape_of,
)


class Iota(TensorOp):
    """`tensor.iota`: each element is its position along `iota_dimension`.

    C1: `iota_dimension` is an axis of `type`. C2: the element type is a number.
    """

    name = "tensor.iota"
    type = attribute(TensorType)
    iota_dimension = attribute(int)
    result = result()

    def infer(self) -> Sequence[Type]:
        valid = 0 <= self.iota_dimension < self.type.rank
        self.require(1, valid, f"no axis {self.iota_dimension} in {self.type}")
        self.require(2, self.type.dtype is not DType.BOOL, "positions are numbers")
        return (self.type,)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        shape, axis = self.type.shape, self.iota_dimension
        line = np.arange(shape[axis]).astype(self.type.dtype.numpy)
        lifted = line.reshape([shape[axis] if d == axis else 1 for d in range(len(shape))])
        return (np.broadcast_to(lifted, shape),)

    def fold(self) -> Sequence[Value | Attribute] | None:
        # Positions say more to the passes than a table of them would.
        return None

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        if self.type.shape[self.iota_dimension] == 1:
            return (arith.zeros(builder, self.type),)
        return None

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        return (None,)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        return ()

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        return (Batched(iota(builder, self.type, self.iota_dimension)),)


class FromElements(TensorOp):
    """`tensor.from_elements`: a 1-d tensor from its elements, 0-d tensors.

    C1: there is an element, and all have one type, of rank 0.
    """

    name = "tensor.from_elements"
    elements = operands()
    result = result()

    def infer(self) -> Sequence[Type]:
        types = set(self.operand_types)
        self.require(1, len(types) == 1, "elements differ in type, or there are none")
        type_ = type_of(self.elements[0])
        self.require(1, type_.rank == 0, f"{type_} is not an element")
        return (TensorType((len(self.elements),), type_.dtype),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return (np.stack(operands),)

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        if len(self.elements) == 1:
            return (reshape(builder, self.elements[0], (1,)),)
        return None

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        if all(t is None for t in tangents):
            return (None,)
        zero = arith.zeros(builder, self.elements[0].type)
        return (from_elements(builder, [zero if t is None else t for t in tangents]),)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (y,) = cotangents
        if y is None:
            return [None] * len(self.elements)
        extract = Operation.registry["tensor.extract"]
        return [
            builder.insert(extract([y, arith.index(builder, i)])).results[0]
            for i in range(len(self.elements))
        ]

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        values, axes = align_all(builder, operands)
        rows = [reshape(builder, value, (*shape_of(value.type), 1)) for value in values]
        concatenate = Operation.registry["tensor.concatenate"]
        op = builder.insert(concatenate(rows, {"dimension": len(axes)}))
        return (Batched(op.results[0], axes),)


def iota(builder: Builder, type_: TensorType, iota_dimension: int = 0) -> Value:
    """Positions along an axis, as a tensor of `type_`."""
    return builder.insert(Iota([], {"type": type_, "iota_dimension": iota_dimension})).result


def arange(builder: Builder, n: int, dtype: DType = DType.I64) -> Value:
    """`[0, 1, …, n - 1]`."""
    return iota(builder, TensorType((n,), dtype))


def from_elements(builder: Builder, elements: Sequence[Value]) -> Value:
    """`[a, b, …]` of 0-d tensors. There must be one at least."""
    return builder.insert(FromElements(elements)).result
