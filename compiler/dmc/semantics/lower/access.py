"""Indexing: slices, elements, gathers, new axes; and the updates that assignments make."""

from __future__ import annotations

import math as pymath
from collections.abc import Sequence
from dataclasses import dataclass

from dmc.diagnostics.errors import CompilerBug
from dmc.dialects import arith, control, tensor
from dmc.ir import Block, Builder, DType, TensorType, Value, dtype_of, shape_of
from dmc.ir.location import Span
from dmc.semantics import typed
from dmc.semantics.builtins.elementwise import ADD, DIVIDE, MULTIPLY, Elementwise
from dmc.semantics.lower.body import Body, register
from dmc.semantics.lower.elementwise import combine
from dmc.semantics.lower.values import Array, Lowered, Record, Static, flatten, rebuild

__all__ = ["element", "never_empty", "update"]


def _access(body: Body, node: typed.Access) -> Lowered:
    base = body.value(node.base)
    plan = _Plan.of(body, node.items)
    match base:
        case Array(value):
            result, stretch = plan.select(body, value, node.span)
            return Array(result, stretch)
        case Record():
            leaves = [plan.select(body, leaf, node.span)[0] for leaf in flatten(base)]
            return rebuild(body.type(node), iter(leaves))
        case _:
            raise CompilerBug("only arrays and stacks are indexed")


def element(body: Body, x: Value, index: Value, span: Span) -> Value:
    """The part of `x` at one place of its first axis."""
    return _Plan((_Element(index),)).select(body, x, span)[0]


@dataclass(frozen=True, slots=True)
class _Element:
    """A scalar index: the axis is dropped."""

    start: int | Value


@dataclass(frozen=True, slots=True)
class _Part:
    """A slice: `length` elements from `start`, every `step`-th."""

    start: int | Value
    length: int
    step: int


@dataclass(frozen=True, slots=True)
class _Gather:
    """An index tensor, whose axes replace the axis."""

    index: Value


@dataclass(frozen=True, slots=True)
class _Rest:
    """Whole axes; None stands for as many as are left."""

    count: int | None


@dataclass(frozen=True, slots=True)
class _New:
    """A new axis that stretches."""


_Item = _Element | _Part | _Gather | _Rest | _New


@dataclass(frozen=True, slots=True)
class _Plan:
    """The items of an index with their values."""

    items: tuple[_Item, ...]

    @staticmethod
    def of(body: Body, items: Sequence[typed.At]) -> _Plan:
        return _Plan(tuple(_item(body, item) for item in items))

    def expand(self, rank: int) -> list[_Element | _Part | _Gather | _Rest | _New]:
        """One item per axis (and the new axes), whole axes written as `_Rest(1)`."""
        taken = sum(
            item.count or 0 if isinstance(item, _Rest) else not isinstance(item, _New)
            for item in self.items
        )
        result: list[_Element | _Part | _Gather | _Rest | _New] = []
        has_rest = False
        for item in self.items:
            if isinstance(item, _Rest):
                count = item.count
                if count is None:
                    count, has_rest = rank - taken, True
                result += [_Rest(1)] * count
            else:
                result.append(item)
        if not has_rest:
            result += [_Rest(1)] * (rank - taken)
        return result

    def select(self, body: Body, x: Value, span: Span) -> tuple[Value, frozenset[int]]:
        """The selected part, and which of its axes stretch."""
        found, stretch = self._select(body, x, span)
        items = self.expand(len(shape_of(x.type)))
        missing = _missing([item for item in items if not isinstance(item, _New)], x)
        if any(missing) and pymath.prod(shape_of(found.type)):
            body.lowering.read_nothing(body.builder.block, span)
        return found, stretch

    def _select(self, body: Body, x: Value, span: Span) -> tuple[Value, frozenset[int]]:
        builder = body.builder
        shape = shape_of(x.type)
        items = self.expand(len(shape))
        _check_bounds(body, items, shape, span)
        per_axis = [item for item in items if not isinstance(item, _New)]
        x = never_empty(body, x, _missing(per_axis, x))
        if (
            per_axis
            and len(items) == len(per_axis)
            and all(isinstance(item, _Element) for item in per_axis)
        ):
            starts = [item.start for item in per_axis if isinstance(item, _Element)]
            return tensor.extract(builder, x, [_index(body, s) for s in starts]), frozenset()
        x = _slice(body, x, per_axis)
        kept = [
            (axis, item) for axis, item in enumerate(per_axis) if not isinstance(item, _Element)
        ]
        x = tensor.reshape(builder, x, [shape_of(x.type)[axis] for axis, _ in kept])
        points = _points(body, [item for _, item in kept])
        if points is not None:
            x = tensor.take_points(builder, x, points.indices, points.axes)
        if len(items) == len(per_axis):
            return x, frozenset()
        sizes = list(shape_of(x.type))
        final: list[int] = []
        stretch: set[int] = set()
        grown = points.rank if points is not None else 0
        for item in items:
            match item:
                case _New():
                    stretch.add(len(final))
                    final.append(1)
                case _Element():
                    pass
                case _Gather():
                    final += sizes[:grown]
                    sizes, grown = sizes[grown:], 0
                case _:
                    final.append(sizes.pop(0))
        return tensor.reshape(builder, x, final), frozenset(stretch)


