"""Rewrites that join a scatter with what consumes it, for the canonicalization pass.

The adjoint of a read is a scatter into zeros. Added to something else it becomes one update in
place; summed over batching axes, as the adjoint of a read inside a builder is, it becomes one
scatter without them.
"""

from __future__ import annotations

from collections.abc import Sequence

from dmc.dialects import arith
from dmc.dialects.tensor.base import is_zero, rank_of, type_of, without
from dmc.dialects.tensor.gather import Combiner, Scatter
from dmc.dialects.tensor.indexing import DynamicUpdateSlice, dynamic_slice, dynamic_update_slice
from dmc.dialects.tensor.reduction import Kind, Reduce, reduce_sum
from dmc.ir import Attribute, Builder, Operation, TensorType, Value, shape_of


def accumulate(builder: Builder, total: Value, part: Value) -> Value:
    """`total + part`, written into `total` where `part` is mostly zeros."""
    op = part.defining_op
    if isinstance(op, Scatter) and op.combiner is Combiner.ADD and is_zero(op.input):
        values = [total, op.updates, *op.indices]
        return builder.insert(Scatter(values, op.attributes)).result
    if isinstance(op, DynamicUpdateSlice) and is_zero(op.input):
        there = dynamic_slice(builder, total, op.start_indices, shape_of(op.update.type))
        update = arith.add(builder, there, op.update)
        return dynamic_update_slice(builder, total, update, op.start_indices)
    return arith.add(builder, total, part)


def add_of_scatter(op: Operation, builder: Builder) -> Sequence[Value] | None:
    """`x + scatter(0, …)`, of which nothing else needs the scatter, becomes `scatter(x, …)`."""
    if not isinstance(op, arith.Add):
        return None
    for part, total in ((op.rhs, op.lhs), (op.lhs, op.rhs)):
        made = part.defining_op
        joins = isinstance(made, (Scatter, DynamicUpdateSlice)) and is_zero(made.input)
        if joins and len(part.uses) == 1:
            if isinstance(made, Scatter) and made.combiner is not Combiner.ADD:
                continue
            return (accumulate(builder, total, part),)
    return None


def sum_of_scatter(op: Operation, builder: Builder) -> Sequence[Value] | None:
    """A sum over axes of a scatter of zeros is a scatter with fewer axes.

    Summed batching axes become plain axes of the indices, whose updates add up; along axes that
    are taken whole the updates are summed.
    """
    if not isinstance(op, Reduce) or op.kind is not Kind.SUM:
        return None
    made = op.operand.defining_op
    if not isinstance(made, Scatter) or made.combiner is not Combiner.ADD:
        return None
    if not is_zero(made.input):
        return None
    gone = [d for d in op.dimensions if d not in made.start_index_map]
    if not gone:
        return None
    rank = rank_of(made.input)
    kept = without(range(rank), gone)
    place = {d: i for i, d in enumerate(kept)}
    lead = len(made.index_shape)
    summed = [lead + i for i, d in enumerate(made.whole_dims) if d in gone]
    updates = reduce_sum(builder, made.updates, summed)
    pairs = zip(made.operand_batching_dims, made.start_indices_batching_dims, strict=True)
    batching = [(d, i) for d, i in pairs if d not in gone]
    shape = shape_of(made.input.type)
    type_ = TensorType(tuple(shape[d] for d in kept), type_of(made.input).dtype)
    attributes: dict[str, Attribute] = {
        "start_index_map": tuple(place[d] for d in made.start_index_map),
        "operand_batching_dims": tuple(place[d] for d, _ in batching),
        "start_indices_batching_dims": tuple(i for _, i in batching),
        "combiner": Combiner.ADD.value,
    }
    values = [arith.zeros(builder, type_), updates, *made.indices]
    value = builder.insert(Scatter(values, attributes)).result
    left = [place[d] for d in op.dimensions if d in place]
    return (reduce_sum(builder, value, left),)


PATTERNS = (add_of_scatter, sum_of_scatter)
"""For the canonicalization pass, beside what each operation's `canonicalize` says."""
