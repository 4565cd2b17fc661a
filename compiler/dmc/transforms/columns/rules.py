"""What operations are on columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from dmc.dialects import arith, tensor
from dmc.dialects.elementwise import splat_of
from dmc.dialects.value_ranges import bounds_of
from dmc.ir import (
    AffineExpr,
    Builder,
    DType,
    Operation,
    TensorType,
    Trait,
    Value,
    dtype_of,
    shape_of,
)
from dmc.transforms.columns.split import Columns, Point, Split, has_columns, split_of
from dmc.transforms.common import combined

Written = list[list[Value]]
"""The columns of each result."""


MOST_SHARED = 16
"""A matrix of at most so many elements is written out where points share it: 4 by 4."""


@dataclass(frozen=True)
class Rule:
    """How operations of a kind are written out."""

    fits: Callable[[Operation], bool]
    """Whether one with results of columns can be; its operands may have none."""
    emit: Callable[[Columns, Builder, Operation], Written]
    work: Callable[[Operation], int] = lambda op: 0
    """Elementwise operations for each column."""
    mixes: bool = False
    """Whether columns meet, so that what is computed before is not computed with what is behind."""


def rule_of(op: Operation) -> Rule | None:
    """How `op` is written out, or None where it must stay whole."""
    if not op.results or not all(has_columns(value) for value in op.results):
        return None
    rule = ELEMENTWISE if op.has(Trait.ELEMENTWISE) else RULES.get(type(op))
    return rule if rule is not None and rule.fits(op) else None


def _picked(
    c: Columns, builder: Builder, op: Operation, source: Value, at: Callable[[Point], Point]
) -> Written:
    """Columns of `source`, one for each of the result."""
    split, columns = split_of(source), c.of(builder, source)
    points = split_of(op.results[0]).points
    return [[columns[split.number(at(point))] for point in points]]


# Elementwise operations


def _elementwise(c: Columns, builder: Builder, op: Operation) -> Written:
    lanes = split_of(op.results[0]).lanes
    columns = [c.of(builder, value) for value in op.operands]
    types = [TensorType(lanes, dtype_of(value.type)) for value in op.results]
    rows = [
        builder.insert(type(op)(row, op.attributes, (), types, op.location)).results
        for row in zip(*columns, strict=True)
    ]
    return [[row[i] for row in rows] for i in range(len(op.results))]


# Movement


def _fits_broadcast(op: Operation) -> bool:
    assert isinstance(op, tensor.BroadcastInDim)
    into, of = split_of(op.result), split_of(op.operand)
    return has_columns(op.operand) and all(op.broadcast_dimensions[d] in into.long for d in of.long)


def _broadcast(c: Columns, builder: Builder, op: Operation) -> Written:
    assert isinstance(op, tensor.BroadcastInDim)
    into, of = split_of(op.result), split_of(op.operand)
    columns = c.of(builder, op.operand)
    dims = [into.long.index(op.broadcast_dimensions[d]) for d in of.long]
    if dims != list(range(len(into.long))):
        spread = {
            column: tensor.broadcast_in_dim(builder, column, into.lanes, dims) for column in columns
        }
        columns = [spread[column] for column in columns]
    found: list[Value] = []
    for point in into.points:
        at = dict(zip(into.short, point, strict=True))
        pairs = [(op.broadcast_dimensions[d], of.shape[d]) for d in of.short]
        found.append(columns[of.number([at.get(d, 0) if n > 1 else 0 for d, n in pairs])])
    return [found]


def _fits_reshape(op: Operation) -> bool:
    """Whether short axes are regrouped between the same long ones."""
    assert isinstance(op, tensor.Reshape)
    return has_columns(op.operand) and _groups(op.operand) == _groups(op.result)


def _groups(value: Value) -> list[int]:
    """The long sizes, negated, with the number of points between them."""
    split, groups, points = split_of(value), list[int](), 1
    for d, n in enumerate(split.shape):
        if d in split.long:
            groups += [points, -n]
            points = 1
        else:
            points *= n
    return [*groups, points]


def _reshape(c: Columns, builder: Builder, op: Operation) -> Written:
    return [c.of(builder, op.operands[0])]


def _fits_transpose(op: Operation) -> bool:
    assert isinstance(op, tensor.Transpose)
    long = split_of(op.operand).long
    return has_columns(op.operand) and [d for d in op.permutation if d in long] == list(long)


def _transpose(c: Columns, builder: Builder, op: Operation) -> Written:
    assert isinstance(op, tensor.Transpose)
    into, of = split_of(op.result), split_of(op.operand)

    def at(point: Point) -> Point:
        found = {op.permutation[d]: i for d, i in zip(into.short, point, strict=True)}
        return tuple(found[d] for d in of.short)

    return _picked(c, builder, op, op.operand, at)


def _fits_slice(op: Operation) -> bool:
    return split_of(op.operands[0]).long == split_of(op.results[0]).long


def _slice(c: Columns, builder: Builder, op: Operation) -> Written:
    assert isinstance(op, tensor.Slice)
    into = split_of(op.result)
    places = list(zip(op.start_indices, op.limit_indices, op.strides, strict=True))
    found: list[Value] = []
    known = c.known(op.operand) if has_columns(op.operand) else None
    for point in into.points:
        at = [places[d][0] + i * places[d][2] for d, i in zip(into.short, point, strict=True)]
        if known is not None:
            of = split_of(op.operand)
            column = known[of.number(at)]
            parts = [places[d] for d in of.long]
            starts, limits, strides = zip(*parts, strict=True)
            found.append(tensor.slice_(builder, column, starts, limits, strides))
            continue
        starts, limits = [p[0] for p in places], [p[1] for p in places]
        for d, i in zip(into.short, at, strict=True):
            starts[d], limits[d] = i, i + 1
        whole = c.whole(builder, op.operand)
        part = tensor.slice_(builder, whole, starts, limits, [p[2] for p in places])
        found.append(tensor.reshape(builder, part, into.lanes))
    return [found]


def _fits_concatenate(op: Operation) -> bool:
    assert isinstance(op, tensor.Concatenate)
    return op.dimension in split_of(op.result).short


def _concatenate(c: Columns, builder: Builder, op: Operation) -> Written:
    assert isinstance(op, tensor.Concatenate)
    into = split_of(op.result)
    place = into.short.index(op.dimension)
    ends: list[tuple[Value, int]] = []
    for part in op.parts:
        ends += [(part, i) for i in range(shape_of(part.type)[op.dimension])]
    found: list[Value] = []
    for point in into.points:
        part, i = ends[point[place]]
        at = (*point[:place], i, *point[place + 1 :])
        found.append(c.of(builder, part)[split_of(part).number(at)])
    return [found]


def _fits_reverse(op: Operation) -> bool:
    assert isinstance(op, tensor.Reverse)
    return set(op.dimensions) <= set(split_of(op.result).short)


def _reverse(c: Columns, builder: Builder, op: Operation) -> Written:
    assert isinstance(op, tensor.Reverse)
    split = split_of(op.result)

    def at(point: Point) -> Point:
        pairs = zip(split.short, point, strict=True)
        return tuple(split.shape[d] - 1 - i if d in op.dimensions else i for d, i in pairs)

    return _picked(c, builder, op, op.operands[0], at)


def _fits_pad(op: Operation) -> bool:
    assert isinstance(op, tensor.Pad)
    into, of = split_of(op.result), split_of(op.input)
    if into.long != of.long or any(op.interior_padding):
        return False
    padded = zip(op.edge_padding_low, op.edge_padding_high, strict=True)
    return not any(any(ends) for d, ends in enumerate(padded) if d in into.long)


def _pad(c: Columns, builder: Builder, op: Operation) -> Written:
    assert isinstance(op, tensor.Pad)
    into, of = split_of(op.result), split_of(op.input)
    columns = c.of(builder, op.input)
    fill = c.whole(builder, op.padding_value)
    outside = tensor.broadcast_in_dim(builder, fill, into.lanes, ())
    found: list[Value] = []
    for point in into.points:
        at = [i - op.edge_padding_low[d] for d, i in zip(into.short, point, strict=True)]
        inside = all(0 <= i < n for i, n in zip(at, of.sizes, strict=True))
        found.append(columns[of.number(at)] if inside else outside)
    return [found]


def _iota(c: Columns, builder: Builder, op: Operation) -> Written:
    assert isinstance(op, tensor.Iota)
    split = split_of(op.result)
    type_ = TensorType(split.lanes, op.type.dtype)
    axis = op.iota_dimension
    if axis in split.long:
        return [[tensor.iota(builder, type_, split.long.index(axis))] * split.count]
    place = split.short.index(axis)
    return [[arith.constant(builder, point[place], type_) for point in split.points]]


# Reductions


def _fits_reduce(op: Operation) -> bool:
    assert isinstance(op, tensor.Reduce)
    narrow = dtype_of(op.operand.type) in (DType.F16, DType.BF16)
    short = set(op.dimensions) <= set(split_of(op.operand).short)
    return has_columns(op.operand) and short and not narrow


def _reduce(c: Columns, builder: Builder, op: Operation) -> Written:
    assert isinstance(op, tensor.Reduce)
    of, columns = split_of(op.operand), c.of(builder, op.operand)
    groups: dict[Point, list[Value]] = {}
    for point, column in zip(of.points, columns, strict=True):
        pairs = zip(of.short, point, strict=True)
        kept = tuple(i for d, i in pairs if d not in op.dimensions)
        groups.setdefault(kept, []).append(column)
    return [[combined(builder, op.kind, values) for values in groups.values()]]


def _fits_dot(op: Operation) -> bool:
    """Whether long axes run together, or only one side has any and the other is small.

    A larger matrix that all points share is a product of matrices, which has a schedule of its own.
    """
    assert isinstance(op, tensor.DotGeneral)
    lhs, rhs = split_of(op.lhs), split_of(op.rhs)
    if not (has_columns(op.lhs) and has_columns(op.rhs)):
        return False
    if dtype_of(op.lhs.type) in (DType.F16, DType.BF16) or not op.lhs_contracting_dimensions:
        return False
    if not (lhs.long and rhs.long):
        shared = rhs if lhs.long else lhs
        summed = any(d in lhs.long for d in op.lhs_contracting_dimensions) or any(
            d in rhs.long for d in op.rhs_contracting_dimensions
        )
        return shared.count <= MOST_SHARED and not summed
    left = [d for d in op.lhs_batching_dimensions if d in lhs.long]
    right = [d for d in op.rhs_batching_dimensions if d in rhs.long]
    return left == list(lhs.long) and right == list(rhs.long)


def _dot(c: Columns, builder: Builder, op: Operation) -> Written:
    assert isinstance(op, tensor.DotGeneral)
    lhs, rhs, into = split_of(op.lhs), split_of(op.rhs), split_of(op.result)
    left, right = c.of(builder, op.lhs), c.of(builder, op.rhs)
    masks = [c.of(builder, mask) for mask in op.selected]
    batch = len(op.lhs_batching_dimensions)
    sizes = [lhs.shape[d] for d in op.lhs_contracting_dimensions]
    inner = Split(tuple(sizes), (), tuple(range(len(sizes))))

    def of_lanes(column: Value) -> Value:
        if shape_of(column.type) == into.lanes:
            return column
        return tensor.broadcast_in_dim(builder, column, into.lanes, ())

    def element(point: Point, along: Point) -> Value:
        at = dict(zip(into.short, point, strict=True))
        lhs_at = dict(zip(op.lhs_contracting_dimensions, along, strict=True))
        rhs_at = dict(zip(op.rhs_contracting_dimensions, along, strict=True))
        for axis, d in enumerate((*op.lhs_batching_dimensions, *op.lhs_free)):
            lhs_at[d] = at.get(axis, 0)
        for axis, d in enumerate(op.rhs_batching_dimensions):
            rhs_at[d] = at.get(axis, 0)
        for axis, d in enumerate(op.rhs_free, batch + len(op.lhs_free)):
            rhs_at[d] = at.get(axis, 0)
        i = lhs.number([lhs_at[d] for d in lhs.short])
        j = rhs.number([rhs_at[d] for d in rhs.short])
        factors = (of_lanes(left[i]), of_lanes(right[j]))
        value = arith.product(builder, *factors, op.lhs_absorbs, op.rhs_absorbs)
        for mask in masks:
            value = arith.select(
                builder, of_lanes(mask[i]), value, arith.zeros(builder, value.type)
            )
        return value

    sums = [[element(point, along) for along in inner.points] for point in into.points]
    return [[combined(builder, tensor.Kind.SUM, products) for products in sums]]


def _dot_work(op: Operation) -> int:
    assert isinstance(op, tensor.DotGeneral)
    shape = shape_of(op.lhs.type)
    return 2 * prod(shape[d] for d in op.lhs_contracting_dimensions)


def _reduce_work(op: Operation) -> int:
    assert isinstance(op, tensor.Reduce)
    shape = shape_of(op.operand.type)
    return prod(shape[d] for d in op.dimensions)


# Reading and writing parts


def _fits_gather(op: Operation) -> bool:
    assert isinstance(op, tensor.Gather)
    into = split_of(op.result)
    whole = range(len(op.index_shape), len(into.shape))
    apart = not op.operand_batching_dims and set(whole) <= set(into.short)
    apart = apart and bool(op.indices)
    return apart and all(has_columns(value) for value in op.indices)


def _gather(c: Columns, builder: Builder, op: Operation) -> Written:
    """Elements by their number in the whole tensor, so that no column of it is copied out."""
    assert isinstance(op, tensor.Gather)
    into, lead = split_of(op.result), len(op.index_shape)
    of, shape = Split.of(op.index_shape), shape_of(op.operand.type)
    flat = tensor.reshape(builder, c.whole(builder, op.operand), (prod(shape),))
    strides = [prod(shape[d + 1 :]) for d in range(len(shape))]
    type_ = TensorType(into.lanes, DType.I64)

    def number(value: int) -> Value:
        return arith.constant(builder, value, type_)

    rows: list[Value] = []
    for each in zip(*(c.of(builder, value) for value in op.indices), strict=True):
        first: Value | None = None
        for d, index in zip(op.start_index_map, each, strict=True):
            at = arith.convert(builder, index, DType.I64)
            bounds = bounds_of(at)
            if bounds is None or bounds[0] < 0 or bounds[1] >= shape[d]:
                at = arith.maximum(builder, at, number(0))
                at = arith.minimum(builder, at, number(shape[d] - 1))
            at = arith.multiply(builder, at, number(strides[d]))
            first = at if first is None else arith.add(builder, first, at)
        rows.append(number(0) if first is None else first)
    found: list[Value] = []
    for point in into.points:
        at = dict(zip(into.short, point, strict=True))
        row = rows[of.number([at[d] for d in of.short])]
        behind = sum(at[lead + k] * strides[d] for k, d in enumerate(op.whole_dims))
        place = arith.add(builder, row, number(behind)) if behind else row
        found.append(tensor.gather(builder, flat, [place], (0,)))
    return [found]


def _read(c: Columns, builder: Builder, op: Operation) -> Written:
    assert isinstance(op, tensor.Read)
    into, lanes = split_of(op.result), split_of(op.result).lanes
    known = c.known(op.operand)
    found: list[Value] = []
    for point in into.points:
        along = {d: AffineExpr.dim(len(lanes), k) for k, d in enumerate(into.long)}
        at = dict(zip(into.short, point, strict=True))
        by = [
            along[d] if d in along else AffineExpr.number(len(lanes), at[d])
            for d in range(len(into.shape))
        ]
        exprs = list(op.map.substitute(by, len(lanes), lanes).results)
        if known is not None:
            of = split_of(op.operand)
            if not any(exprs[d].dims() for d in of.short):
                place = [exprs[d].constant for d in of.short]
                inside = all(0 <= i < n for i, n in zip(place, of.sizes, strict=True))
                if not inside:
                    type_ = TensorType(lanes, dtype_of(op.operand.type))
                    found.append(arith.zeros(builder, type_))
                    continue
                column = known[of.number(place)]
                found.append(tensor.read(builder, column, lanes, [exprs[d] for d in of.long]))
                continue
        found.append(tensor.read(builder, c.whole(builder, op.operand), lanes, exprs))
    return [found]


def _fits_update(op: Operation) -> bool:
    assert isinstance(op, tensor.DynamicUpdateSlice)
    split = split_of(op.result)
    part = shape_of(op.update.type)
    full = all(part[d] == split.shape[d] for d in split.long)
    known = all(splat_of(op.start_indices[d]) is not None for d in split.short)
    return full and known


def _update(c: Columns, builder: Builder, op: Operation) -> Written:
    assert isinstance(op, tensor.DynamicUpdateSlice)
    split, of = split_of(op.result), split_of(op.update)
    columns, updates = list(c.of(builder, op.input)), c.of(builder, op.update)
    starts: list[int] = []
    for d in split.short:
        start = splat_of(op.start_indices[d])
        assert start is not None
        starts.append(min(max(int(start), 0), split.shape[d] - of.shape[d]))
    for point, update in zip(of.points, updates, strict=True):
        at = split.number([start + i for start, i in zip(starts, point, strict=True)])
        adds = op.combiner is tensor.Combiner.ADD
        columns[at] = arith.add(builder, columns[at], update) if adds else update
    return [columns]


def _fits_accumulate(op: Operation) -> bool:
    """Whether each long axis of the updates is one of the result."""
    assert isinstance(op, tensor.Accumulate)
    of, into = split_of(op.updates), split_of(op.result)
    if not has_columns(op.updates):
        return False
    along = [op.map.results[d].single_dimension() for d in into.long]
    fixed = all(op.map.results[d].dims() <= set(of.short) for d in into.short)
    return along == list(of.long) and of.lanes == into.lanes and fixed


def _accumulate(c: Columns, builder: Builder, op: Operation) -> Written:
    assert isinstance(op, tensor.Accumulate)
    of, into = split_of(op.updates), split_of(op.result)
    found: list[Value | None] = [None] * into.count
    updates = c.of(builder, op.updates)
    for point, update in zip(of.points, updates, strict=True):
        where = of.whole(point, [0] * len(of.long))
        at = [int(op.map.results[d].evaluate(where)) for d in into.short]
        if all(0 <= i < n for i, n in zip(at, into.sizes, strict=True)):
            number = into.number(at)
            old = found[number]
            found[number] = update if old is None else arith.add(builder, old, update)
    type_ = TensorType(into.lanes, dtype_of(op.result.type))
    return [[arith.zeros(builder, type_) if column is None else column for column in found]]


def _always(op: Operation) -> bool:
    return True


def _one(op: Operation) -> int:
    return 1


ELEMENTWISE = Rule(_always, _elementwise, _one)

RULES: dict[type[Operation], Rule] = {
    tensor.Accumulate: Rule(_fits_accumulate, _accumulate, _one, mixes=True),
    tensor.BroadcastInDim: Rule(_fits_broadcast, _broadcast),
    tensor.Concatenate: Rule(_fits_concatenate, _concatenate, mixes=True),
    tensor.DotGeneral: Rule(_fits_dot, _dot, _dot_work, mixes=True),
    tensor.DynamicUpdateSlice: Rule(_fits_update, _update, _one, mixes=True),
    tensor.Gather: Rule(_fits_gather, _gather, _one),
    tensor.Iota: Rule(_always, _iota),
    tensor.Pad: Rule(_fits_pad, _pad),
    tensor.Read: Rule(_always, _read),
    tensor.Reduce: Rule(_fits_reduce, _reduce, _reduce_work, mixes=True),
    tensor.Reshape: Rule(_fits_reshape, _reshape),
    tensor.Reverse: Rule(_fits_reverse, _reverse, mixes=True),
    tensor.Slice: Rule(_fits_slice, _slice),
    tensor.Transpose: Rule(_fits_transpose, _transpose),
}
