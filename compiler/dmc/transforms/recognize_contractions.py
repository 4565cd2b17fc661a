"""Sums of products become contractions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from dmc.dialects import arith, tensor
from dmc.dialects.elementwise import splat_of
from dmc.ir import Builder, Module, Operation, TensorType, Value, dtype_of, shape_of
from dmc.ir.passes import Pass
from dmc.ir.rewriter import rewrite
from dmc.transforms.batch import erase_between
from dmc.transforms.canonicalize import PATTERNS


@dataclass(frozen=True)
class RecognizeContractions(Pass):
    """Rewrite `Σ a·b·…` over broadcast factors as `dot_general`.

    Factors that do not depend on a summed axis are taken out of the sum. A factor whose axes are
    among those of another is multiplied with it; when two are left, each with an axis of its own,
    their sum is a contraction. A contraction that is summed along a free axis of one operand sums
    that operand first. With `masks`, a selection of products or zero masks one factor instead,
    whose zeros then absorb what the others are where nothing is selected.
    """

    name = "recognize-contractions"
    masks: bool = True

    def run(self, module: Module) -> None:
        def pattern(op: Operation, builder: Builder) -> Sequence[Value] | None:
            start = op.previous
            found = _contraction(op, builder, self.masks)
            if found is None and op.parent is not None:
                erase_between(op.parent, start, op)
            return found

        # Whether a contraction is only summed shows when what else read it is gone.
        while rewrite(module, [*PATTERNS, pattern, _sum_of_contraction]):
            pass


@dataclass(frozen=True, slots=True)
class _Factor:
    """A value whose axis i runs along axis `axes[i]` of the summed tensor.

    `absorbs`: its zeros absorb infinities and NaN of other factors.
    """

    value: Value
    axes: tuple[int, ...]
    absorbs: bool = False

    @property
    def spans(self) -> frozenset[int]:
        return frozenset(self.axes)

    @property
    def size(self) -> int:
        return prod(shape_of(self.value.type))


@dataclass
class _Product:
    """What a summed tensor is a product of; `masks` select where it is not zero."""

    factors: list[_Factor]
    masks: list[_Factor]
    negative: bool = False


def _contraction(op: Operation, builder: Builder, masks: bool) -> Sequence[Value] | None:
    if not isinstance(op, tensor.Reduce) or op.kind is not tensor.Kind.SUM:
        return None
    shape = shape_of(op.operand.type)
    product = _Product([], [])
    whole = _Factor(op.operand, tuple(range(len(shape))))
    _collect(builder, product, whole, len(shape), masks)
    summed = frozenset(op.dimensions)
    outside = [f for f in product.factors if not f.spans & summed]
    groups = [f for f in product.factors if f.spans & summed]
    groups = _mask(builder, _join_subsets(builder, groups), product.masks)
    if groups is None or len(groups) not in (1, 2):
        return None
    if len(groups) == 1 and not outside and not product.negative:
        return None
    first, *second = groups
    total = _dot(builder, first, second[0], summed) if second else _sum(builder, first, summed)
    return [_finish(builder, op, total, outside, product.negative, groups)]


def _collect(builder: Builder, product: _Product, factor: _Factor, rank: int, masks: bool) -> None:
    """Take `factor` apart into factors, as far as it spans the whole summed tensor."""
    factor = _stripped(builder, factor)
    op = factor.value.defining_op
    if len(factor.spans) == rank:
        match op:
            case arith.Product():
                for value, absorbs in ((op.lhs, op.lhs_absorbs), (op.rhs, op.rhs_absorbs)):
                    part = replace(factor, value=value, absorbs=factor.absorbs or absorbs)
                    _collect(builder, product, part, rank, masks)
                return
            case arith.Negate():
                product.negative = not product.negative
                _collect(builder, product, replace(factor, value=op.operand), rank, masks)
                return
            case arith.Select() if masks and splat_of(op.on_false) == 0:
                mask = _stripped(builder, _Factor(op.predicate, factor.axes))
                product.masks.append(mask)
                _collect(builder, product, replace(factor, value=op.on_true), rank, masks)
                return
            case _:
                pass
    product.factors.append(factor)


def _stripped(builder: Builder, factor: _Factor) -> _Factor:
    """Without repetition and transposition."""
    while True:
        op = factor.value.defining_op
        match op:
            case tensor.BroadcastInDim():
                repeated = op.repeated
                shape = shape_of(op.operand.type)
                kept = [i for i, d in enumerate(op.broadcast_dimensions) if d not in repeated]
                value = op.operand
                if len(kept) < len(shape):
                    value = tensor.reshape(builder, value, [shape[i] for i in kept])
                axes = tuple(factor.axes[op.broadcast_dimensions[i]] for i in kept)
                factor = replace(factor, value=value, axes=axes)
            case tensor.Transpose():
                places = {p: d for d, p in enumerate(op.permutation)}
                axes = tuple(factor.axes[places[p]] for p in range(len(places)))
                factor = replace(factor, value=op.operand, axes=axes)
            case _:
                return factor


def _join_subsets(builder: Builder, factors: Sequence[_Factor]) -> list[_Factor]:
    """Multiply factors into others that span all their axes."""
    groups: list[_Factor] = []
    for factor in sorted(factors, key=lambda f: -len(f.spans)):
        for i, group in enumerate(groups):
            if factor.spans <= group.spans:
                groups[i] = _times(builder, group, _spread(builder, factor, group), factor.absorbs)
                break
        else:
            groups.append(factor)
    return groups


def _times(builder: Builder, factor: _Factor, other: Value, absorbs: bool) -> _Factor:
    """`factor` times `other` along the same axes, whose zeros may absorb, too."""
    value = arith.product(builder, factor.value, other, factor.absorbs, absorbs)
    return replace(factor, value=value, absorbs=factor.absorbs or absorbs)


def _spread(builder: Builder, factor: _Factor, over: _Factor) -> Value:
    """`factor` repeated to the axes of `over`."""
    dims = [over.axes.index(axis) for axis in factor.axes]
    return tensor.broadcast_in_dim(builder, factor.value, shape_of(over.value.type), dims)


def _mask(
    builder: Builder, groups: list[_Factor], masks: Sequence[_Factor]
) -> list[_Factor] | None:
    """Apply each mask to the smallest factor that spans it; None when there is none."""
    for mask in masks:
        able = [i for i, group in enumerate(groups) if mask.spans <= group.spans]
        if not able:
            return None
        i = min(able, key=lambda i: groups[i].size)
        group = groups[i]
        zero = arith.zeros(builder, group.value.type)
        chosen = arith.select(builder, _spread(builder, mask, group), group.value, zero)
        groups[i] = replace(group, value=chosen, absorbs=True)
    return groups


def _sum(builder: Builder, factor: _Factor, summed: frozenset[int]) -> _Factor:
    """The factor summed over those of its axes."""
    dims = [i for i, axis in enumerate(factor.axes) if axis in summed]
    value = tensor.reduce_sum(builder, factor.value, dims)
    left = tuple(axis for axis in factor.axes if axis not in summed)
    return replace(factor, value=value, axes=left)


def _dot(builder: Builder, lhs: _Factor, rhs: _Factor, summed: frozenset[int]) -> _Factor:
    """The contraction over summed axes of both; those of one alone are summed before."""
    lhs = _sum(builder, lhs, summed - rhs.spans)
    rhs = _sum(builder, rhs, summed - lhs.spans)
    shared = [axis for axis in lhs.axes if axis in rhs.spans]

    def places(chosen: Sequence[int]) -> tuple[list[int], list[int]]:
        return [lhs.axes.index(a) for a in chosen], [rhs.axes.index(a) for a in chosen]

    batch = [axis for axis in shared if axis not in summed]
    contracted = [axis for axis in shared if axis in summed]
    absorb = (lhs.absorbs, rhs.absorbs)
    value = tensor.dot_general(
        builder, lhs.value, rhs.value, places(batch), places(contracted), absorb
    )
    left = [axis for axis in lhs.axes if axis not in shared]
    right = [axis for axis in rhs.axes if axis not in shared]
    return _Factor(value, (*batch, *left, *right), any(absorb))


def _finish(
    builder: Builder,
    op: tensor.Reduce,
    total: _Factor,
    outside: Sequence[_Factor],
    negative: bool,
    groups: Sequence[_Factor],
) -> Value:
    """The result of `op`: `total` times what was outside, over all axes that are left."""
    shape = shape_of(op.operand.type)
    kept = op.kept
    type_ = TensorType(tuple(shape[d] for d in kept), dtype_of(op.operand.type))
    product: _Factor | None = None
    for factor in (total, *outside):
        dims = [kept.index(axis) for axis in factor.axes]
        order = sorted(range(len(dims)), key=lambda i: dims[i])
        sorted_value = tensor.transpose(builder, factor.value, order)
        spread = tensor.broadcast_in_dim(builder, sorted_value, type_.shape, sorted(dims))
        if product is None:
            product = _Factor(spread, kept, factor.absorbs)
        else:
            product = _times(builder, product, spread, factor.absorbs)
    assert product is not None
    value = product.value
    # Along an axis that no factor in the sum has, equal terms add up.
    missing = set(op.dimensions) - {axis for group in groups for axis in group.axes}
    times = prod(shape[d] for d in missing)
    if times != 1:
        value = arith.multiply(builder, value, arith.constant(builder, times, type_))
    return arith.negate(builder, value) if negative else value


def _sum_of_contraction(op: Operation, builder: Builder) -> Sequence[Value] | None:
    """Sum the operand that has the summed axis alone; a summed batching axis is contracted."""
    if not isinstance(op, tensor.Reduce) or op.kind is not tensor.Kind.SUM:
        return None
    rank = len(shape_of(op.operand.type))
    factor = _Factor(op.operand, tuple(range(rank)))
    turn = op.operand.defining_op
    if isinstance(turn, tensor.Transpose):
        places = {p: d for d, p in enumerate(turn.permutation)}
        factor = _Factor(turn.operand, tuple(places[p] for p in range(rank)))
    dot = factor.value.defining_op
    if not isinstance(dot, tensor.DotGeneral) or _has_others(factor.value, op.operand, op):
        return None
    # Contracted axes of the operands are numbered behind those of the result.
    contracted = tuple(range(rank, rank + len(dot.lhs_contracting_dimensions)))
    batches = factor.axes[: len(dot.lhs_batching_dimensions)]
    middle = len(batches) + len(dot.lhs_free)
    lhs = _labelled(
        dot.lhs,
        (dot.lhs_batching_dimensions, batches),
        (dot.lhs_free, factor.axes[len(batches) : middle]),
        (dot.lhs_contracting_dimensions, contracted),
        absorbs=dot.lhs_absorbs,
    )
    rhs = _labelled(
        dot.rhs,
        (dot.rhs_batching_dimensions, batches),
        (dot.rhs_free, factor.axes[middle:]),
        (dot.rhs_contracting_dimensions, contracted),
        absorbs=dot.rhs_absorbs,
    )
    summed = frozenset((*op.dimensions, *contracted))
    total = _dot(builder, lhs, rhs, summed)
    return [_finish(builder, op, total, (), False, (lhs, rhs))]


def _has_others(dot: Value, turned: Value, reader: Operation) -> bool:
    """Whether a contraction is needed for more than its sum; what is dead does not count."""
    readers = [user for value in (dot, turned) for user in value.users]
    living = [u for u in readers if u is not turned.owner and any(v.uses for v in u.results)]
    ends = [u for u in readers if not u.results]
    return bool(ends) or any(user is not reader for user in living)


def _labelled(value: Value, *groups: tuple[Sequence[int], Sequence[int]], absorbs: bool) -> _Factor:
    """`value` with the labels given for groups of its axes."""
    labels: dict[int, int] = {}
    for dims, axes in groups:
        labels.update(zip(dims, axes, strict=True))
    return _Factor(value, tuple(labels[d] for d in range(len(labels))), absorbs)