def never_empty(body: Body, x: Value, missing: Sequence[bool]) -> Value:
    """An axis of no elements is read only where nothing runs; there a zero stands for it."""
    if not any(missing):
        return x
    filled = [1 if m else size for m, size in zip(missing, shape_of(x.type), strict=True)]
    return body.constant(0, dtype_of(x.type), *filled)


def _missing(items: Sequence[_Item], x: Value) -> list[bool]:
    """For each axis, whether an element is wanted of it and it has none."""
    wanted = (isinstance(item, _Element | _Gather) for item in items)
    return [w and size == 0 for w, size in zip(wanted, shape_of(x.type), strict=True)]


def _count(item: _Item, size: int) -> int:
    """How many elements of an axis of `size` are taken."""
    match item:
        case _Element():
            return 1
        case _Part(_, length, _):
            return length
        case _Gather(index):
            return pymath.prod(shape_of(index.type))
        case _:
            return size


def _item(body: Body, item: typed.At) -> _Item:
    match item:
        case typed.AtRest(count=count):
            return _Rest(count)
        case typed.AtNew():
            return _New()
        case typed.AtSlice(start=start, length=length, step=step):
            first = _position(body, start)
            return _Part(first, body.size(length, start.span), step)
        case typed.AtIndex(index=index):
            value = body.lower(index)
            if isinstance(value, Static):
                return _Element(int(value.value))
            assert isinstance(value, Array)
            if shape_of(value.value.type):
                return _Gather(value.value)
            return _Element(arith.convert(body.builder, value.value, DType.I64))


def _position(body: Body, node: typed.Node) -> int | Value:
    value = body.lower(node)
    if isinstance(value, Static):
        return int(value.value)
    assert isinstance(value, Array)
    return arith.convert(body.builder, value.value, DType.I64)


def _index(body: Body, start: int | Value) -> Value:
    return arith.index(body.builder, start) if isinstance(start, int) else start


def _check_bounds(body: Body, items: Sequence[_Item], shape: Sequence[int], span: Span) -> None:
    """What is known at compile time is inside, or the program is refused for these sizes."""
    axis = 0
    for item in items:
        if isinstance(item, _New):
            continue
        size = shape[axis]
        match item:
            case _Element(int() as start) if not 0 <= start < size:
                raise body.fail("index.bounds", f"index {start} is outside an axis of {size}", span)
            case _Part(int() as start, length, step):
                end = start + (length - 1) * step + 1 if length else start
                if not 0 <= start <= end <= size:
                    raise body.fail(
                        "index.bounds", f"the slice {start}:{end} is outside an axis of {size}",
                        span,
                    )  # fmt: skip
            case _Part(_, length, step) if (length - 1) * step + 1 > size:
                raise body.fail(
                    "index.bounds", f"a slice of {length} does not fit an axis of {size}", span
                )
            case _:
                pass
        axis += 1


