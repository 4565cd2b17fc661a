"""`tensor`: reductions over axes."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from dmc.dialects import arith
from dmc.dialects.elementwise import in_rows, splat_of
from dmc.dialects.tensor.base import (
    TensorOp,
    are_dimensions,
    moved_bytes,
    rank_of,
    type_of,
    without,
)
from dmc.dialects.tensor.creation import iota
from dmc.dialects.tensor.shape import (
    BroadcastInDim,
    Reshape,
    Transpose,
    broadcast_in_dim,
    matching_axes,
    reshape,
    transpose,
)
from dmc.ir import (
    Array,
    Attribute,
    Batched,
    Builder,
    Cost,
    DenseElements,
    DType,
    Interpreter,
    Operation,
    TensorType,
    Trait,
    Type,
    Value,
    attribute,
    int_tuple,
    operand,
    result,
    shape_of,
)


class Kind(enum.Enum):
    """What a reduction computes."""

    SUM = "sum"
    PROD = "prod"
    MAX = "max"
    MIN = "min"
    ANY = "any"
    ALL = "all"


_NUMPY: dict[Kind, Callable[..., Any]] = {
    Kind.SUM: np.sum,
    Kind.PROD: np.prod,
    Kind.MAX: np.max,
    Kind.MIN: np.min,
    Kind.ANY: np.any,
    Kind.ALL: np.all,
}
_LOGICAL = (Kind.ANY, Kind.ALL)
_ORDER = (Kind.MAX, Kind.MIN)


class Reduce(TensorOp):
    """`tensor.reduce`: combines all elements along `dimensions`, which the result lacks.

    The reduction starts from the neutral element. Half precision sums in f32. `max` and `min` of
    anything with a NaN are NaN; their derivative goes to the first of equal elements.
    C1: `dimensions` are distinct axes, ascending. C2: `any` and `all` take `i1`, the others
    numbers. C3: `max` and `min` are of one element at least.
    """

    name = "tensor.reduce"
    computes = True
    operand = operand()
    kind = attribute(Kind)
    dimensions = int_tuple()
    result = result()

    def infer(self) -> Sequence[Type]:
        type_, dims = type_of(self.operand), self.dimensions
        valid = are_dimensions(dims, type_.rank) and list(dims) == sorted(dims)
        self.require(1, valid, f"{dims} are not ascending axes of {type_}")
        logical = type_.dtype is DType.BOOL
        self.require(2, logical == (self.kind in _LOGICAL), f"{self.kind.value} of {type_}")
        empty = self.kind in _ORDER and prod(type_.shape[d] for d in dims) == 0
        self.require(3, not empty, f"{self.kind.value} of nothing in {type_}")
        kept = without(range(type_.rank), dims)
        return (TensorType(tuple(type_.shape[d] for d in kept), type_.dtype),)

    @property
    def kept(self) -> tuple[int, ...]:
        """The axes of the operand that remain."""
        return without(range(rank_of(self.operand)), self.dimensions)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        (x,) = operands
        out = np.asarray(_NUMPY[self.kind](in_rows(x, self.dimensions), axis=-1))
        return (out.astype(x.dtype),)

    def fold(self) -> Sequence[Value | Attribute] | None:
        if not self.dimensions:
            return (self.operand,)
        splat = splat_of(self.operand)
        idempotent = self.kind in (*_ORDER, *_LOGICAL)
        neutral = (self.kind is Kind.SUM and splat == 0) or (self.kind is Kind.PROD and splat == 1)
        if splat is not None and (idempotent or neutral):
            return (DenseElements.splat(splat, type_of(self.result)),)
        return super().fold()

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        shape = shape_of(self.operand.type)
        if all(shape[d] == 1 for d in self.dimensions):
            return (reshape(builder, self.operand, shape_of(self.result.type)),)
        match self.operand.defining_op:
            case Reduce(kind=self.kind, result=partial) as inner if len(partial.uses) == 1:
                # What others use too is there already: to reduce it takes less work, and sums of
                # sums lose fewer digits than long ones. Positions are in the inner operand.
                dims = {*inner.dimensions, *(inner.kept[d] for d in self.dimensions)}
                return (reduce(builder, inner.operand, self.kind, sorted(dims)),)
            case Transpose() as inner:
                return (self._of_transpose(builder, inner),)
            case BroadcastInDim() as inner:
                return self._of_broadcast(builder, inner)
            case Reshape() as inner:
                return self._of_reshape(builder, inner)
            case _:
                return None

    def _of_transpose(self, builder: Builder, inner: Transpose) -> Value:
        dims = sorted(inner.permutation[d] for d in self.dimensions)
        left = without(range(len(inner.permutation)), dims)
        out = reduce(builder, inner.operand, self.kind, dims)
        wanted = [inner.permutation[d] for d in self.kept]
        return transpose(builder, out, [left.index(d) for d in wanted])

    def _of_broadcast(self, builder: Builder, inner: BroadcastInDim) -> Sequence[Value] | None:
        """Reduce first: repetition is a factor of a sum, and nothing to a maximum."""
        repeated = [d for d in inner.repeated if d in self.dimensions]
        times = prod(inner.shape[d] for d in repeated)
        if times == 0 or (repeated and self.kind is Kind.PROD):
            return None
        dims = inner.broadcast_dimensions
        gone = [axis for axis, d in enumerate(dims) if d in self.dimensions]
        x = reduce(builder, inner.operand, self.kind, gone)
        kept = self.kept
        places = [kept.index(d) for d in dims if d not in self.dimensions]
        out = broadcast_in_dim(builder, x, shape_of(self.result.type), places)
        if self.kind is Kind.SUM and times != 1:
            out = arith.multiply(builder, out, arith.constant(builder, times, out.type))
        return (out,)

    def _of_reshape(self, builder: Builder, inner: Reshape) -> Sequence[Value] | None:
        """Reduce before the reshape, unless that mixes axes that remain with axes that do not."""
        groups = matching_axes(shape_of(inner.operand.type), inner.shape)
        if groups is None:
            return None
        dims: list[int] = []
        for of_operand, of_result in groups:
            gone = [d in self.dimensions for d in of_result if inner.shape[d] != 1]
            if all(gone):
                dims.extend(of_operand)
            elif any(gone):
                return None
        out = reduce(builder, inner.operand, self.kind, dims)
        return (reshape(builder, out, shape_of(self.result.type)),)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        (x,) = tangents
        if x is None:
            return (None,)
        match self.kind:
            case Kind.SUM:
                return (self._sum(builder, x),)
            case Kind.MAX | Kind.MIN:
                zero = arith.zeros(builder, x.type)
                return (self._sum(builder, arith.select(builder, self._first(builder), x, zero)),)
            case Kind.PROD:
                others = self._products_of_others(builder)
                return (self._sum(builder, arith.guarded_multiply(builder, x, others)),)
            case _:
                return (None,)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (y,) = cotangents
        if y is None or self.kind in _LOGICAL:
            return (None,)
        spread = broadcast_in_dim(builder, y, shape_of(self.operand.type), self.kept)
        match self.kind:
            case Kind.SUM:
                return (spread,)
            case Kind.PROD:
                others = self._products_of_others(builder)
                return (arith.guarded_multiply(builder, spread, others),)
            case _:
                zero = arith.zeros(builder, spread.type)
                return (arith.select(builder, self._first(builder), spread, zero),)

    def _sum(self, builder: Builder, x: Value) -> Value:
        return reduce(builder, x, Kind.SUM, self.dimensions)

    def _first(self, builder: Builder) -> Value:
        """Where the extremum is, of several the first in row-major order of the reduced axes."""
        shape, kept = shape_of(self.operand.type), self.kept
        x = self._flat(builder, self.operand)
        axis = rank_of(x) - 1
        found = arg_reduce(builder, x, self.kind, axis)
        places = TensorType(shape_of(x.type), DType.I32)
        position = iota(builder, places, axis)
        chosen = broadcast_in_dim(builder, found, places.shape, range(axis))
        first = arith.compare(builder, arith.Direction.EQ, position, chosen)
        order = (*kept, *self.dimensions)
        apart = reshape(builder, first, [shape[d] for d in order])
        return transpose(builder, apart, [order.index(d) for d in range(len(shape))])

    def _flat(self, builder: Builder, x: Value) -> Value:
        """`x` with the reduced axes merged into one, the last."""
        shape, kept = shape_of(x.type), self.kept
        moved = transpose(builder, x, (*kept, *self.dimensions))
        count = prod(shape[d] for d in self.dimensions)
        return reshape(builder, moved, (*(shape[d] for d in kept), count))

    def _products_of_others(self, builder: Builder) -> Value:
        """For each element the product of all others: exact also where factors are zero."""
        shape = shape_of(self.operand.type)
        x = self._flat(builder, self.operand)
        cumprod = Operation.registry["tensor.cumprod"]
        axis = rank_of(x) - 1
        sides: list[Value] = []
        for backwards in (False, True):
            attributes: dict[str, Attribute] = {
                "axis": axis,
                "reverse": backwards,
                "exclusive": True,
            }
            sides.append(builder.insert(cumprod([x], attributes)).results[0])
        order = (*self.kept, *self.dimensions)
        others = reshape(builder, arith.multiply(builder, *sides), [shape[d] for d in order])
        return transpose(builder, others, [order.index(d) for d in range(len(shape))])

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        (x,) = operands
        dims = [len(x.axes) + d for d in self.dimensions]
        return (Batched(reduce(builder, x.value, self.kind, dims), x.axes),)

    def cost(self) -> Cost:
        return Cost(flops=type_of(self.operand).size, bytes=moved_bytes(self))


class ArgReduce(TensorOp):
    """`tensor.arg_reduce`: the `i32` position of the maximum or minimum along one axis.

    Of equal elements the first; a NaN counts as the extremum.
    C1: `kind` is `max` or `min`, of numbers. C2: `dimension` is an axis, not empty, and its
    positions fit `i32`.
    """

    name = "tensor.arg_reduce"
    computes = True
    traits = frozenset({Trait.INTEGER_VALUED})
    operand = operand()
    kind = attribute(Kind)
    dimension = attribute(int)
    result = result()

    def infer(self) -> Sequence[Type]:
        type_, axis = type_of(self.operand), self.dimension
        valid = self.kind in _ORDER and type_.dtype is not DType.BOOL
        self.require(1, valid, f"position of the {self.kind.value} of {type_}")
        valid = 0 <= axis < type_.rank and 0 < type_.shape[axis] < 2**31
        self.require(2, valid, f"no positions along axis {axis} of {type_}")
        return (TensorType((*type_.shape[:axis], *type_.shape[axis + 1 :]), DType.I32),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        find = np.argmax if self.kind is Kind.MAX else np.argmin
        return (np.asarray(find(operands[0], axis=self.dimension)).astype(np.int32),)

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        if shape_of(self.operand.type)[self.dimension] == 1:
            return (arith.zeros(builder, self.result.type),)
        return None

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        return (None,)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        return (None,)

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        (x,) = operands
        axis = len(x.axes) + self.dimension
        return (Batched(arg_reduce(builder, x.value, self.kind, axis), x.axes),)

    def cost(self) -> Cost:
        return Cost(flops=type_of(self.operand).size, bytes=moved_bytes(self))


def reduce(builder: Builder, x: Value, kind: Kind, dimensions: Sequence[int]) -> Value:
    """Combine along `dimensions`, in any order; `x` itself when there are none."""
    if not dimensions:
        return x
    attributes: dict[str, Attribute] = {
        "kind": kind.value,
        "dimensions": tuple(sorted(dimensions)),
    }
    return builder.insert(Reduce([x], attributes)).result


def reduce_sum(builder: Builder, x: Value, dimensions: Sequence[int]) -> Value:
    """The sum along `dimensions`."""
    return reduce(builder, x, Kind.SUM, dimensions)


def arg_reduce(builder: Builder, x: Value, kind: Kind, dimension: int) -> Value:
    """Positions (`i32`) of the maxima or minima along one axis."""
    attributes: dict[str, Attribute] = {"kind": kind.value, "dimension": dimension}
    return builder.insert(ArgReduce([x], attributes)).result
