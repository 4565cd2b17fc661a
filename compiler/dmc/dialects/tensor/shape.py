"""`tensor`: the same elements under another shape: broadcast, reshape, transpose."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dmc.dialects.elementwise import splat_of
from dmc.dialects.tensor.base import (
    TensorOp,
    are_dimensions,
    inverse,
    permuted,
    rank_of,
    sum_over,
    type_of,
    without,
)
from dmc.ir import (
    Array,
    Attribute,
    Batched,
    Builder,
    Interpreter,
    TensorType,
    Type,
    Value,
    int_tuple,
    operand,
    result,
    shape_of,
)


class BroadcastInDim(TensorOp):
    """`tensor.broadcast_in_dim`: repeats elements along new axes and axes of size 1.

    Axis `d` of the operand becomes axis `broadcast_dimensions[d]` of the result.
    C1: one broadcast dimension for each axis of the operand. C2: they are distinct axes of the
    result. C3: each axis has size 1 or the size of the axis it becomes.
    """

    name = "tensor.broadcast_in_dim"
    keeps_splats = True
    operand = operand()
    shape = int_tuple()
    broadcast_dimensions = int_tuple()
    result = result()

    def infer(self) -> Sequence[Type]:
        type_, dims = type_of(self.operand), self.broadcast_dimensions
        self.require(1, len(dims) == type_.rank, f"{len(dims)} dimensions for {type_}")
        self.require(2, are_dimensions(dims, len(self.shape)), f"bad dimensions {dims}")
        fits = all(n in (1, self.shape[d]) for n, d in zip(type_.shape, dims, strict=True))
        self.require(3, fits, f"{type_} does not broadcast to {self.shape} along {dims}")
        return (TensorType(self.shape, type_.dtype),)

    @property
    def repeated(self) -> tuple[int, ...]:
        """Axes of the result along which elements repeat."""
        shape = shape_of(self.operand.type)
        kept = [
            d for n, d in zip(shape, self.broadcast_dimensions, strict=True) if n == self.shape[d]
        ]
        return without(range(len(self.shape)), kept)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        (x,) = operands
        order = np.argsort(self.broadcast_dimensions)
        lifted = [1] * len(self.shape)
        for n, d in zip(x.shape, self.broadcast_dimensions, strict=True):
            lifted[d] = n
        return (np.broadcast_to(x.transpose(order).reshape(lifted), self.shape),)

    def fold(self) -> Sequence[Value | Attribute] | None:
        if self.broadcast_dimensions == tuple(range(len(self.shape))) and not self.repeated:
            return (self.operand,)
        # A constant that is repeated stays small, unless one element says it all.
        small = not self.repeated or splat_of(self.operand) is not None
        return super().fold() if small else None

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        inner = self.operand.defining_op
        if isinstance(inner, BroadcastInDim):
            dims = permuted(self.broadcast_dimensions, inner.broadcast_dimensions)
            return (broadcast_in_dim(builder, inner.operand, self.shape, dims),)
        if isinstance(inner, Reshape):
            placed = squeezed_axes(shape_of(inner.operand.type), inner.shape)
            if placed is not None:
                dims = permuted(self.broadcast_dimensions, placed)
                return (broadcast_in_dim(builder, inner.operand, self.shape, dims),)
        if all(self.shape[d] == 1 for d in self.repeated):
            order = tuple(int(d) for d in np.argsort(self.broadcast_dimensions))
            return (reshape(builder, transpose(builder, self.operand, order), self.shape),)
        return None

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        (x,) = tangents
        if x is None:
            return (None,)
        return (broadcast_in_dim(builder, x, self.shape, self.broadcast_dimensions),)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (y,) = cotangents
        if y is None:
            return (None,)
        repeated = self.repeated
        total = sum_over(builder, y, repeated)
        # What is left are the axes that kept their size; those of size 1 come back by reshape.
        left = without(range(len(self.shape)), repeated)
        wanted = [d for d in self.broadcast_dimensions if d in left]
        ordered = transpose(builder, total, tuple(left.index(d) for d in wanted))
        return (reshape(builder, ordered, shape_of(self.operand.type)),)

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        (x,) = operands
        lead = len(x.axes)
        shape = shape_of(x.value.type)[:lead] + self.shape
        dims = (*range(lead), *(lead + d for d in self.broadcast_dimensions))
        return (Batched(broadcast_in_dim(builder, x.value, shape, dims), x.axes),)


class Reshape(TensorOp):
    """`tensor.reshape`: the same elements, in row-major order, under another shape.

    C1: operand and result have the same number of elements.
    """

    name = "tensor.reshape"
    keeps_splats = True
    operand = operand()
    shape = int_tuple()
    result = result()

    def infer(self) -> Sequence[Type]:
        type_ = type_of(self.operand)
        self.require(1, type_.size == math.prod(self.shape), f"{type_} is not of size {self.shape}")
        return (TensorType(self.shape, type_.dtype),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return (operands[0].reshape(self.shape),)

    def fold(self) -> Sequence[Value | Attribute] | None:
        if shape_of(self.operand.type) == self.shape:
            return (self.operand,)
        return super().fold()

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        inner = self.operand.defining_op
        if isinstance(inner, Reshape):
            return (reshape(builder, inner.operand, self.shape),)
        if isinstance(inner, BroadcastInDim):
            return self._of_broadcast(builder, inner)
        if isinstance(inner, Transpose) and inner.only_moves_units:
            return (reshape(builder, inner.operand, self.shape),)
        return None

    def _of_broadcast(self, builder: Builder, inner: BroadcastInDim) -> Sequence[Value] | None:
        """Axes of size 1 added to or taken from a broadcast are part of the broadcast."""
        placed = squeezed_axes(inner.shape, self.shape)
        if placed is not None:
            dims = permuted(placed, inner.broadcast_dimensions)
            return (broadcast_in_dim(builder, inner.operand, self.shape, dims),)
        kept = squeezed_axes(self.shape, inner.shape)
        if kept is None:
            return None
        if any(d not in kept for d in inner.broadcast_dimensions):
            return None
        dims = tuple(kept.index(d) for d in inner.broadcast_dimensions)
        return (broadcast_in_dim(builder, inner.operand, self.shape, dims),)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        (x,) = tangents
        return (None if x is None else reshape(builder, x, self.shape),)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (y,) = cotangents
        return (None if y is None else reshape(builder, y, shape_of(self.operand.type)),)

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        (x,) = operands
        lead = shape_of(x.value.type)[: len(x.axes)]
        return (Batched(reshape(builder, x.value, lead + self.shape), x.axes),)


class Transpose(TensorOp):
    """`tensor.transpose`: axis `d` of the result is axis `permutation[d]` of the operand.

    C1: `permutation` is a permutation of the operand's axes.
    """

    name = "tensor.transpose"
    keeps_splats = True
    operand = operand()
    permutation = int_tuple()
    result = result()

    def infer(self) -> Sequence[Type]:
        type_ = type_of(self.operand)
        valid = sorted(self.permutation) == list(range(type_.rank))
        self.require(1, valid, f"{self.permutation} does not permute the axes of {type_}")
        return (TensorType(permuted(type_.shape, self.permutation), type_.dtype),)

    @property
    def only_moves_units(self) -> bool:
        """Whether the axes longer than 1 keep their order."""
        shape = shape_of(self.operand.type)
        long = [p for p in self.permutation if shape[p] != 1]
        return long == sorted(long)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return (operands[0].transpose(self.permutation),)

    def fold(self) -> Sequence[Value | Attribute] | None:
        if self.permutation == tuple(range(len(self.permutation))):
            return (self.operand,)
        return super().fold()

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        inner = self.operand.defining_op
        if isinstance(inner, Transpose):
            permutation = permuted(inner.permutation, self.permutation)
            return (transpose(builder, inner.operand, permutation),)
        if isinstance(inner, BroadcastInDim):
            place = inverse(self.permutation)
            dims = permuted(place, inner.broadcast_dimensions)
            shape = shape_of(self.result.type)
            return (broadcast_in_dim(builder, inner.operand, shape, dims),)
        if self.only_moves_units:
            return (reshape(builder, self.operand, shape_of(self.result.type)),)
        return None

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        (x,) = tangents
        return (None if x is None else transpose(builder, x, self.permutation),)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (y,) = cotangents
        return (None if y is None else transpose(builder, y, inverse(self.permutation)),)

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        (x,) = operands
        lead = len(x.axes)
        permutation = (*range(lead), *(lead + p for p in self.permutation))
        return (Batched(transpose(builder, x.value, permutation), x.axes),)


def squeezed_axes(shape: Sequence[int], longer: Sequence[int]) -> tuple[int, ...] | None:
    """Where the axes of `shape` are in `longer`, if that only has further axes of size 1."""
    placed: list[int] = []
    at = 0
    for n in shape:
        while at < len(longer) and longer[at] == 1 and n != 1:
            at += 1
        if at == len(longer) or longer[at] != n:
            return None
        placed.append(at)
        at += 1
    return tuple(placed) if all(n == 1 for n in longer[at:]) else None


def matching_axes(
    shape: Sequence[int], other: Sequence[int]
) -> list[tuple[list[int], list[int]]] | None:
    """The smallest runs of axes of two shapes of the same size that cover the same elements.

    None when there are no elements.
    """
    if 0 in shape:
        return None
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(shape) or j < len(other):
        left, right = [i] if i < len(shape) else [], [j] if j < len(other) else []
        i, j = i + len(left), j + len(right)
        n = math.prod(shape[d] for d in left)
        m = math.prod(other[d] for d in right)
        while n != m:
            if n < m:
                n *= shape[i]
                left.append(i)
                i += 1
            else:
                m *= other[j]
                right.append(j)
                j += 1
        groups.append((left, right))
    return groups


def broadcast_in_dim(
    builder: Builder, x: Value, shape: Sequence[int], broadcast_dimensions: Sequence[int]
) -> Value:
    """`x` itself when nothing would change."""
    if shape_of(x.type) == tuple(shape) and list(broadcast_dimensions) == list(range(len(shape))):
        return x
    attributes = {"shape": tuple(shape), "broadcast_dimensions": tuple(broadcast_dimensions)}
    return builder.insert(BroadcastInDim([x], attributes)).result


def broadcast(builder: Builder, x: Value, shape: Sequence[int]) -> Value:
    """`x` repeated along new leading axes; its own shape must be a suffix of `shape`."""
    rank = rank_of(x)
    return broadcast_in_dim(builder, x, shape, range(len(shape) - rank, len(shape)))


def reshape(builder: Builder, x: Value, shape: Sequence[int]) -> Value:
    """`x` itself when it has that shape."""
    if shape_of(x.type) == tuple(shape):
        return x
    return builder.insert(Reshape([x], {"shape": tuple(shape)})).result


def transpose(builder: Builder, x: Value, permutation: Sequence[int]) -> Value:
    """`x` itself when the permutation is the identity."""
    if list(permutation) == list(range(rank_of(x))):
        return x
    return builder.insert(Transpose([x], {"permutation": tuple(permutation)})).result
