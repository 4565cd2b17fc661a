"""What the operations of the `tensor` dialect share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, TypeVar

import numpy as np

from dmc.dialects import arith
from dmc.dialects.elementwise import FOLD_LIMIT, constant_array, splat_of
from dmc.ir import (
    Attribute,
    Builder,
    Cost,
    DenseElements,
    Interpreter,
    Operation,
    RuleMissing,
    TensorType,
    Value,
    shape_of,
)

ItemT = TypeVar("ItemT")


class TensorOp(Operation):
    """Base of the dialect: constraints are checked where result types are inferred.

    Subclasses give `infer`, which numbers and checks every constraint of the class.
    """

    keeps_splats: ClassVar[bool] = False
    """The result of a splat operand (and any others) is a splat of the same value."""

    def fold(self) -> Sequence[Value | Attribute] | None:
        return fold_constants(self, self.keeps_splats)

    def cost(self) -> Cost:
        """Data movement: every operand read once, every result written once."""
        return Cost(bytes=moved_bytes(self))


class Reading(TensorOp):
    """Base of operations that read parts of their first operand, and have no other derivative."""

    knows_place: ClassVar[bool] = False
    """Where it reads is known beforehand: sums of its adjoints are simplified.

    So they are not added in place, unless others are, as in loops.
    """

    def add_adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None], total: Value
    ) -> Value | None:
        """`total` with the cotangent of the first operand added to it, where that is not zero.

        None when there is nothing to add.
        """
        raise RuleMissing(self, "adjoint")

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        nothing = [None] * (len(self.operands) - 1)
        zero = arith.zeros(builder, self.operands[0].type)
        return (self.add_adjoint(builder, cotangents, zero), *nothing)


def type_of(value: Value) -> TensorType:
    """The type of a tensor value. Raises TypeError when it is not a tensor."""
    if not isinstance(value.type, TensorType):
        raise TypeError(f"{value} is not a tensor")
    return value.type


def moved_bytes(op: Operation) -> int:
    """Bytes of all operands and results."""
    types = [value.type for value in (*op.operands, *op.results)]
    return sum(type_.bytes for type_ in types if isinstance(type_, TensorType))


def fold_constants(op: Operation, keeps_splats: bool = False) -> Sequence[Attribute] | None:
    """Attributes for the results of a pure operation on constants, unless they are large."""
    types = [type_of(value) for value in op.results]
    splat = splat_of(op.operands[0]) if keeps_splats and op.operands else None
    if splat is not None:
        return [DenseElements.splat(splat, type_) for type_ in types]
    arrays = [constant_array(value) for value in op.operands]
    known = [array for array in arrays if array is not None]
    if not arrays or len(known) < len(arrays) or any(t.size > FOLD_LIMIT for t in types):
        return None
    with np.errstate(all="ignore"):
        outputs = op.compute(known, Interpreter())
    return [DenseElements(np.asarray(o), t) for o, t in zip(outputs, types, strict=True)]


def is_zero(value: Value) -> bool:
    """Whether `value` is a constant whose elements are all zero."""
    return splat_of(value) == 0


def permuted(items: Sequence[ItemT], permutation: Sequence[int]) -> tuple[ItemT, ...]:
    return tuple(items[p] for p in permutation)


def inverse(permutation: Sequence[int]) -> tuple[int, ...]:
    """The permutation that undoes `permutation`."""
    out = [0] * len(permutation)
    for position, p in enumerate(permutation):
        out[p] = position
    return tuple(out)


def without(items: Iterable[int], removed: Iterable[int]) -> tuple[int, ...]:
    """`items` in order, but for those in `removed`."""
    gone = set(removed)
    return tuple(item for item in items if item not in gone)


def are_dimensions(dimensions: Sequence[int], rank: int) -> bool:
    """Whether `dimensions` are distinct and within a tensor of `rank`."""
    return len(set(dimensions)) == len(dimensions) and all(0 <= d < rank for d in dimensions)


def sum_over(builder: Builder, x: Value, dimensions: Sequence[int]) -> Value:
    """The sum over `dimensions`; `x` itself when there are none."""
    if not dimensions:
        return x
    reduce = Operation.registry["tensor.reduce"]
    op = reduce([x], {"kind": "sum", "dimensions": tuple(dimensions)})
    return builder.insert(op).results[0]


def rank_of(value: Value) -> int:
    return len(shape_of(value.type))
