"""How sets run through operations: what moves elements moves sets, what combines them joins."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dmc.dialects import arith, autodiff, func, linalg, tensor
from dmc.dialects.elementwise import Elementwise
from dmc.dialects.linalg.base import Factorization
from dmc.ir import Array, Operation, shape_of
from dmc.sparsity.reader import Reader, Rules, carries
from dmc.sparsity.sets import Ids, Sets


def _elementwise(reader: Reader, op: Operation) -> bool:
    assert isinstance(op, Elementwise)
    terms = op.terms or (True,) * len(op.operands)
    total: Ids | None = None
    for term, value in zip(terms, op.operands, strict=True):
        if term is not None:
            total = reader.sets.union(total, reader.of(value))
    reader.ids[op.results[0]] = total
    return True


def _select(reader: Reader, op: Operation) -> bool:
    assert isinstance(op, arith.Select)
    condition, *cases = op.operands
    known = reader.known.get(condition)
    if known is None:
        reader.ids[op.results[0]] = reader.sets.union(*map(reader.of, cases))
    else:
        reader.ids[op.results[0]] = np.where(known, *map(reader.filled, cases))
    return True


def _moved(reader: Reader, op: Operation) -> bool:
    """Elements go where the operation puts them, by integers that must be known."""
    arrays: list[Array] = []
    for value in op.operands:
        if carries(value):
            arrays.append(reader.filled(value))
        elif value in reader.known:
            arrays.append(reader.known[value])
        else:
            return False
    (ids,) = op.evaluate(arrays, reader.interpreter)
    reader.ids[op.results[0]] = np.asarray(ids, np.int64)
    return True


def _places(reader: Reader, op: tensor.Update) -> Ids | None:
    """Where in the result each element of an update goes, from 1; None where it is not known."""
    shape = shape_of(op.results[0].type)
    where = np.arange(1, math.prod(shape) + 1, dtype=np.int64).reshape(shape)
    numbers = [reader.known[index] for index in op.operands[2:] if index in reader.known]
    if len(numbers) < len(op.operands) - 2:
        return None
    match op:
        case tensor.Scatter():
            flat, order = op.merged(where, numbers)
            moved = where.transpose(order)
            merged = len(order) - len(op.whole_dims)
            return moved.reshape(math.prod(moved.shape[:merged]), *moved.shape[merged:])[flat]
        case tensor.DynamicUpdateSlice():
            return where[op.window(where, numbers)]
        case _:
            return None


def _updated(reader: Reader, op: Operation) -> bool:
    assert isinstance(op, tensor.Update)
    if not op.adds:
        return _moved(reader, op)
    base, update, *_ = op.operands
    places = _places(reader, op)
    if places is None:
        return False
    reader.ids[op.results[0]] = _added(reader, reader.filled(base), reader.filled(update), places)
    return True


def _added(reader: Reader, base: Ids, update: Ids, places: Ids) -> Ids:
    """Sets at `places` (from 1; 0 is nowhere) joined to those that are there."""
    inside = (places > 0).reshape(-1)
    groups = np.concatenate([np.arange(base.size), places.reshape(-1)[inside] - 1])
    ids = np.concatenate([base.reshape(-1), update.reshape(-1)[inside]])
    return reader.sets.grouped(groups, ids, base.size).reshape(base.shape)


def _accumulated(reader: Reader, op: Operation) -> bool:
    assert isinstance(op, tensor.Accumulate)
    places, inside = op.destinations()
    base = np.zeros(op.shape, np.int64)
    update = reader.filled(op.updates)
    reader.ids[op.results[0]] = _added(reader, base, update, np.where(inside, places + 1, 0))
    return True


def _reduced(reader: Reader, op: Operation) -> bool:
    assert isinstance(op, tensor.Reduce)
    ids = reader.filled(op.operand)
    reader.ids[op.results[0]] = _over(reader, ids, op.dimensions)
    return True


def _over(reader: Reader, ids: Ids, dimensions: Sequence[int]) -> Ids:
    kept = [d for d in range(ids.ndim) if d not in dimensions]
    shape = [ids.shape[d] for d in kept]
    rows = ids.transpose([*kept, *dimensions]).reshape(math.prod(shape), -1)
    return reader.sets.reduced(rows).reshape(shape)


def _contracted(reader: Reader, op: Operation) -> bool:
    """Each operand over what is summed, spread over what the other has alone."""
    assert isinstance(op, tensor.DotGeneral)
    total: Ids | None = None
    shape = shape_of(op.results[0].type)
    batching, left = len(op.lhs_batching_dimensions), len(op.lhs_free)
    for value, batch, free, own in (
        (op.lhs, op.lhs_batching_dimensions, op.lhs_free, range(batching, batching + left)),
        (op.rhs, op.rhs_batching_dimensions, op.rhs_free, range(batching + left, len(shape))),
    ):
        ids = reader.of(value)
        if ids is None:
            continue
        order = [*batch, *free]
        summed = [d for d in range(ids.ndim) if d not in order]
        ids = ids.transpose([*order, *summed])
        ids = _over(reader, ids, range(len(order), ids.ndim))
        wide = [shape[d] if d < batching or d in own else 1 for d in range(len(shape))]
        total = reader.sets.union(total, np.broadcast_to(ids.reshape(wide), shape))
    reader.ids[op.results[0]] = total
    return True


def _along(reader: Reader, op: Operation) -> bool:
    """What runs along an axis depends on all that lies along it."""
    ids = reader.filled(op.operands[0])
    axis = op.axis if isinstance(op, tensor.CumSum | tensor.CumProd) else ids.ndim - 1
    over = np.expand_dims(_over(reader, ids, [axis]), axis)
    for value in op.results:
        if carries(value):
            reader.ids[value] = np.broadcast_to(over, shape_of(value.type))
    return True


def _matrices(reader: Reader, op: Operation) -> bool:
    """What is made of matrices depends on all of those of its own batch."""
    leading = shape_of(op.results[0].type)[:-2]
    operands = [value for value in op.operands if carries(value)]
    values = [*operands, *(value for value in op.results if carries(value))]
    if any(shape_of(value.type)[: len(leading)] != leading for value in values):
        return False
    total: Ids | None = None
    for value in operands:
        ids = reader.of(value)
        if ids is not None:
            over = _over(reader, ids, range(len(leading), ids.ndim))
            total = reader.sets.union(total, over)
    for value in op.results:
        if carries(value) and total is not None:
            shape = shape_of(value.type)
            wide = total.reshape(*leading, *[1] * (len(shape) - len(leading)))
            reader.ids[value] = np.broadcast_to(wide, shape)
    return True


def _called(reader: Reader, op: Operation) -> bool:
    """A function with rules: what the vectors of its `jvp` reach, or its `vjp` is made from."""
    assert isinstance(op, func.Call)
    callee = func.lookup(reader.module, op.callee)
    inputs = [value for value in op.operands if carries(value)]
    results = [value for value in op.results if carries(value)]
    if callee.jvp_rule is not None:
        vectors = [reader.of(value) for value in inputs]
        rule = func.lookup(reader.module, callee.jvp_rule)
        found = reader.through(rule, op, vectors, reader.sets)
        reader.ids.update(zip(results, found, strict=True))
        return True
    if callee.vjp_rule is None:
        return False
    sizes = [math.prod(shape_of(value.type)) for value in results]
    sets = Sets(sum(sizes))
    parts = np.split(sets.singletons(), np.cumsum(sizes)[:-1])
    vectors = [p.reshape(shape_of(v.type)) for p, v in zip(parts, results, strict=True)]
    rule = func.lookup(reader.module, callee.vjp_rule)
    found = reader.through(rule, op, vectors, sets)
    into, own = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for value, ids in zip(inputs, found, strict=True):
        if ids is not None:
            members, starts = sets.rows(ids)
            into.append(members)
            own.append(np.repeat(reader.filled(value).reshape(-1), np.diff(starts)))
    total = reader.sets.grouped(np.concatenate(into), np.concatenate(own), sets.count)
    for value, part in zip(results, np.split(total, np.cumsum(sizes)[:-1]), strict=True):
        reader.ids[value] = part.reshape(shape_of(value.type))
    return True


def _constant(reader: Reader, op: Operation) -> bool:
    for value in op.results:
        reader.ids[value] = None
    return True


_MOVING = (
    tensor.Read, tensor.Gather, tensor.Extract, tensor.DynamicSlice, tensor.Slice, tensor.Pad,
    tensor.Concatenate, tensor.Reverse, tensor.BroadcastInDim, tensor.Reshape, tensor.Transpose,
    tensor.FromElements,
)  # fmt: skip

RULES: Rules = (
    (arith.Select, _select),
    (Elementwise, _elementwise),
    (_MOVING, _moved),
    (tensor.Update, _updated),
    (tensor.Accumulate, _accumulated),
    (tensor.Reduce, _reduced),
    (tensor.DotGeneral, _contracted),
    ((tensor.CumSum, tensor.CumProd, tensor.Sort, tensor.TopK), _along),
    ((Factorization, linalg.Solver), _matrices),
    (func.Call, _called),
    (autodiff.StopGradient, _constant),
)
"""What is known of kinds of operations; the first that fits."""
