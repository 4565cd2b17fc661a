"""`tensor`: the general contraction of two tensors."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from dmc.dialects import arith
from dmc.dialects.tensor.base import (
    TensorOp,
    are_dimensions,
    is_zero,
    moved_bytes,
    rank_of,
    type_of,
    without,
)
from dmc.dialects.tensor.batching import align_all, arrange, union
from dmc.dialects.tensor.shape import Transpose, broadcast_in_dim, reshape
from dmc.ir import (
    Array,
    Batched,
    Builder,
    Cost,
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


class DotGeneral(TensorOp):
    """`tensor.dot_general`: sums products over contracting axes, for each point of batching axes.

    The axes of the result are the batching axes, then those left of `lhs`, then those left of
    `rhs`. Half precision accumulates in f32. `lhs_absorbs`: a product of a zero of `lhs` and an
    infinity or NaN of `rhs` is 0, as in `arith.guarded_multiply`; `rhs_absorbs` likewise. With a
    third operand, products of elements of `lhs` that it does not select are 0.
    C1: as many axes of `lhs` as of `rhs` are batching, and as many contracting. C2: those of one
    operand are distinct axes. C3: paired axes have equal size. C4: element types are equal
    numbers. C5: `selected` is nothing, or one `i1` tensor of the shape of `lhs`.
    """

    name = "tensor.dot_general"
    computes = True
    lhs = operand()
    rhs = operand()
    selected = operands()
    lhs_batching_dimensions = int_tuple(())
    rhs_batching_dimensions = int_tuple(())
    lhs_contracting_dimensions = int_tuple()
    rhs_contracting_dimensions = int_tuple()
    lhs_absorbs = attribute(bool, default=False)
    rhs_absorbs = attribute(bool, default=False)
    result = result()

    @property
    def lhs_free(self) -> tuple[int, ...]:
        """The axes of `lhs` that are neither batching nor contracting, ascending."""
        used = (*self.lhs_batching_dimensions, *self.lhs_contracting_dimensions)
        return without(range(rank_of(self.lhs)), used)

    @property
    def rhs_free(self) -> tuple[int, ...]:
        """The axes of `rhs` that are neither batching nor contracting, ascending."""
        used = (*self.rhs_batching_dimensions, *self.rhs_contracting_dimensions)
        return without(range(rank_of(self.rhs)), used)

    def infer(self) -> Sequence[Type]:
        lhs, rhs = type_of(self.lhs), type_of(self.rhs)
        lb, rb = self.lhs_batching_dimensions, self.rhs_batching_dimensions
        lc, rc = self.lhs_contracting_dimensions, self.rhs_contracting_dimensions
        self.require(1, len(lb) == len(rb) and len(lc) == len(rc), "axes do not pair up")
        valid = are_dimensions((*lb, *lc), lhs.rank) and are_dimensions((*rb, *rc), rhs.rank)
        self.require(2, valid, f"bad axes for {lhs} and {rhs}")
        pairs = zip((*lb, *lc), (*rb, *rc), strict=True)
        equal = all(lhs.shape[i] == rhs.shape[j] for i, j in pairs)
        self.require(3, equal, f"paired axes of {lhs} and {rhs} differ in size")
        numbers = lhs.dtype is rhs.dtype and lhs.dtype is not DType.BOOL
        self.require(4, numbers, f"element types of {lhs} and {rhs}")
        wanted = [TensorType(lhs.shape, DType.BOOL)] if self.selected else []
        self.require(5, [v.type for v in self.selected] == wanted, "what is selected of `lhs`")
        sizes = [lhs.shape[d] for d in (*lb, *self.lhs_free)]
        sizes += [rhs.shape[d] for d in self.rhs_free]
        return (TensorType(tuple(sizes), lhs.dtype),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        lhs, rhs, *selected = operands
        left = list(range(lhs.ndim))
        right = [lhs.ndim + d for d in range(rhs.ndim)]
        lefts = (*self.lhs_batching_dimensions, *self.lhs_contracting_dimensions)
        rights = (*self.rhs_batching_dimensions, *self.rhs_contracting_dimensions)
        for i, j in zip(lefts, rights, strict=True):
            right[j] = left[i]
        batching = list(self.lhs_batching_dimensions)
        out = batching + list(self.lhs_free) + [right[d] for d in self.rhs_free]
        if not self.absorbs and not selected:
            product = np.einsum(lhs, left, rhs, right, out, optimize=True)
            return (np.asarray(product),)
        axes = [*out, *(left[d] for d in self.lhs_contracting_dimensions)]
        sizes = dict(zip((*left, *right), (*lhs.shape, *rhs.shape), strict=True))
        x, y, *chosen = (
            np.transpose(array, [own.index(a) for a in axes if a in own]).reshape(
                [sizes[a] if a in own else 1 for a in axes]
            )
            for array, own in ((lhs, left), (rhs, right), *((mask, left) for mask in selected))
        )
        summed = tuple(range(len(out), len(axes)))
        product = arith.multiplied(x, y, self.lhs_absorbs, self.rhs_absorbs)
        for mask in chosen:
            product = np.where(mask, product, np.zeros((), product.dtype))
        return (np.asarray(np.sum(product, axis=summed)),)

    @property
    def absorbs(self) -> bool:
        """Whether a zero of either operand absorbs what it meets."""
        return self.lhs_absorbs or self.rhs_absorbs

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        # Only for integers: a float zero times inf or NaN is NaN.
        if type_of(self.lhs).dtype.is_integer and (is_zero(self.lhs) or is_zero(self.rhs)):
            return (arith.zeros(builder, self.result.type),)
        return self._as_product(builder) or self._of_transposes(builder)

    def _as_product(self, builder: Builder) -> Sequence[Value] | None:
        """Without anything to sum it is a product of broadcasts, which fuses with what follows."""
        shape = shape_of(self.lhs.type)
        if prod(shape[d] for d in self.lhs_contracting_dimensions) != 1:
            return None
        batches, lefts = len(self.lhs_batching_dimensions), len(self.lhs_free)
        out = shape_of(self.result.type)

        def spread(
            x: Value, batching: Sequence[int], contracting: Sequence[int], first: int
        ) -> Value:
            kept = without(range(rank_of(x)), contracting)
            free = without(kept, batching)
            place = {d: i for i, d in enumerate(batching)}
            place |= {d: first + i for i, d in enumerate(free)}
            part = reshape(builder, x, [shape_of(x.type)[d] for d in kept])
            return broadcast_in_dim(builder, part, out, [place[d] for d in kept])

        of_lhs = (self.lhs_batching_dimensions, self.lhs_contracting_dimensions, batches)
        of_rhs = (self.rhs_batching_dimensions, self.rhs_contracting_dimensions, batches + lefts)
        x, y = spread(self.lhs, *of_lhs), spread(self.rhs, *of_rhs)
        product = arith.product(builder, x, y, self.lhs_absorbs, self.rhs_absorbs)
        for mask in self.selected:
            chosen = spread(mask, *of_lhs)
            product = arith.select(builder, chosen, product, arith.zeros(builder, product.type))
        return (product,)

    def _of_transposes(self, builder: Builder) -> Sequence[Value] | None:
        """A transposed operand is read with other axes; the order of its free axes must stay."""
        lhs, rhs = self.lhs.defining_op, self.rhs.defining_op
        if isinstance(lhs, Transpose) and not self.selected:
            p = lhs.permutation
            free = [p[d] for d in self.lhs_free]
            if free == sorted(free):
                lb = [p[d] for d in self.lhs_batching_dimensions]
                lc = [p[d] for d in self.lhs_contracting_dimensions]
                rb, rc = self.rhs_batching_dimensions, self.rhs_contracting_dimensions
                return (self._with(builder, lhs.operand, self.rhs, (lb, rb), (lc, rc)),)
        if isinstance(rhs, Transpose):
            p = rhs.permutation
            free = [p[d] for d in self.rhs_free]
            if free == sorted(free):
                rb = [p[d] for d in self.rhs_batching_dimensions]
                rc = [p[d] for d in self.rhs_contracting_dimensions]
                lb, lc = self.lhs_batching_dimensions, self.lhs_contracting_dimensions
                return (self._with(builder, self.lhs, rhs.operand, (lb, rb), (lc, rc)),)
        return None

    def _with(
        self, builder: Builder, lhs: Value, rhs: Value, batching: Pair, contracting: Pair
    ) -> Value:
        """A contraction of others, guarded and selected alike."""
        absorb = (self.lhs_absorbs, self.rhs_absorbs)
        return dot_general(builder, lhs, rhs, batching, contracting, absorb, self.selected)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        lhs, rhs, *_ = tangents
        parts: list[Value] = []
        if lhs is not None:
            parts.append(self._again(builder, lhs, self.rhs, (True, self.rhs_absorbs)))
        if rhs is not None:
            parts.append(self._again(builder, self.lhs, rhs, (self.lhs_absorbs, True)))
        if not parts:
            return (None,)
        return (parts[0] if len(parts) == 1 else arith.add(builder, *parts),)

    def _again(self, builder: Builder, lhs: Value, rhs: Value, absorb: tuple[bool, bool]) -> Value:
        batching = (self.lhs_batching_dimensions, self.rhs_batching_dimensions)
        contracting = (self.lhs_contracting_dimensions, self.rhs_contracting_dimensions)
        return dot_general(builder, lhs, rhs, batching, contracting, absorb, self.selected)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (y,) = cotangents
        if y is None:
            return [None] * len(self.operands)
        batches, lefts = len(self.lhs_batching_dimensions), len(self.lhs_free)
        batch = tuple(range(batches))
        of_lhs = tuple(range(batches, batches + lefts))
        of_rhs = tuple(range(batches + lefts, rank_of(y)))
        bar = dot_general(
            builder,
            y,
            self.rhs,
            (batch, self.rhs_batching_dimensions),
            (of_rhs, self.rhs_free),
            (True, self.rhs_absorbs),
        )
        # Its axes: batching, free of lhs, and those of rhs that were contracted, ascending.
        partner = dict(
            zip(self.rhs_contracting_dimensions, self.lhs_contracting_dimensions, strict=True)
        )
        labels = [*self.lhs_batching_dimensions, *self.lhs_free]
        labels += [partner[d] for d in sorted(partner)]
        lhs_bar = arrange(builder, bar, labels, range(rank_of(self.lhs)))
        for mask in self.selected:
            lhs_bar = arith.select(builder, mask, lhs_bar, arith.zeros(builder, lhs_bar.type))
        bar = dot_general(
            builder,
            self.lhs,
            y,
            (self.lhs_batching_dimensions, batch),
            (self.lhs_free, of_lhs),
            (self.lhs_absorbs, True),
            self.selected,
        )
        # Its axes: batching, those of lhs that were contracted, ascending, and free of rhs.
        partner = {left: right for right, left in partner.items()}
        labels = [*self.rhs_batching_dimensions, *(partner[d] for d in sorted(partner))]
        labels += self.rhs_free
        rhs_bar = arrange(builder, bar, labels, range(rank_of(self.rhs)))
        return (lhs_bar, rhs_bar, *(None for _ in self.selected))

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        """Axes of both operands become batching axes, those of one alone free axes of it."""
        lhs, rhs, *masks = operands
        selected: list[Value] = []
        if masks:
            (left, *selected), axes = align_all(builder, [lhs, *masks])
            lhs = Batched(left, axes)
        shared = [axis for axis in lhs.axes if axis in rhs.axes]
        n, m = len(lhs.axes), len(rhs.axes)
        batching = (
            [lhs.axes.index(a) for a in shared] + [n + d for d in self.lhs_batching_dimensions],
            [rhs.axes.index(a) for a in shared] + [m + d for d in self.rhs_batching_dimensions],
        )
        contracting = (
            [n + d for d in self.lhs_contracting_dimensions],
            [m + d for d in self.rhs_contracting_dimensions],
        )
        absorb = (self.lhs_absorbs, self.rhs_absorbs)
        out = dot_general(builder, lhs.value, rhs.value, batching, contracting, absorb, selected)
        # Map axes are labelled by themselves, axes of a point by negative numbers.
        point = range(-rank_of(self.result), 0)
        batches, lefts = len(self.lhs_batching_dimensions), len(self.lhs_free)
        labels = [*shared, *point[:batches]]
        labels += [*without(lhs.axes, shared), *point[batches : batches + lefts]]
        labels += [*without(rhs.axes, shared), *point[batches + lefts :]]
        axes = union(operands)
        wanted = (*axes, *point)
        return (Batched(arrange(builder, out, labels, wanted), axes),)

    def labels(self, result: Sequence[int], contracted: int) -> tuple[list[int], list[int]]:
        """Labels for the axes of both operands, from those of the result.

        Contracted axes are numbered from `contracted` on.
        """
        batches, lefts = len(self.lhs_batching_dimensions), len(self.lhs_free)
        count = len(self.lhs_contracting_dimensions)
        inner = range(contracted, contracted + count)
        batch, left, right = result[:batches], result[batches:][:lefts], result[batches + lefts :]
        lhs = (*self.lhs_batching_dimensions, *self.lhs_free, *self.lhs_contracting_dimensions)
        rhs = (*self.rhs_batching_dimensions, *self.rhs_free, *self.rhs_contracting_dimensions)
        of_lhs = dict(zip(lhs, (*batch, *left, *inner), strict=True))
        of_rhs = dict(zip(rhs, (*batch, *right, *inner), strict=True))
        return [of_lhs[d] for d in range(len(lhs))], [of_rhs[d] for d in range(len(rhs))]

    def cost(self) -> Cost:
        shape = shape_of(self.lhs.type)
        contracted = prod(shape[d] for d in self.lhs_contracting_dimensions)
        return Cost(flops=2 * type_of(self.result).size * contracted, bytes=moved_bytes(self))


Pair = tuple[Sequence[int], Sequence[int]]
"""Axes of `lhs` and, paired with them, of `rhs`."""


def dot_general(
    builder: Builder,
    lhs: Value,
    rhs: Value,
    batching: Pair,
    contracting: Pair,
    absorb: tuple[bool, bool] = (False, False),
    selected: Sequence[Value] = (),
) -> Value:
    """Contract `lhs` and `rhs`. The result has batching axes, then free axes of each.

    `absorb`: whether zeros of `lhs`, and of `rhs`, absorb what they meet. `selected`: perhaps which
    elements of `lhs` take part.
    """
    attributes = {
        "lhs_batching_dimensions": tuple(batching[0]),
        "rhs_batching_dimensions": tuple(batching[1]),
        "lhs_contracting_dimensions": tuple(contracting[0]),
        "rhs_contracting_dimensions": tuple(contracting[1]),
        "lhs_absorbs": absorb[0],
        "rhs_absorbs": absorb[1],
    }
    return builder.insert(DotGeneral([lhs, rhs, *selected], attributes)).result


def matmul(builder: Builder, lhs: Value, rhs: Value) -> Value:
    """`@` of the language: contracts the last axis of `lhs` with the last but one of `rhs`.

    A vector on the right is contracted along its only axis. Leading axes of `rhs` beyond two are
    batching axes and pair with the leading axes of `lhs`.
    """
    left, right = rank_of(lhs), rank_of(rhs)
    batch = tuple(range(max(right - 2, 0)))
    return dot_general(builder, lhs, rhs, (batch, batch), ((left - 1,), (max(right - 2, 0),)))
