"""Rewrites that join a scatter with what consumes it, for the canonicalization pass.

The adjoint of a read is a scatter into zeros. Added to something else it becomes one update in
place; summed over batching axes, as the adjoint of a read inside a builder is, it becomes one
scatter without them.
"""

from __future__ import annotations

from collections.abc import Sequence

from dmc.dialects import arith
from dmc.dialects.tensor.access import Accumulate, accumulate_at
from dmc.dialects.tensor.base import is_zero, permuted, rank_of, type_of, without
from dmc.dialects.tensor.gather import Combiner, Scatter
from dmc.dialects.tensor.indexing import (
    DynamicUpdateSlice,
    dynamic_add_slice,
    dynamic_update_slice,
)
from dmc.dialects.tensor.movement import Pad, pad
from dmc.dialects.tensor.reduction import Kind, Reduce, reduce_sum
from dmc.ir import Attribute, Builder, Operation, TensorType, Value, shape_of
from dmc.ir.rewriter import pattern


def accumulate(builder: Builder, total: Value, part: Value) -> Value:
    """`total + part`, written into `total` where `part` is mostly zeros."""
    op = part.defining_op
    if isinstance(op, Scatter) and op.combiner is Combiner.ADD and is_zero(op.input):
        values = [total, op.updates, *op.indices]
        return builder.insert(Scatter(values, op.attributes)).result
    if isinstance(op, DynamicUpdateSlice) and is_zero(op.input):
        return dynamic_add_slice(builder, total, op.update, op.start_indices)
    return arith.add(builder, total, part)


@pattern(arith.Add)
def add_of_scatter(op: Operation, builder: Builder) -> Sequence[Value] | None:
    """`x + scatter(0, …)`, of which nothing else needs the scatter, becomes `scatter(x, …)`."""
    assert isinstance(op, arith.Add)
    for part, total in ((op.rhs, op.lhs), (op.lhs, op.rhs)):
        made = part.defining_op
        joins = isinstance(made, (Scatter, DynamicUpdateSlice)) and is_zero(made.input)
        if joins and len(part.uses) == 1:
            if isinstance(made, Scatter) and made.combiner is not Combiner.ADD:
                continue
            return (accumulate(builder, total, part),)
    return None


@pattern(Reduce)
def sum_of_sparse(op: Operation, builder: Builder) -> Sequence[Value] | None:
    """A sum over axes of something mostly zero is a sum of the little that is not."""
    assert isinstance(op, Reduce)
    if op.kind is not Kind.SUM:
        return None
    match op.operand.defining_op:
        case Scatter() as made if made.combiner is Combiner.ADD:
            return _sum_of_scatter(builder, made, op.dimensions)
        case Accumulate() as made:
            return _sum_of_accumulation(builder, made, op.dimensions)
        case Pad() as made if is_zero(made.padding_value):
            return _sum_of_pad(builder, made, op.dimensions)
        case DynamicUpdateSlice() as made if is_zero(made.input):
            return (_sum_of_update(builder, made, op.dimensions),)
        case arith.Add() as made if _is_sparse(made.lhs) or _is_sparse(made.rhs):
            parts = [reduce_sum(builder, part, op.dimensions) for part in made.operands]
            return (arith.add(builder, *parts),)
        case _:
            return None


def _is_sparse(value: Value) -> bool:
    """Whether `value` is mostly zeros, made for one purpose."""
    if len(value.uses) != 1:
        return False
    match value.defining_op:
        case Scatter() as made:
            return made.combiner is Combiner.ADD
        case Accumulate():
            return True
        case Pad() as made:
            return is_zero(made.padding_value)
        case DynamicUpdateSlice() as made:
            return is_zero(made.input)
        case _:
            return False


def _sum_of_scatter(
    builder: Builder, made: Scatter, dimensions: Sequence[int]
) -> Sequence[Value] | None:
    """Summed batching axes become plain axes of the indices, whose updates add up.

    Along axes that are taken whole the updates are summed.
    """
    gone = [d for d in dimensions if d not in made.start_index_map]
    if not gone:
        return None
    kept = without(range(rank_of(made.input)), gone)
    place = {d: i for i, d in enumerate(kept)}
    lead = len(made.index_shape)
    summed = [lead + i for i, d in enumerate(made.whole_dims) if d in gone]
    updates = reduce_sum(builder, made.updates, summed)
    pairs = zip(made.operand_batching_dims, made.start_indices_batching_dims, strict=True)
    batching = [(d, i) for d, i in pairs if d not in gone]
    attributes: dict[str, Attribute] = {
        "start_index_map": tuple(place[d] for d in made.start_index_map),
        "operand_batching_dims": tuple(place[d] for d, _ in batching),
        "start_indices_batching_dims": tuple(i for _, i in batching),
        "combiner": Combiner.ADD.value,
    }
    base = _summed(builder, made.input, gone)
    value = builder.insert(Scatter([base, updates, *made.indices], attributes)).result
    return (reduce_sum(builder, value, [place[d] for d in dimensions if d in place]),)


def _sum_of_accumulation(
    builder: Builder, made: Accumulate, dimensions: Sequence[int]
) -> Sequence[Value] | None:
    """Along a summed axis it does not matter where an update went, if it went inside."""
    sizes = shape_of(made.updates.type)
    if 0 in sizes:
        return None
    bounds = [expr.bounds(sizes) for expr in made.map.results]
    gone = [d for d in dimensions if bounds[d][0] >= 0 and bounds[d][1] < made.shape[d]]
    if not gone:
        return None
    kept = without(range(len(made.shape)), gone)
    shape, exprs = permuted(made.shape, kept), permuted(made.map.results, kept)
    value = accumulate_at(builder, made.updates, shape, exprs)
    return (reduce_sum(builder, value, [kept.index(d) for d in dimensions if d in kept]),)


def _summed(builder: Builder, base: Value, dimensions: Sequence[int]) -> Value:
    """The sum of `base`, of zeros without computing it."""
    if not is_zero(base):
        return reduce_sum(builder, base, dimensions)
    type_ = type_of(base)
    shape = tuple(type_.shape[d] for d in without(range(type_.rank), dimensions))
    return arith.zeros(builder, TensorType(shape, type_.dtype))


def _sum_of_pad(builder: Builder, made: Pad, dimensions: Sequence[int]) -> Sequence[Value] | None:
    edges = (*made.edge_padding_low, *made.edge_padding_high)
    if any(n < 0 for n in edges):
        return None
    kept = without(range(rank_of(made.input)), dimensions)
    low, high, interior = (
        permuted(paddings, kept)
        for paddings in (made.edge_padding_low, made.edge_padding_high, made.interior_padding)
    )
    x = reduce_sum(builder, made.input, dimensions)
    return (pad(builder, x, made.padding_value, low, high, interior),)


def _sum_of_update(builder: Builder, made: DynamicUpdateSlice, dimensions: Sequence[int]) -> Value:
    kept = without(range(rank_of(made.input)), dimensions)
    update = reduce_sum(builder, made.update, dimensions)
    if not kept:
        return update
    base = _summed(builder, made.input, dimensions)
    return dynamic_update_slice(builder, base, update, permuted(made.start_indices, kept))


PATTERNS = (add_of_scatter, sum_of_sparse)
"""For the canonicalization pass, beside what each operation's `canonicalize` says."""