def _slice(body: Body, x: Value, items: Sequence[_Item]) -> Value:
    """Narrow every axis; those with elements keep size 1 for now."""
    builder, shape = body.builder, shape_of(x.type)
    starts: list[int | Value] = []
    spans: list[int] = []
    steps: list[int] = []
    for item, size in zip(items, shape, strict=True):
        match item:
            case _Element(start):
                starts.append(start)
                spans.append(1)
                steps.append(1)
            case _Part(start, length, step):
                starts.append(start)
                spans.append((length - 1) * step + 1 if length else 0)
                steps.append(step)
            case _:
                starts.append(0)
                spans.append(size)
                steps.append(1)
    fixed = [start for start in starts if isinstance(start, int)]
    if len(fixed) == len(starts):
        limits = [s + n for s, n in zip(fixed, spans, strict=True)]
        return tensor.slice_(builder, x, fixed, limits, steps)
    x = tensor.dynamic_slice(builder, x, [_index(body, s) for s in starts], spans)
    if any(step != 1 for step in steps):
        x = tensor.slice_(builder, x, [0] * len(spans), spans, steps)
    return x


# ---- updates ----------------------------------------------------------------------------------


def update(
    body: Body,
    current: Lowered,
    path: Sequence[str | tuple[typed.At, ...]],
    value: Lowered,
    span: Span,
    change: Elementwise | None = None,
) -> Lowered:
    """`current` with the part at `path` replaced; where elements are gathered, by `change`."""
    if not path:
        return value
    first, *rest = path
    if isinstance(first, str):
        assert isinstance(current, Record)
        inner = update(body, current.fields[first], rest, value, span, change)
        return Record(current.type, {**current.fields, first: inner})
    plan = _Plan.of(body, first)
    if rest:
        raise CompilerBug("an index ends the target of an assignment")
    leaves = [
        _replace(body, plan, x, part, span, change)
        for x, part in zip(flatten(current), flatten(value), strict=True)
    ]
    return _same_structure(current, leaves)


def _same_structure(current: Lowered, leaves: list[Value]) -> Lowered:
    if isinstance(current, Array):
        return Array(leaves[0])
    assert isinstance(current, Record)
    return rebuild(current.type, iter(leaves))


