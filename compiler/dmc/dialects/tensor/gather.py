"""`tensor`: elements read from, and written to, positions given by index tensors.

StableHLO's gather and scatter in the case that the language needs: slices have size 1 along the
indexed axes and are whole along the others, and the result has the axes of the indices first. The
components of an index are separate operands, not one axis of a tensor, so each can be fused.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from math import prod

import numpy as np

from dmc.dialects import arith
from dmc.dialects.flow import Adding
from dmc.dialects.tensor.access import accumulate_at
from dmc.dialects.tensor.base import (
    Reading,
    TensorOp,
    are_dimensions,
    is_zero,
    rank_of,
    sum_over,
    type_of,
    without,
)
from dmc.dialects.tensor.batching import align, axis_sizes, union
from dmc.dialects.tensor.creation import iota
from dmc.dialects.tensor.labels import (
    Labelled,
    needs_less_than_gather,
    scatter_by_label,
    take_by_label,
)
from dmc.dialects.tensor.shape import broadcast_in_dim, reshape, transpose
from dmc.dialects.tensor.subscripts import subscript_of
from dmc.ir import (
    AffineExpr,
    Array,
    Attribute,
    Batched,
    Builder,
    DType,
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


class Combiner(enum.Enum):
    """What a scatter does with the element already there."""

    ADD = "add"
    SET = "set"


class Update(TensorOp, Adding):
    """Base of operations whose result is their first operand with some elements changed.

    Where nothing else needs that operand they change it in place.
    """

    computes = True

    @property
    def adds(self) -> bool:
        """Whether it adds to elements rather than setting them."""
        return self.attributes["combiner"] == Combiner.ADD.value

    @property
    def grows(self) -> Sequence[Value]:
        return self.operands[:1] if self.adds else ()

    def overwritten(self, builder: Builder) -> Value:
        """The elements of the first operand that the result has changed."""
        raise TypeError(f"{self.name} does not say what it overwrites")

    def restored(
        self, builder: Builder, changed: Value, old: Value, places: Sequence[Value]
    ) -> Value:
        """The first operand again, from the result and what `overwritten` gave.

        `places` stand for the operands behind the first two, which say where.
        """
        values = [changed, old, *places]
        attributes = {**self.attributes, "combiner": Combiner.SET.value}
        return builder.insert(type(self)(values, attributes)).results[0]

    def add_all(
        self, builder: Builder, base: Batched, update: Batched, places: Sequence[Batched]
    ) -> Value:
        """`base` with the updates of all points added, which its axes are only some of.

        `update` has all axes of the points.
        """
        kept = {*base.axes, *(axis for place in places for axis in place.axes)}
        gone = [place for place, axis in enumerate(update.axes) if axis not in kept]
        total = sum_over(builder, update.value, gone)
        axes = tuple(axis for axis in update.axes if axis in kept)
        return self.put(builder, base, Batched(total, axes), places, Combiner.ADD)

    def put(
        self,
        builder: Builder,
        base: Batched,
        update: Batched,
        places: Sequence[Batched],
        combiner: Combiner,
    ) -> Value:
        """`base` changed by the updates of all points, at their places."""
        raise TypeError(f"{self.name} does not say how it changes a tensor")


class Indexing(TensorOp):
    """What gather and scatter share: the indexed tensor comes first, the indices last."""

    start_index_map = int_tuple()
    operand_batching_dims = int_tuple(())
    start_indices_batching_dims = int_tuple(())

    @property
    def index_operands(self) -> tuple[Value, ...]:
        raise TypeError(f"{self.name} does not say where its indices are")

    @property
    def index_shape(self) -> tuple[int, ...]:
        return shape_of(self.index_operands[0].type)

    @property
    def whole_dims(self) -> tuple[int, ...]:
        """The axes of the indexed tensor that are taken whole."""
        used = (*self.start_index_map, *self.operand_batching_dims)
        return without(range(rank_of(self.operands[0])), used)

    def taken_type(self) -> TensorType:
        """The type of what the indices address. Checks constraints 1 to 4."""
        type_, indices = type_of(self.operands[0]), [type_of(i) for i in self.index_operands]
        valid = len({i.shape for i in indices}) == 1 and all(i.dtype.is_integer for i in indices)
        self.require(1, valid, "the indices are not integer tensors of one shape")
        valid = len(indices) == len(self.start_index_map)
        self.require(1, valid, f"{len(indices)} indices for axes {self.start_index_map}")
        used = (*self.start_index_map, *self.operand_batching_dims)
        self.require(2, are_dimensions(used, type_.rank), f"{used} are not axes of {type_}")
        shape, batching = indices[0].shape, self.start_indices_batching_dims
        valid = are_dimensions(batching, len(shape)) and len(batching) == len(
            self.operand_batching_dims
        )
        self.require(3, valid, f"batching axes {batching} of indices of shape {shape}")
        pairs = zip(self.operand_batching_dims, batching, strict=True)
        equal = all(type_.shape[i] == shape[j] for i, j in pairs)
        self.require(3, equal, "paired batching axes differ in size")
        empty = any(type_.shape[d] == 0 for d in self.start_index_map)
        self.require(4, not empty or prod(shape) == 0, f"nothing to index in {type_}")
        return TensorType((*shape, *(type_.shape[d] for d in self.whole_dims)), type_.dtype)

    def merged(self, x: Array, indices: Sequence[Array]) -> tuple[Array, tuple[int, ...]]:
        """Positions in `x` with indexed and batching axes moved first and merged."""
        dims = (*self.start_index_map, *self.operand_batching_dims)
        subscripts: list[Array] = [
            np.clip(index.astype(np.int64), 0, x.shape[d] - 1)
            for index, d in zip(indices, self.start_index_map, strict=True)
        ]
        grid = np.indices(self.index_shape)
        subscripts += [grid[d] for d in self.start_indices_batching_dims]
        flat = np.zeros(self.index_shape, np.int64)
        for d, subscript in zip(dims, subscripts, strict=True):
            flat = flat * x.shape[d] + subscript
        return flat, (*dims, *self.whole_dims)

    def index_labels(self) -> tuple[int, ...]:
        """Labels of the axes of the indices: negative, so none is a map axis."""
        return tuple(range(-len(self.index_shape), 0))

    def point_labels(self) -> tuple[int, ...]:
        """Labels of the axes of the indexed tensor; batching axes have those of the indices."""
        indices = self.index_labels()
        base = -len(indices) - rank_of(self.operands[0])
        labels = list(range(base, -len(indices)))
        pairs = zip(self.operand_batching_dims, self.start_indices_batching_dims, strict=True)
        for d, i in pairs:
            labels[d] = indices[i]
        return tuple(labels)

    def subscripts(self, labels: Sequence[int], indices: Sequence[Batched]) -> dict[int, Labelled]:
        """The index of each indexed axis, by the label of that axis."""
        return {
            labels[d]: Labelled(index.value, (*index.axes, *self.index_labels()))
            for d, index in zip(self.start_index_map, indices, strict=True)
        }


class Gather(Indexing, Reading):
    """`tensor.gather`: for each point of the indices the part of `operand` they address.

    Index `i` addresses axis `start_index_map[i]`, clamped into range. Batching axes of operand and
    indices run together. The result has the axes of the indices, then the remaining axes of the
    operand, whole.
    C1: the indices are integers of one shape, one for each entry of `start_index_map`.
    C2: indexed and batching axes are distinct axes of the operand. C3: batching axes pair up in
    number and size. C4: indexed axes are not empty, unless there are no indices.
    """

    name = "tensor.gather"
    operand = operand()
    indices = operands()
    result = result()

    @property
    def index_operands(self) -> tuple[Value, ...]:
        return self.indices

    def infer(self) -> Sequence[Type]:
        return (self.taken_type(),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        x, *indices = operands
        flat, order = self.merged(x, indices)
        merged = len(order) - len(self.whole_dims)
        moved = x.transpose(order)
        rows = moved.reshape(prod(moved.shape[:merged]), *moved.shape[merged:])
        return (rows[flat],)

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        labels = self.point_labels()
        at = self.subscripts(labels, [Batched(index) for index in self.indices])
        x = Labelled(self.operand, labels)
        if not needs_less_than_gather(x, at):
            return None
        wanted = (*self.index_labels(), *(labels[d] for d in self.whole_dims))
        taken = take_by_label(builder, x, at)
        return (taken.spread(builder, wanted, shape_of(self.result.type)),)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        x = tangents[0]
        return (None if x is None else self.again(builder, x),)

    def again(self, builder: Builder, x: Value) -> Value:
        """The same gather of another tensor of the same shape."""
        return builder.insert(Gather([x, *self.indices], self.attributes)).result

    def add_adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None], total: Value
    ) -> Value | None:
        (y,) = cotangents
        if y is None:
            return None
        attributes = {**self.attributes, "combiner": Combiner.ADD.value}
        return builder.insert(Scatter([total, y, *self.indices], attributes)).result

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        x, *indices = operands
        labels = self.point_labels()
        at = self.subscripts(labels, indices)
        taken = take_by_label(builder, Labelled(x.value, (*x.axes, *labels)), at)
        axes = union(operands)
        inner = (*self.index_labels(), *(labels[d] for d in self.whole_dims))
        kept = tuple(axis for axis in axes if axis in taken.labels)
        sizes = taken.sizes()
        shape = (*(sizes[axis] for axis in kept), *shape_of(self.result.type))
        return (Batched(taken.spread(builder, (*kept, *inner), shape), kept),)


class Scatter(Indexing, Update):
    """`tensor.scatter`: `operand` with `updates` added or set where the indices point.

    The transpose of `tensor.gather`: the same indices address the same elements, clamped into
    range. Updates apply in row-major order, so of several that set an element the last stays.
    C1 to C4: as for `tensor.gather`. C5: `updates` has the type that gather would give.
    """

    name = "tensor.scatter"
    input = operand()
    updates = operand()
    indices = operands()
    combiner = attribute(Combiner)
    result = result()

    @property
    def index_operands(self) -> tuple[Value, ...]:
        return self.indices

    def infer(self) -> Sequence[Type]:
        taken = self.taken_type()
        self.require(5, self.updates.type == taken, f"{self.updates.type} is not {taken}")
        return (self.input.type,)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        x, updates, *indices = operands
        flat, order = self.merged(x, indices)
        merged = len(order) - len(self.whole_dims)
        moved = x.transpose(order)
        out = np.array(moved.reshape(prod(moved.shape[:merged]), *moved.shape[merged:]))
        rows = updates.reshape(flat.size, *out.shape[1:])
        if self.combiner is Combiner.ADD:
            np.add.at(out, flat.reshape(-1), rows)
        else:
            out[flat.reshape(-1)] = rows
        return (out.reshape(moved.shape).transpose(np.argsort(order)),)

    def fold(self) -> Sequence[Value | Attribute] | None:
        if self.combiner is Combiner.ADD and is_zero(self.updates):
            return (self.input,)
        return super().fold()

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        if self.combiner is not Combiner.ADD or not is_zero(self.input):
            return None
        shape = self.index_shape
        exprs = [subscript_of(index) for index in self.indices]
        known = [e for e in exprs if e is not None]
        if len(known) < len(exprs):
            return None
        sizes = shape_of(self.updates.type)
        rank, lead = len(sizes), len(shape)
        by = [AffineExpr.dim(rank, d) for d in range(lead)]
        size = shape_of(self.input.type)
        found = {
            d: e.substitute(by, rank, sizes).clamp(0, size[d] - 1, sizes)
            for d, e in zip(self.start_index_map, known, strict=True)
        }
        pairs = zip(self.operand_batching_dims, self.start_indices_batching_dims, strict=True)
        found.update({d: by[i] for d, i in pairs})
        found.update({d: AffineExpr.dim(rank, lead + k) for k, d in enumerate(self.whole_dims)})
        subscripts = [found[d] for d in range(len(size))]
        return (accumulate_at(builder, self.updates, size, subscripts),)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        x, updates = tangents[:2]
        if x is None and updates is None:
            return (None,)
        if updates is None and self.combiner is Combiner.ADD:
            return (x,)
        x = arith.zeros(builder, self.input.type) if x is None else x
        updates = arith.zeros(builder, self.updates.type) if updates is None else updates
        op = Scatter([x, updates, *self.indices], self.attributes)
        return (builder.insert(op).result,)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (y,) = cotangents
        nothing = [None] * len(self.indices)
        if y is None:
            return (None, None, *nothing)
        updates_bar = self._gather(builder, y)
        if self.combiner is Combiner.ADD:
            return (y, updates_bar, *nothing)
        zero = arith.zeros(builder, self.updates.type)
        op = Scatter([y, zero, *self.indices], self.attributes)
        if self.index_shape:
            updates_bar = arith.select(builder, self._stays(builder), updates_bar, zero)
        return (builder.insert(op).result, updates_bar, *nothing)

    def overwritten(self, builder: Builder) -> Value:
        return self._gather(builder, self.input)

    def _gather(self, builder: Builder, x: Value) -> Value:
        attributes = {k: v for k, v in self.attributes.items() if k != "combiner"}
        return builder.insert(Gather([x, *self.indices], attributes)).result

    def _stays(self, builder: Builder) -> Value:
        """Which updates are not overwritten by a later one."""
        shape = self.index_shape
        count = TensorType((prod(shape),), DType.I64)
        number = reshape(builder, iota(builder, count), shape)
        number = broadcast_in_dim(builder, number, shape_of(self.updates.type), range(len(shape)))
        blank = TensorType(shape_of(self.input.type), DType.I64)
        none = arith.constant(builder, -1, blank)
        owners = builder.insert(Scatter([none, number, *self.indices], self.attributes)).result
        owner = self._gather(builder, owners)
        return arith.compare(builder, arith.Direction.EQ, owner, number)

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        x, updates, *indices = operands
        axes = union(operands)
        base = Batched(align(builder, x, axes, axis_sizes(operands)), axes)
        return (Batched(self.put(builder, base, updates, indices, self.combiner), axes),)

    def put(
        self,
        builder: Builder,
        base: Batched,
        update: Batched,
        places: Sequence[Batched],
        combiner: Combiner,
    ) -> Value:
        labels, inner = self.point_labels(), self.index_labels()
        target = Labelled(base.value, (*base.axes, *labels))
        whole = (*update.axes, *inner, *(labels[d] for d in self.whole_dims))
        at = self.subscripts(labels, places)
        placed = Labelled(update.value, whole)
        sizes = axis_sizes([base, update, *places])
        return scatter_by_label(builder, target, placed, at, combiner.value, sizes)


def gather(
    builder: Builder,
    operand: Value,
    indices: Sequence[Value],
    start_index_map: Sequence[int],
    operand_batching_dims: Sequence[int] = (),
    start_indices_batching_dims: Sequence[int] = (),
) -> Value:
    """Parts of `operand` at `indices`, one integer tensor for each indexed axis."""
    attributes: dict[str, Attribute] = {
        "start_index_map": tuple(start_index_map),
        "operand_batching_dims": tuple(operand_batching_dims),
        "start_indices_batching_dims": tuple(start_indices_batching_dims),
    }
    return builder.insert(Gather([operand, *indices], attributes)).result


def scatter(
    builder: Builder,
    operand: Value,
    updates: Value,
    indices: Sequence[Value],
    start_index_map: Sequence[int],
    combiner: Combiner = Combiner.ADD,
    operand_batching_dims: Sequence[int] = (),
    start_indices_batching_dims: Sequence[int] = (),
) -> Value:
    """`operand` with `updates`, shaped as `gather` would give them, added or set."""
    attributes: dict[str, Attribute] = {
        "start_index_map": tuple(start_index_map),
        "operand_batching_dims": tuple(operand_batching_dims),
        "start_indices_batching_dims": tuple(start_indices_batching_dims),
        "combiner": combiner.value,
    }
    return builder.insert(Scatter([operand, updates, *indices], attributes)).result


def take(builder: Builder, x: Value, indices: Value, axis: int = 0) -> Value:
    """`x` along one axis at `indices` of any rank; the axes of `indices` replace that axis."""
    return take_points(builder, x, [indices], [axis])


def take_points(builder: Builder, x: Value, indices: Sequence[Value], axes: Sequence[int]) -> Value:
    """`x` at points of several axes, ascending; the axes of the indices stand where the first was.

    The indices are of one shape.
    """
    taken = gather(builder, x, indices, axes)
    rank = rank_of(indices[0])
    outer = range(rank, rank + axes[0])
    inner = range(rank + axes[0], rank_of(taken))
    return transpose(builder, taken, (*outer, *range(rank), *inner))


def take_along(builder: Builder, x: Value, indices: Value, axis: int) -> Value:
    """`x[…, indices[…, i, …], …]`: along one axis, the others running together."""
    others = without(range(rank_of(x)), (axis,))
    return gather(builder, x, [indices], [axis], others, others)


def add_along(builder: Builder, x: Value, updates: Value, indices: Value, axis: int) -> Value:
    """The transpose of `take_along`: `x` with `updates` added at `indices` along one axis."""
    others = without(range(rank_of(x)), (axis,))
    return scatter(builder, x, updates, [indices], [axis], Combiner.ADD, others, others)
