"""`tensor`: elements taken, surrounded, joined and turned round."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dmc.dialects import arith
from dmc.dialects.elementwise import splat_of
from dmc.dialects.tensor.base import Reading, TensorOp, are_dimensions, sum_over, type_of, without
from dmc.dialects.tensor.batching import align_all
from dmc.dialects.tensor.shape import BroadcastInDim, broadcast_in_dim, reshape
from dmc.ir import (
    Array,
    Attribute,
    Batched,
    Builder,
    DenseElements,
    DType,
    Interpreter,
    Operation,
    TensorType,
    Type,
    Value,
    attribute,
    int_tuple,
    operand,
    operands,
    result,
    shape_of,
)


class Slice(Reading):
    """`tensor.slice`: elements `start`, `start + stride`, … below `limit` along each axis.

    C1: one start, limit and stride for each axis. C2: `0 <= start <= limit <= size`, along each.
    C3: strides are positive.
    """

    name = "tensor.slice"
    keeps_splats = True
    knows_place = True
    operand = operand()
    start_indices = int_tuple()
    limit_indices = int_tuple()
    strides = int_tuple()
    result = result()

    def infer(self) -> Sequence[Type]:
        type_ = type_of(self.operand)
        ranks = {len(self.start_indices), len(self.limit_indices), len(self.strides)}
        self.require(1, ranks == {type_.rank}, f"not one slice for each axis of {type_}")
        bounds = zip(self.start_indices, self.limit_indices, type_.shape, strict=True)
        valid = all(0 <= start <= limit <= n for start, limit, n in bounds)
        self.require(2, valid, f"{self.start_indices}:{self.limit_indices} leaves {type_}")
        self.require(3, all(s > 0 for s in self.strides), f"strides {self.strides}")
        taken = zip(self.start_indices, self.limit_indices, self.strides, strict=True)
        shape = tuple(-(-(limit - start) // stride) for start, limit, stride in taken)
        return (TensorType(shape, type_.dtype),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        taken = zip(self.start_indices, self.limit_indices, self.strides, strict=True)
        return (operands[0][tuple(slice(*each) for each in taken)],)

    def fold(self) -> Sequence[Value | Attribute] | None:
        if self.operand.type == self.result.type:
            return (self.operand,)
        return super().fold()

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        match self.operand.defining_op:
            case Slice() as inner:
                return (self._of_slice(builder, inner),)
            case BroadcastInDim() as inner:
                return (self._of_broadcast(builder, inner),)
            case Concatenate() as inner:
                return self._of_concatenate(builder, inner)
            case Pad() as inner:
                return self._of_pad(builder, inner)
            case _:
                return None

    def _of_slice(self, builder: Builder, inner: Slice) -> Value:
        places = list(zip(inner.start_indices, inner.strides, strict=True))
        starts = [a + s * b for (a, s), b in zip(places, self.start_indices, strict=True)]
        strides = [s * t for (_, s), t in zip(places, self.strides, strict=True)]
        limits = [
            start + (n - 1) * stride + 1 if n else start
            for start, stride, n in zip(starts, strides, shape_of(self.result.type), strict=True)
        ]
        return slice_(builder, inner.operand, starts, limits, strides)

    def _of_broadcast(self, builder: Builder, inner: BroadcastInDim) -> Value:
        """Slice the operand of the broadcast along those axes that it does not repeat."""
        shape = shape_of(inner.operand.type)
        starts, limits, strides = [0] * len(shape), list(shape), [1] * len(shape)
        repeated = inner.repeated
        for axis, d in enumerate(inner.broadcast_dimensions):
            if d not in repeated:
                starts[axis], strides[axis] = self.start_indices[d], self.strides[d]
                limits[axis] = self.limit_indices[d]
        x = slice_(builder, inner.operand, starts, limits, strides)
        return broadcast_in_dim(builder, x, shape_of(self.result.type), inner.broadcast_dimensions)

    def _of_concatenate(self, builder: Builder, inner: Concatenate) -> Sequence[Value] | None:
        """A slice that stays within one part is a slice of that part."""
        axis, at = inner.dimension, 0
        for part in inner.parts:
            end = at + shape_of(part.type)[axis]
            if at <= self.start_indices[axis] and self.limit_indices[axis] <= end:
                starts, limits = list(self.start_indices), list(self.limit_indices)
                starts[axis] -= at
                limits[axis] -= at
                return (slice_(builder, part, starts, limits, self.strides),)
            at = end
        return None

    def _of_pad(self, builder: Builder, inner: Pad) -> Sequence[Value] | None:
        """A slice that stays clear of the padding is a slice of what was padded."""
        if any(inner.interior_padding):
            return None
        shape = shape_of(inner.input.type)
        low = inner.edge_padding_low
        starts = [s - p for s, p in zip(self.start_indices, low, strict=True)]
        limits = [s - p for s, p in zip(self.limit_indices, low, strict=True)]
        if any(s < 0 for s in starts) or any(e > n for e, n in zip(limits, shape, strict=True)):
            return None
        if any(s > e for s, e in zip(starts, limits, strict=True)):
            return None
        return (slice_(builder, inner.input, starts, limits, self.strides),)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        (x,) = tangents
        if x is None:
            return (None,)
        return (slice_(builder, x, self.start_indices, self.limit_indices, self.strides),)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (y,) = cotangents
        if y is None:
            return (None,)
        low, interior = self.start_indices, [s - 1 for s in self.strides]
        extents = [
            a + (n - 1) * s + 1 if n else a
            for a, s, n in zip(low, self.strides, shape_of(y.type), strict=True)
        ]
        high = [n - e for n, e in zip(shape_of(self.operand.type), extents, strict=True)]
        zero = arith.scalar(builder, 0, type_of(y).dtype)
        return (pad(builder, y, zero, low, high, interior),)

    def add_adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None], total: Value
    ) -> Value | None:
        (y,) = cotangents
        if y is None:
            return None
        if any(s > 1 for s in self.strides):
            (part,) = self.adjoint(builder, cotangents)
            assert part is not None
            return arith.add(builder, total, part)
        update = Operation.registry["tensor.dynamic_update_slice"]
        starts = [arith.index(builder, start) for start in self.start_indices]
        return builder.insert(update([total, y, *starts], {"combiner": "add"})).results[0]

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        (x,) = operands
        lead = shape_of(x.value.type)[: len(x.axes)]
        starts = (*[0] * len(lead), *self.start_indices)
        strides = (*[1] * len(lead), *self.strides)
        value = slice_(builder, x.value, starts, (*lead, *self.limit_indices), strides)
        return (Batched(value, x.axes),)


class Pad(TensorOp):
    """`tensor.pad`: `padding_value` before, after and between the elements along each axis.

    Negative low and high padding takes elements away, after interior padding.
    C1: one low, high and interior padding for each axis. C2: interior padding is not negative.
    C3: no axis of the result has negative size. C4: the padding value is an element.
    """

    name = "tensor.pad"
    input = operand()
    padding_value = operand()
    edge_padding_low = int_tuple()
    edge_padding_high = int_tuple()
    interior_padding = int_tuple()
    result = result()

    def infer(self) -> Sequence[Type]:
        type_ = type_of(self.input)
        low, high = self.edge_padding_low, self.edge_padding_high
        ranks = {len(low), len(high), len(self.interior_padding)}
        self.require(1, ranks == {type_.rank}, f"not one padding for each axis of {type_}")
        self.require(2, all(i >= 0 for i in self.interior_padding), "negative interior padding")
        shape = tuple(
            n + max(n - 1, 0) * i + a + b
            for n, a, b, i in zip(type_.shape, low, high, self.interior_padding, strict=True)
        )
        self.require(3, all(n >= 0 for n in shape), f"padding {type_} leaves {shape}")
        element = TensorType((), type_.dtype)
        self.require(4, self.padding_value.type == element, f"the padding is no {element}")
        return (TensorType(shape, type_.dtype),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        x, fill = operands
        axes = list(
            zip(
                x.shape,
                self.edge_padding_low,
                self.edge_padding_high,
                self.interior_padding,
                strict=True,
            )
        )
        wide = [n + max(n - 1, 0) * i + max(a, 0) + max(b, 0) for n, a, b, i in axes]
        out = np.full(wide, fill, x.dtype)
        place = [
            slice(max(a, 0), max(a, 0) + (n - 1) * (i + 1) + 1 if n else max(a, 0), i + 1)
            for n, a, _, i in axes
        ]
        out[tuple(place)] = x
        crop = [
            slice(max(-a, 0), n - max(-b, 0)) for n, (_, a, b, _) in zip(wide, axes, strict=True)
        ]
        return (out[tuple(crop)],)

    def fold(self) -> Sequence[Value | Attribute] | None:
        edges = (*self.edge_padding_low, *self.edge_padding_high)
        if self.input.type == self.result.type and not any(edges):
            return (self.input,)
        fill = splat_of(self.padding_value)
        if fill is not None and fill == splat_of(self.input):
            return (DenseElements.splat(fill, type_of(self.result)),)
        return super().fold()

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        inner = self.input.defining_op
        fill = splat_of(self.padding_value)
        if not isinstance(inner, Pad) or fill is None or fill != splat_of(inner.padding_value):
            return None
        edges = (*inner.edge_padding_low, *inner.edge_padding_high)
        if any(self.interior_padding) or any(n < 0 for n in edges):
            return None
        low = [a + b for a, b in zip(self.edge_padding_low, inner.edge_padding_low, strict=True)]
        high = [a + b for a, b in zip(self.edge_padding_high, inner.edge_padding_high, strict=True)]
        return (pad(builder, inner.input, self.padding_value, low, high, inner.interior_padding),)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        x, fill = tangents
        if x is None and fill is None:
            return (None,)
        x = arith.zeros(builder, self.input.type) if x is None else x
        fill = arith.zeros(builder, self.padding_value.type) if fill is None else fill
        return (self._again(builder, x, fill),)

    def _again(self, builder: Builder, x: Value, fill: Value) -> Value:
        low, high = self.edge_padding_low, self.edge_padding_high
        return pad(builder, x, fill, low, high, self.interior_padding)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (y,) = cotangents
        if y is None:
            return (None, None)
        zero = arith.scalar(builder, 0, type_of(y).dtype)
        low, high = [-n for n in self.edge_padding_low], [-n for n in self.edge_padding_high]
        uncropped = pad(builder, y, zero, low, high)
        strides = [i + 1 for i in self.interior_padding]
        shape = shape_of(uncropped.type)
        x_bar = slice_(builder, uncropped, [0] * len(shape), shape, strides)
        if splat_of(self.padding_value) is not None:
            return (x_bar, None)
        every = range(len(shape))
        inside = arith.ones(builder, self.input.type)
        outside = arith.subtract(
            builder, arith.ones(builder, y.type), self._again(builder, inside, zero)
        )
        return (x_bar, sum_over(builder, arith.guarded_multiply(builder, outside, y), tuple(every)))

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        x, fill = operands
        lead = [0] * len(x.axes)
        low, high = (*lead, *self.edge_padding_low), (*lead, *self.edge_padding_high)
        interior = (*lead, *self.interior_padding)
        if not fill.axes:
            return (Batched(pad(builder, x.value, fill.value, low, high, interior), x.axes),)
        # A padding value for each point: pad with zeros, and select it outside.
        (value, filling), axes = align_all(builder, operands)
        lead = [0] * len(axes)
        low, high = (*lead, *self.edge_padding_low), (*lead, *self.edge_padding_high)
        interior = (*lead, *self.interior_padding)
        zero = arith.scalar(builder, 0, type_of(value).dtype)
        padded = pad(builder, value, zero, low, high, interior)
        off = arith.scalar(builder, False, DType.BOOL)
        on = arith.ones(builder, TensorType(shape_of(value.type), DType.BOOL))
        inside = pad(builder, on, off, low, high, interior)
        spread = broadcast_in_dim(builder, filling, shape_of(padded.type), range(len(axes)))
        return (Batched(arith.select(builder, inside, padded, spread), axes),)


class Concatenate(TensorOp):
    """`tensor.concatenate`: the parts one after another along `dimension`.

    C1: there is a part. C2: `dimension` is an axis. C3: the parts agree in dtype and in all other
    axes.
    """

    name = "tensor.concatenate"
    parts = operands()
    dimension = attribute(int)
    result = result()

    def infer(self) -> Sequence[Type]:
        self.require(1, len(self.parts) > 0, "nothing to concatenate")
        types, axis = [type_of(part) for part in self.parts], self.dimension
        first = types[0]
        self.require(2, 0 <= axis < first.rank, f"{first} has no axis {axis}")
        frames = {(t.shape[:axis], t.shape[axis + 1 :], t.rank, t.dtype) for t in types}
        self.require(3, len(frames) == 1, "the parts do not fit")
        total = sum(t.shape[axis] for t in types)
        return (TensorType((*first.shape[:axis], total, *first.shape[axis + 1 :]), first.dtype),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return (np.concatenate(operands, self.dimension),)

    def fold(self) -> Sequence[Value | Attribute] | None:
        return (self.parts[0],) if len(self.parts) == 1 else super().fold()

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        kept = [part for part in self.parts if shape_of(part.type)[self.dimension] > 0]
        if kept and len(kept) < len(self.parts):
            return (concatenate(builder, kept, self.dimension),)
        flat: list[Value] = []
        for part in self.parts:
            inner = part.defining_op
            nested = isinstance(inner, Concatenate) and inner.dimension == self.dimension
            flat.extend(inner.operands if inner is not None and nested else (part,))
        if len(flat) > len(self.parts):
            return (concatenate(builder, flat, self.dimension),)
        return None

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        if all(t is None for t in tangents):
            return (None,)
        parts = [
            arith.zeros(builder, part.type) if t is None else t
            for part, t in zip(self.parts, tangents, strict=True)
        ]
        return (concatenate(builder, parts, self.dimension),)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (y,) = cotangents
        if y is None:
            return [None] * len(self.parts)
        bars: list[Value | None] = []
        start = 0
        for part in self.parts:
            n = shape_of(part.type)[self.dimension]
            bars.append(slice_axis(builder, y, self.dimension, start, start + n))
            start += n
        return bars

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        values, axes = align_all(builder, operands)
        return (Batched(concatenate(builder, values, len(axes) + self.dimension), axes),)


class Reverse(TensorOp):
    """`tensor.reverse`: turned round along `dimensions`.

    C1: `dimensions` are distinct axes.
    """

    name = "tensor.reverse"
    keeps_splats = True
    operand = operand()
    dimensions = int_tuple()
    result = result()

    def infer(self) -> Sequence[Type]:
        type_ = type_of(self.operand)
        valid = are_dimensions(self.dimensions, type_.rank)
        self.require(1, valid, f"{self.dimensions} are not axes of {type_}")
        return (type_,)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return (np.flip(operands[0], self.dimensions),)

    def fold(self) -> Sequence[Value | Attribute] | None:
        return super().fold() if self.dimensions else (self.operand,)

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        inner = self.operand.defining_op
        if isinstance(inner, Reverse):
            once = set(self.dimensions) ^ set(inner.dimensions)
            return (reverse(builder, inner.operand, sorted(once)),)
        shape = shape_of(self.operand.type)
        repeated = inner.repeated if isinstance(inner, BroadcastInDim) else ()
        idle = [d for d in self.dimensions if shape[d] <= 1 or d in repeated]
        if idle:
            return (reverse(builder, self.operand, without(self.dimensions, idle)),)
        return None

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        (x,) = tangents
        return (None if x is None else reverse(builder, x, self.dimensions),)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (y,) = cotangents
        return (None if y is None else reverse(builder, y, self.dimensions),)

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        (x,) = operands
        dims = [len(x.axes) + d for d in self.dimensions]
        return (Batched(reverse(builder, x.value, dims), x.axes),)


def slice_(
    builder: Builder,
    x: Value,
    start_indices: Sequence[int],
    limit_indices: Sequence[int],
    strides: Sequence[int] | None = None,
) -> Value:
    """Static slice; `x` itself when it takes everything. The strides are 1 when left out."""
    strides = [1] * len(start_indices) if strides is None else strides
    whole = not any(start_indices) and all(s == 1 for s in strides)
    if whole and tuple(limit_indices) == shape_of(x.type):
        return x
    attributes = {
        "start_indices": tuple(start_indices),
        "limit_indices": tuple(limit_indices),
        "strides": tuple(strides),
    }
    return builder.insert(Slice([x], attributes)).result


def slice_axis(
    builder: Builder, x: Value, axis: int, start: int, limit: int, stride: int = 1
) -> Value:
    """`start:limit:stride` along one axis, everything along the others."""
    shape = shape_of(x.type)
    starts, limits, strides = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis], limits[axis], strides[axis] = start, limit, stride
    return slice_(builder, x, starts, limits, strides)


def index_axis(builder: Builder, x: Value, axis: int, index: int) -> Value:
    """The part at a constant `index` along one axis, which is dropped."""
    part = slice_axis(builder, x, axis, index, index + 1)
    shape = shape_of(x.type)
    return reshape(builder, part, (*shape[:axis], *shape[axis + 1 :]))


def pad(
    builder: Builder,
    x: Value,
    padding_value: Value,
    low: Sequence[int],
    high: Sequence[int],
    interior: Sequence[int] | None = None,
) -> Value:
    """`x` itself when all padding is 0. Interior padding is 0 when left out."""
    interior = [0] * len(low) if interior is None else interior
    if not any(low) and not any(high) and not any(interior):
        return x
    attributes = {
        "edge_padding_low": tuple(low),
        "edge_padding_high": tuple(high),
        "interior_padding": tuple(interior),
    }
    return builder.insert(Pad([x, padding_value], attributes)).result


def concatenate(builder: Builder, parts: Sequence[Value], dimension: int) -> Value:
    """The parts in order; a single part is returned itself."""
    if len(parts) == 1:
        return parts[0]
    return builder.insert(Concatenate(parts, {"dimension": dimension})).result


def reverse(builder: Builder, x: Value, dimensions: Sequence[int]) -> Value:
    """`x` itself when there are no dimensions."""
    if not dimensions:
        return x
    return builder.insert(Reverse([x], {"dimensions": tuple(dimensions)})).result