@dataclass(frozen=True, slots=True)
class _Points:
    """Index tensors of one shape for several axes, which they address together."""

    axes: tuple[int, ...]
    indices: tuple[Value, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return shape_of(self.indices[0].type)

    @property
    def rank(self) -> int:
        return len(self.shape)

    def after(self, others: _Points) -> _Points:
        """The same places where `others` have been taken before."""
        found: list[int] = []
        for axis in self.axes:
            left = sum(other not in others.axes for other in range(axis))
            found.append(left if axis < others.axes[0] else left + others.rank)
        return _Points(tuple(found), self.indices)


def _points(body: Body, items: Sequence[_Item]) -> _Points | None:
    """What is gathered, by the positions of items."""
    found = [(place, item.index) for place, item in enumerate(items) if isinstance(item, _Gather)]
    if not found:
        return None
    indices = [index for _, index in found]
    if len({dtype_of(index.type) for index in indices}) > 1:
        indices = [arith.convert(body.builder, index, DType.I64) for index in indices]
    return _Points(tuple(place for place, _ in found), tuple(indices))


def _scatter(
    body: Body, x: Value, part: Value, points: _Points, change: Elementwise | None
) -> Value:
    """Write whole slices at the positions of index tensors."""
    # The axes of the indices come first, as a gather would give them.
    first = points.axes[0]
    moved = range(first, first + points.rank)
    rest = [d for d in range(len(shape_of(part.type))) if d not in moved]
    part = tensor.transpose(body.builder, part, [*moved, *rest])
    if change in (None, ADD):
        combiner = tensor.Combiner.SET if change is None else tensor.Combiner.ADD
        return tensor.scatter(body.builder, x, part, points.indices, points.axes, combiner)
    return _change_one_by_one(body, x, part, points, change)


def _change_one_by_one(
    body: Body, x: Value, part: Value, points: _Points, change: Elementwise
) -> Value:
    """Change whole slices, each occurrence of a position after the one before."""
    shape, count = shape_of(x.type), pymath.prod(points.shape)
    others = [size for axis, size in enumerate(shape) if axis not in points.axes]
    parts = tensor.reshape(body.builder, part, (count, *others))
    indices = [tensor.reshape(body.builder, index, (count,)) for index in points.indices]
    slice_type = TensorType(tuple(others), dtype_of(x.type))
    scalars = [TensorType((), dtype_of(index.type)) for index in indices]
    block = Block([control.INDEX, x.type, *scalars, slice_type])
    inner = Builder(block, location=body.builder.location)
    _, current, *places, by = block.args
    starts = [arith.index(inner, 0)] * len(shape)
    sizes = [*shape]
    for axis, place in zip(points.axes, places, strict=True):
        starts[axis] = arith.convert(inner, place, DType.I64)
        sizes[axis] = 1
    old = tensor.dynamic_slice(inner, current, starts, sizes)
    new = change.build(inner, old, tensor.reshape(inner, by, sizes))
    control.make_yield(inner, [tensor.dynamic_update_slice(inner, current, new, starts)])
    total = arith.index(body.builder, count)
    loop = control.make_for(body.builder, total, [x], [*indices, parts], block, count)
    return loop.finals[0]


def _scatter_all(
    body: Body, x: Value, part: Value, groups: Sequence[_Points], change: Elementwise | None
) -> Value:
    """Write at every combination of the points of several groups of axes."""
    points, *others = groups
    if others:
        rows = tensor.take_points(body.builder, x, points.indices, points.axes)
        if change is not None:
            rows = arith.constant(body.builder, 0 if change is ADD else 1, rows.type)
        part = _scatter_all(body, rows, part, [other.after(points) for other in others], change)
        change = MULTIPLY if change is DIVIDE else change  # the rows hold reciprocals
    return _scatter(body, x, part, points, change)


def _steps(body: Body, item: _Part) -> Value:
    """The positions of a slice whose elements are not one after another."""
    steps = tensor.arange(body.builder, item.length)
    steps = combine(body, MULTIPLY, steps, arith.index(body.builder, item.step))
    return combine(body, ADD, steps, _index(body, item.start))


def _replace(
    body: Body, plan: _Plan, x: Value, part: Value, span: Span, change: Elementwise | None
) -> Value:
    builder, shape = body.builder, shape_of(x.type)
    items = plan.expand(len(shape))
    _check_bounds(body, items, shape, span)
    if any(_missing(items, x)):
        if all(_count(item, size) for item, size in zip(items, shape, strict=True)):
            body.lowering.read_nothing(builder.block, span)
        return x
    starts: list[Value] = []
    sizes: list[int] = []  # of the block around what changes
    given: list[int] = []  # of the part, without the axes of elements
    full: list[int] = []  # with them
    points = _points(body, items)
    groups = [points] if points is not None else []
    for axis, (item, size) in enumerate(zip(items, shape, strict=True)):
        begin, taken, axes = 0, size, (size,)
        match item:
            case _Element(start):
                begin, taken, axes = start, 1, ()
                full.append(1)
            case _Part(start, length, 1):
                begin, taken, axes = start, length, (length,)
            case _Part(_, length, _):
                groups.append(_Points((axis,), (_steps(body, item),)))
                axes = (length,)
            case _Gather():
                axes = points.shape if points is not None and axis == points.axes[0] else ()
            case _:
                pass
        starts.append(_index(body, begin))
        sizes.append(taken)
        given += axes
        full += axes
    rank = len(shape_of(part.type))
    part = tensor.broadcast_in_dim(builder, part, given, range(len(given) - rank, len(given)))
    part = tensor.reshape(builder, part, full)
    if not groups:
        return tensor.dynamic_update_slice(builder, x, part, starts)
    if tuple(sizes) == shape:
        return _scatter_all(body, x, part, groups, change)
    block = tensor.dynamic_slice(builder, x, starts, sizes)
    block = _scatter_all(body, block, part, groups, change)
    return tensor.dynamic_update_slice(builder, x, block, starts)


register(typed.Access, _access)
