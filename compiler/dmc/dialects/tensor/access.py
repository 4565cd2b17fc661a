"""`tensor.read` and `tensor.accumulate`: elements at quasi-affine positions, and their transpose.

Broadcast, transpose, slice, reverse, diagonal, window, tiling, edge padding and periodic wrap are
reads; zero padding is one too, since a read gives zero outside. Where a simpler operation has a
name of its own, the builder functions here give that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np

from dmc.dialects import arith
from dmc.dialects.elementwise import splat_of
from dmc.dialects.tensor.base import TensorOp, is_zero, rank_of, sum_over, type_of
from dmc.dialects.tensor.movement import pad, reverse, slice_
from dmc.dialects.tensor.shape import broadcast_in_dim, reshape, transpose
from dmc.dialects.tensor.subscripts import movement_map
from dmc.ir import (
    AffineExpr,
    AffineMap,
    Array,
    Attribute,
    Batched,
    Builder,
    Cost,
    DenseElements,
    Interpreter,
    TensorType,
    Type,
    Value,
    attribute,
    int_tuple,
    operand,
    result,
    shape_of,
)


class Read(TensorOp):
    """`tensor.read`: the element of `operand` at `map(d)` for each point `d` of `sizes`.

    Where a subscript leaves its axis the result is zero. The transpose of `tensor.accumulate`.
    C1: the map has a dimension for each size and a subscript for each axis of the operand.
    """

    name = "tensor.read"
    operand = operand()
    sizes = int_tuple()
    map = attribute(AffineMap)
    result = result()

    def infer(self) -> Sequence[Type]:
        type_ = type_of(self.operand)
        fits = self.map.dimensions == len(self.sizes) and len(self.map.results) == type_.rank
        self.require(1, fits, f"{self.map} does not lead from {self.sizes} to {type_}")
        return (TensorType(self.sizes, type_.dtype),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        (x,) = operands
        places, inside = _places(self.map, self.sizes, x.shape)
        if x.size == 0:
            return (np.zeros(self.sizes, x.dtype),)
        return (
            np.where(inside, x.reshape(-1)[np.where(inside, places, 0)], np.zeros((), x.dtype)),
        )

    def fold(self) -> Sequence[Value | Attribute] | None:
        splat = splat_of(self.operand)
        shape = shape_of(self.operand.type)
        if splat is not None and (
            is_zero(self.operand) or self.map.stays_inside(self.sizes, shape)
        ):
            return [DenseElements.splat(splat, type_of(self.result))]
        return super().fold()

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        """A simpler operation, or a read of what was itself only moved."""
        simple = _movement(builder, self.operand, self.sizes, self.map)
        if simple is not None:
            return (simple,)
        op = self.operand.defining_op
        middle = shape_of(self.operand.type)
        if op is None or not self.map.stays_inside(self.sizes, middle):
            return None
        inner = op.map.results if isinstance(op, Read) else movement_map(op)
        if inner is None or 0 in self.sizes:
            return None
        exprs = [e.substitute(self.map.results, len(self.sizes), self.sizes) for e in inner]
        return (read(builder, op.operands[0], self.sizes, exprs),)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        (x,) = tangents
        return (None if x is None else read(builder, x, self.sizes, self.map.results),)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (y,) = cotangents
        shape = shape_of(self.operand.type)
        return (None if y is None else accumulate_at(builder, y, shape, self.map.results),)

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        (x,) = operands
        lead = shape_of(x.value.type)[: len(x.axes)]
        sizes = (*lead, *self.sizes)
        return (Batched(read(builder, x.value, sizes, _behind(self.map, lead, sizes)), x.axes),)


class Accumulate(TensorOp):
    """`tensor.accumulate`: zeros of `shape`, with each element `d` of `updates` added at `map(d)`.

    Elements for which a subscript leaves its axis are dropped. The transpose of `tensor.read`.
    C1: the map has a dimension for each axis of `updates` and a subscript for each of `shape`.
    """

    name = "tensor.accumulate"
    computes = True
    updates = operand()
    shape = int_tuple()
    map = attribute(AffineMap)
    result = result()

    def infer(self) -> Sequence[Type]:
        type_ = type_of(self.updates)
        fits = self.map.dimensions == type_.rank and len(self.map.results) == len(self.shape)
        self.require(1, fits, f"{self.map} does not lead from {type_} to {self.shape}")
        return (TensorType(self.shape, type_.dtype),)

    def destinations(self) -> tuple[Array, Array]:
        """For each element of the updates its row-major position, and whether it is inside."""
        return _places(self.map, shape_of(self.updates.type), self.shape)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        (y,) = operands
        out = np.zeros(prod(self.shape), y.dtype)
        places, inside = self.destinations()
        np.add.at(out, places[inside], y[inside])
        return (out.reshape(self.shape),)

    def fold(self) -> Sequence[Value | Attribute] | None:
        if is_zero(self.updates) or type_of(self.updates).size == 0:
            return [DenseElements.splat(0, type_of(self.result))]
        return super().fold()

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        simple = _transposed_movement(builder, self.updates, self.shape, self.map)
        return None if simple is None else (simple,)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        (y,) = tangents
        return (None if y is None else accumulate_at(builder, y, self.shape, self.map.results),)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (x,) = cotangents
        sizes = shape_of(self.updates.type)
        return (None if x is None else read(builder, x, sizes, self.map.results),)

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        (y,) = operands
        sizes = shape_of(y.value.type)
        lead = sizes[: len(y.axes)]
        exprs = _behind(self.map, lead, sizes)
        return (Batched(accumulate_at(builder, y.value, (*lead, *self.shape), exprs), y.axes),)

    def cost(self) -> Cost:
        type_ = type_of(self.updates)
        return Cost(type_.size, type_.bytes + type_of(self.result).bytes)


def _places(map_: AffineMap, sizes: Sequence[int], shape: Sequence[int]) -> tuple[Array, Array]:
    """Row-major positions in `shape` at every point of `sizes`, and whether they are inside."""
    grid = np.ix_(*(np.arange(n, dtype=np.int64) for n in sizes))
    flat = np.zeros(tuple(sizes), np.int64)
    inside = np.ones(tuple(sizes), np.bool_)
    for expr, n in zip(map_.results, shape, strict=True):
        at = expr.evaluate(grid)
        inside &= (at >= 0) & (at < n)
        flat = flat * n + at
    return flat, inside


def _behind(map_: AffineMap, lead: Sequence[int], sizes: Sequence[int]) -> list[AffineExpr]:
    """`map_` with axes in front that run together."""
    rank = len(sizes)
    by = [AffineExpr.dim(rank, len(lead) + d) for d in range(map_.dimensions)]
    first = [AffineExpr.dim(rank, d) for d in range(len(lead))]
    return [*first, *(expr.substitute(by, rank, sizes) for expr in map_.results)]


def read(
    builder: Builder, x: Value, sizes: Sequence[int], subscripts: Sequence[AffineExpr]
) -> Value:
    """`x` at `subscripts`, quasi-affine in the point, over `sizes`; zero outside of `x`."""
    map_ = AffineMap(len(sizes), tuple(subscripts))
    simple = _movement(builder, x, sizes, map_)
    if simple is not None:
        return simple
    return builder.insert(Read([x], {"sizes": tuple(sizes), "map": map_})).result


def accumulate_at(
    builder: Builder, updates: Value, shape: Sequence[int], subscripts: Sequence[AffineExpr]
) -> Value:
    """Zeros of `shape` with `updates` added at `subscripts`; what is outside is dropped."""
    map_ = AffineMap(rank_of(updates), tuple(subscripts))
    simple = _transposed_movement(builder, updates, shape, map_)
    if simple is not None:
        return simple
    return builder.insert(Accumulate([updates], {"shape": tuple(shape), "map": map_})).result


# Reads that have a name


@dataclass(frozen=True, slots=True)
class _Digits:
    """A subscript that counts evenly.

    `dims` are the digits, largest first, of a number that begins at `start` and takes every
    `stride`-th position; those in `turned` run downwards.
    """

    dims: tuple[int, ...]
    start: int
    stride: int
    turned: tuple[int, ...]

    def limit(self, sizes: Sequence[int]) -> int:
        """One past the greatest position."""
        return self.start + (prod(sizes[d] for d in self.dims) - 1) * self.stride + 1


def _digits(expr: AffineExpr, sizes: Sequence[int]) -> _Digits | None:
    if not expr.is_affine:
        return None
    steps = {d: c for d, c in enumerate(expr.coefficients) if c and sizes[d] > 1}
    dims = tuple(sorted(steps, key=lambda d: (-abs(steps[d]), d)))
    for outer, inner in pairwise(dims):
        if abs(steps[outer]) != abs(steps[inner]) * sizes[inner]:
            return None
    stride = abs(steps[dims[-1]]) if dims else 1
    turned = tuple(d for d in dims if steps[d] < 0)
    return _Digits(dims, expr.bounds(sizes)[0], stride, turned)


def _all_digits(
    map_: AffineMap, sizes: Sequence[int], shape: Sequence[int], inside: bool
) -> list[_Digits] | None:
    """All subscripts as digits, if no dimension is used twice and all, where asked, are inside."""
    if 0 in sizes or 0 in shape:
        return None
    found: list[_Digits] = []
    used: set[int] = set()
    for expr, n in zip(map_.results, shape, strict=True):
        item = _digits(expr, sizes)
        if item is None or used & set(item.dims):
            return None
        if inside and (item.start < 0 or item.limit(sizes) > n):
            return None
        used |= set(item.dims)
        found.append(item)
    return found


def _movement(builder: Builder, x: Value, sizes: Sequence[int], map_: AffineMap) -> Value | None:
    """A read as slice, reverse, reshape, transpose and broadcast, where these suffice."""
    shape = shape_of(x.type)
    digits = _all_digits(map_, sizes, shape, inside=True)
    if digits is None:
        return None
    starts = [item.start for item in digits]
    limits = [item.limit(sizes) for item in digits]
    part = slice_(builder, x, starts, limits, [item.stride for item in digits])
    dims = [d for item in digits for d in item.dims]
    part = reshape(builder, part, [sizes[d] for d in dims])
    turned = [dims.index(d) for item in digits for d in item.turned]
    return broadcast_in_dim(builder, reverse(builder, part, turned), sizes, dims)


def _transposed_movement(
    builder: Builder, y: Value, shape: Sequence[int], map_: AffineMap
) -> Value | None:
    """An accumulation as sum, transpose, reverse, reshape and padding, where these suffice."""
    sizes = shape_of(y.type)
    digits = _all_digits(map_, sizes, shape, inside=True)
    if digits is None:
        return None
    dims = [d for item in digits for d in item.dims]
    total = sum_over(builder, y, [d for d in range(len(sizes)) if d not in dims])
    left = sorted(dims)
    total = transpose(builder, total, [left.index(d) for d in dims])
    turned = [dims.index(d) for item in digits for d in item.turned]
    total = reverse(builder, total, turned)
    total = reshape(builder, total, [prod(sizes[d] for d in item.dims) for item in digits])
    low = [item.start for item in digits]
    high = [n - item.limit(sizes) for item, n in zip(digits, shape, strict=True)]
    interior = [item.stride - 1 for item in digits]
    zero = arith.scalar(builder, 0, type_of(total).dtype)
    return pad(builder, total, zero, low, high, interior)
