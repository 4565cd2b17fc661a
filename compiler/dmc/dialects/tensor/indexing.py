"""`tensor`: reading and writing at a position given by scalars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dmc.dialects import arith
from dmc.dialects.elementwise import splat_of
from dmc.dialects.tensor.base import Reading, inverse, is_zero, permuted, rank_of, type_of
from dmc.dialects.tensor.batching import align, axis_sizes, union
from dmc.dialects.tensor.creation import FromElements, arange
from dmc.dialects.tensor.gather import Combiner, Update
from dmc.dialects.tensor.labels import Labelled, scatter_by_label, take_by_label
from dmc.dialects.tensor.movement import slice_
from dmc.dialects.tensor.shape import (
    BroadcastInDim,
    Reshape,
    Transpose,
    broadcast_in_dim,
    reshape,
)
from dmc.dialects.tensor.subscripts import subscript_of
from dmc.ir import (
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
    operands,
    result,
    shape_of,
)


def _are_scalars(indices: Sequence[Value]) -> bool:
    types = [type_of(index) for index in indices]
    return all(type_.rank == 0 and type_.dtype.is_integer for type_ in types)


class Extract(Reading):
    """`tensor.extract`: the element at `indices`, each clamped into range, as a 0-d tensor.

    C1: one 0-d integer index for each axis. C2: the tensor has elements.
    """

    name = "tensor.extract"
    operand = operand()
    indices = operands()
    result = result()

    def infer(self) -> Sequence[Type]:
        type_ = type_of(self.operand)
        valid = len(self.indices) == type_.rank and _are_scalars(self.indices)
        self.require(1, valid, f"not one 0-d integer for each axis of {type_}")
        self.require(2, type_.size > 0, f"no element in {type_}")
        return (TensorType((), type_.dtype),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        x, *indices = operands
        at = tuple(int(np.clip(i, 0, n - 1)) for i, n in zip(indices, x.shape, strict=True))
        return (np.asarray(x[at]),)

    def fold(self) -> Sequence[Value | Attribute] | None:
        splat = splat_of(self.operand)
        if splat is not None:
            return (DenseElements.splat(splat, type_of(self.result)),)
        inner = self.operand.defining_op
        if isinstance(inner, FromElements):
            at = splat_of(self.indices[0])
            if at is not None:
                return (inner.elements[min(max(int(at), 0), len(inner.elements) - 1)],)
        return super().fold()

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        match self.operand.defining_op:
            case BroadcastInDim() as inner:
                sizes = shape_of(inner.operand.type)
                zero = arith.index(builder, 0) if 1 in sizes else None
                at = [
                    zero if n == 1 and zero is not None else self.indices[d]
                    for n, d in zip(sizes, inner.broadcast_dimensions, strict=True)
                ]
                return (extract(builder, inner.operand, at),)
            case Transpose() as inner:
                at = permuted(self.indices, inverse(inner.permutation))
                return (extract(builder, inner.operand, at),)
            case Reshape() as inner if rank_of(inner.operand) == 0:
                return (inner.operand,)
            case _:
                return None

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        x = tangents[0]
        return (None if x is None else extract(builder, x, self.indices),)

    def add_adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None], total: Value
    ) -> Value | None:
        (y,) = cotangents
        if y is None:
            return None
        element = reshape(builder, y, [1] * len(self.indices))
        return dynamic_add_slice(builder, total, element, self.indices)

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        x, *indices = operands
        labels = tuple(range(-len(indices), 0))
        at = {
            label: Labelled(index.value, index.axes)
            for label, index in zip(labels, indices, strict=True)
        }
        taken = take_by_label(builder, Labelled(x.value, (*x.axes, *labels)), at)
        axes = tuple(sorted(taken.labels))
        sizes = taken.sizes()
        shape = [sizes[axis] for axis in axes]
        return (Batched(taken.spread(builder, axes, shape), axes),)

    def cost(self) -> Cost:
        return Cost(bytes=2 * type_of(self.operand).dtype.bytes)


class DynamicSlice(Reading):
    """`tensor.dynamic_slice`: a part of `slice_sizes` that begins at `start_indices`.

    Starts are clamped so that the part stays inside.
    C1: one 0-d integer start and one size for each axis. C2: no size exceeds its axis.
    """

    name = "tensor.dynamic_slice"
    keeps_splats = True
    operand = operand()
    start_indices = operands()
    slice_sizes = int_tuple()
    result = result()

    def infer(self) -> Sequence[Type]:
        type_, sizes = type_of(self.operand), self.slice_sizes
        ranks = {len(self.start_indices), len(sizes)}
        valid = ranks == {type_.rank} and _are_scalars(self.start_indices)
        self.require(1, valid, f"not one start and size for each axis of {type_}")
        valid = all(0 <= size <= n for size, n in zip(sizes, type_.shape, strict=True))
        self.require(2, valid, f"no part of size {sizes} in {type_}")
        return (TensorType(sizes, type_.dtype),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        x, *starts = operands
        return (x[_window(x.shape, starts, self.slice_sizes)],)

    def fold(self) -> Sequence[Value | Attribute] | None:
        return (self.operand,) if self.operand.type == self.result.type else super().fold()

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        """Constant starts make a static slice."""
        starts = _constant_starts(self.operand, self.start_indices, self.slice_sizes)
        if starts is None:
            return None
        limits = [a + n for a, n in zip(starts, self.slice_sizes, strict=True)]
        return (slice_(builder, self.operand, starts, limits),)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        x = tangents[0]
        if x is None:
            return (None,)
        return (dynamic_slice(builder, x, self.start_indices, self.slice_sizes),)

    def add_adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None], total: Value
    ) -> Value | None:
        (y,) = cotangents
        return None if y is None else dynamic_add_slice(builder, total, y, self.start_indices)

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        x, *starts = operands
        labels = tuple(range(-len(starts), 0))
        value, varying = _fixed_parts(builder, x, starts, self.slice_sizes)
        windows = {d: labels[d] - len(labels) for d in varying}
        at = _windows(builder, self.operand, starts, self.slice_sizes, labels, windows)
        taken = take_by_label(builder, Labelled(value, (*x.axes, *labels)), at)
        inner = [windows.get(d, label) for d, label in enumerate(labels)]
        axes = tuple(axis for axis in union(operands) if axis in taken.labels)
        sizes = taken.sizes()
        shape = (*(sizes[axis] for axis in axes), *self.slice_sizes)
        return (Batched(taken.spread(builder, (*axes, *inner), shape), axes),)

    def cost(self) -> Cost:
        return Cost(bytes=2 * type_of(self.result).bytes)


class DynamicUpdateSlice(Update):
    """`tensor.dynamic_update_slice`: `operand` with `update` in place of, or added to, a part.

    Starts are clamped so that the part stays inside. With the combiner `add` it is the transpose
    of `tensor.dynamic_slice`.
    C1: one 0-d integer start for each axis. C2: `update` has the operand's dtype and rank, and is
    nowhere larger.
    """

    name = "tensor.dynamic_update_slice"
    input = operand()
    update = operand()
    start_indices = operands()
    combiner = attribute(Combiner, Combiner.SET.value)
    result = result()

    def infer(self) -> Sequence[Type]:
        type_, update = type_of(self.input), type_of(self.update)
        valid = len(self.start_indices) == type_.rank and _are_scalars(self.start_indices)
        self.require(1, valid, f"not one start for each axis of {type_}")
        valid = update.dtype is type_.dtype and update.rank == type_.rank
        valid = valid and all(n <= m for n, m in zip(update.shape, type_.shape, strict=True))
        self.require(2, valid, f"{update} is no part of {type_}")
        return (type_,)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        x, update, *starts = operands
        out = np.array(x)
        window = self.window(x, starts)
        out[window] = update if self.combiner is Combiner.SET else out[window] + update
        return (out,)

    def fold(self) -> Sequence[Value | Attribute] | None:
        if self.update.type == self.input.type and self.combiner is Combiner.SET:
            return (self.update,)
        if type_of(self.update).size == 0:
            return (self.input,)
        return None

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        """Adding to everything is a sum; adding to zeros is setting."""
        if self.combiner is Combiner.SET:
            return None
        if self.update.type == self.input.type:
            return (arith.add(builder, self.input, self.update),)
        if is_zero(self.input):
            return (dynamic_update_slice(builder, self.input, self.update, self.start_indices),)
        return None

    def window(self, x: Array, starts: Sequence[Array]) -> tuple[slice, ...]:
        """The part of `x`, which is of the type of the operand, that is updated."""
        return _window(x.shape, starts, shape_of(self.update.type))

    def overwritten(self, builder: Builder) -> Value:
        sizes = shape_of(self.update.type)
        return dynamic_slice(builder, self.input, self.start_indices, sizes)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        x, update = tangents[:2]
        if x is None and update is None:
            return (None,)
        if update is None and self.combiner is Combiner.ADD:
            return (x,)
        x = arith.zeros(builder, self.input.type) if x is None else x
        update = arith.zeros(builder, self.update.type) if update is None else update
        op = DynamicUpdateSlice([x, update, *self.start_indices], self.attributes)
        return (builder.insert(op).result,)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (y,) = cotangents
        nothing = [None] * len(self.start_indices)
        if y is None:
            return (None, None, *nothing)
        sizes = shape_of(self.update.type)
        update_bar = dynamic_slice(builder, y, self.start_indices, sizes)
        if is_zero(self.input):
            return (None, update_bar, *nothing)
        if self.combiner is Combiner.ADD:
            return (y, update_bar, *nothing)
        zero = arith.zeros(builder, self.update.type)
        x_bar = dynamic_update_slice(builder, y, zero, self.start_indices)
        return (x_bar, update_bar, *nothing)

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        x, update, *starts = operands
        if self.update.type == self.input.type and self.combiner is Combiner.SET:
            return (update,)
        axes, sizes = union(operands), axis_sizes(operands)
        base = Batched(align(builder, x, axes, sizes), axes)
        value = Batched(align(builder, update, axes, sizes), axes)
        # Parts at distinct points do not meet, so setting and adding to zeros are the same.
        combiner = Combiner.ADD if is_zero(x.value) else self.combiner
        return (Batched(self.put(builder, base, value, starts, combiner), axes),)

    def add_all(
        self, builder: Builder, base: Batched, update: Batched, places: Sequence[Batched]
    ) -> Value:
        whole = self.update.type == self.input.type
        return super().add_all(builder, base, update, () if whole else places)

    def put(
        self,
        builder: Builder,
        base: Batched,
        update: Batched,
        places: Sequence[Batched],
        combiner: Combiner,
    ) -> Value:
        part = shape_of(self.update.type)
        whole = [n == m for n, m in zip(part, shape_of(self.input.type), strict=True)]
        if update.axes == base.axes and all(whole) and combiner is Combiner.ADD:
            return arith.add(builder, base.value, update.value)
        if update.axes == base.axes and all(not start.axes for start in places):
            zero = arith.index(builder, 0)
            at = [*[zero] * len(base.axes), *(start.value for start in places)]
            attributes: dict[str, Attribute] = {"combiner": combiner.value}
            op = DynamicUpdateSlice([base.value, update.value, *at], attributes)
            return builder.insert(op).result
        labels = tuple(range(-len(places), 0))
        windows = {d: labels[d] - len(labels) for d, full in enumerate(whole) if not full}
        at = _windows(builder, self.input, places, part, labels, windows)
        inner = [windows.get(d, label) for d, label in enumerate(labels)]
        placed = Labelled(update.value, (*update.axes, *inner))
        target = Labelled(base.value, (*base.axes, *labels))
        sizes = axis_sizes([base, update, *places])
        return scatter_by_label(builder, target, placed, at, combiner.value, sizes)

    def cost(self) -> Cost:
        return Cost(bytes=2 * type_of(self.update).bytes)


def _window(
    shape: Sequence[int], starts: Sequence[Array], sizes: Sequence[int]
) -> tuple[slice, ...]:
    clamped = [
        int(np.clip(start, 0, n - size))
        for start, n, size in zip(starts, shape, sizes, strict=True)
    ]
    return tuple(slice(a, a + size) for a, size in zip(clamped, sizes, strict=True))


def _constant_starts(x: Value, starts: Sequence[Value], sizes: Sequence[int]) -> list[int] | None:
    """Clamped starts, if all are constant or of whole axes."""
    out: list[int] = []
    for start, n, size in zip(starts, shape_of(x.type), sizes, strict=True):
        at = 0 if n == size else splat_of(start)
        if at is None:
            return None
        out.append(min(max(int(at), 0), n - size))
    return out


def _fixed_parts(
    builder: Builder, x: Batched, starts: Sequence[Batched], sizes: Sequence[int]
) -> tuple[Value, list[int]]:
    """Slice where the start is the same at every point; and the axes where it is not."""
    lead = len(x.axes)
    shape = shape_of(x.value.type)
    zero: Value | None = None
    at: list[Value] = []
    taken = list(shape)
    varying: list[int] = []
    for d in range(-lead, len(starts)):
        fixed = d >= 0 and not starts[d].axes and sizes[d] < shape[lead + d]
        if fixed:
            taken[lead + d] = sizes[d]
            at.append(starts[d].value)
            continue
        if d >= 0 and sizes[d] < shape[lead + d]:
            varying.append(d)
        zero = arith.index(builder, 0) if zero is None else zero
        at.append(zero)
    if tuple(taken) == shape:
        return x.value, varying
    return dynamic_slice(builder, x.value, at, taken), varying


def _windows(
    builder: Builder,
    x: Value,
    starts: Sequence[Batched],
    sizes: Sequence[int],
    labels: Sequence[int],
    windows: Mapping[int, int],
) -> dict[int, Labelled]:
    """The positions read along each axis of `windows`: clamped start plus place in the part."""
    out: dict[int, Labelled] = {}
    for d, window in windows.items():
        start, room = starts[d], shape_of(x.type)[d] - sizes[d]
        value = _clamped(builder, start, room)
        shape = (*shape_of(value.type), sizes[d])
        lead = len(start.axes)
        spread = broadcast_in_dim(builder, value, shape, range(lead))
        places = arange(builder, sizes[d], type_of(value).dtype)
        places = broadcast_in_dim(builder, places, shape, [lead])
        out[labels[d]] = Labelled(arith.add(builder, spread, places), (*start.axes, window))
    return out


def _clamped(builder: Builder, start: Batched, room: int) -> Value:
    """`start` within `0 … room`; itself when it is known to be."""
    expr = subscript_of(start.value)
    if expr is not None:
        low, high = expr.bounds(shape_of(start.value.type))
        if low >= 0 and high <= room:
            return start.value
    type_ = start.value.type
    at_most = arith.minimum(builder, start.value, arith.constant(builder, room, type_))
    return arith.maximum(builder, at_most, arith.zeros(builder, type_))


def extract(builder: Builder, x: Value, indices: Sequence[Value]) -> Value:
    """The element of `x` at 0-d integer `indices`."""
    return builder.insert(Extract([x, *indices])).result


def dynamic_slice(
    builder: Builder, x: Value, start_indices: Sequence[Value], slice_sizes: Sequence[int]
) -> Value:
    """A part of `x` beginning at 0-d integer `start_indices`."""
    attributes: dict[str, Attribute] = {"slice_sizes": tuple(slice_sizes)}
    return builder.insert(DynamicSlice([x, *start_indices], attributes)).result


def dynamic_update_slice(
    builder: Builder, x: Value, update: Value, start_indices: Sequence[Value]
) -> Value:
    """`x` with `update` written at 0-d integer `start_indices`."""
    return builder.insert(DynamicUpdateSlice([x, update, *start_indices])).result


def dynamic_add_slice(
    builder: Builder, x: Value, update: Value, start_indices: Sequence[Value]
) -> Value:
    """`x` with `update` added at 0-d integer `start_indices`."""
    attributes: dict[str, Attribute] = {"combiner": Combiner.ADD.value}
    return builder.insert(DynamicUpdateSlice([x, update, *start_indices], attributes)).result
