"""Reductions over axes and over indexes."""

from __future__ import annotations

import itertools
import math as pymath
from collections.abc import Sequence

from dmc.dialects import arith, control, tensor
from dmc.dialects.arith import Direction
from dmc.ir import Block, DType, Value, dtype_of, shape_of
from dmc.ir.location import Span
from dmc.semantics import typed
from dmc.semantics.builtins.elementwise import ADD, DIVIDE, SUBTRACT
from dmc.semantics.builtins.reduction import SUM, Reduction
from dmc.semantics.lower.body import Body, fill, register, trained_part
from dmc.semantics.lower.elementwise import apply, combine
from dmc.semantics.lower.values import Array, Lowered, Record, Static, Tuple, flatten, rebuild
from dmc.semantics.primitive import Primitive
from dmc.semantics.typed import AxisChoice
from dmc.semantics.types import Pack, Type, pruned
from dmc.semantics.types import TensorType as Tensor

__all__ = ["build_map", "reduce_axes"]


def _reduce(body: Body, node: typed.Reduce) -> Lowered:
    operand = body.value(node.operand)
    if isinstance(operand, Record | Tuple):
        return _total(body, operand)
    assert isinstance(operand, Array)
    axes = _positions(body, node.axes, node.operand, operand.value)
    return Array(reduce_axes(body, node.reduction, operand.value, axes, node.span))


def _total(body: Body, record: Lowered) -> Lowered:
    """`sum` of all trained leaves of a record, in the widest of their element types."""
    parts = [
        tensor.reduce_sum(body.builder, leaf, range(len(shape_of(leaf.type))))
        for leaf in flatten(trained_part(record))
    ]
    if not parts:
        return Static(0)
    widest = max((dtype_of(part.type) for part in parts), key=lambda dtype: dtype.bytes)
    total = arith.convert(body.builder, parts[0], widest)
    for part in parts[1:]:
        total = combine(body, ADD, total, arith.convert(body.builder, part, widest))
    return Array(total)


def _positions(
    body: Body, choice: AxisChoice, operand: typed.Node, value: Value
) -> tuple[int, ...]:
    rank = len(shape_of(value.type))
    if choice.everything:
        return tuple(range(rank))
    positions = [p % rank for p in choice.positions]
    if choice.pack_start is not None:
        declared = pruned(operand.type)
        assert isinstance(declared, Tensor)
        after = len(declared.shape) - choice.pack_start - 1
        assert isinstance(declared.shape[choice.pack_start], Pack)
        positions += range(choice.pack_start, rank - after)
    return tuple(sorted(set(positions)))


def reduce_axes(
    body: Body, reduction: Reduction, x: Value, axes: Sequence[int], span: Span
) -> Value:
    """Reduce along static axes; a result without elements needs none.

    Raises dmc.IndexError when a maximum of nothing is asked for.
    """
    shape = shape_of(x.type)
    kept = [n for a, n in enumerate(shape) if reduction.keeps_shape or a not in axes]
    if 0 in kept:
        return body.constant(0, reduction.element or dtype_of(x.type), *kept)
    count = pymath.prod(shape[a] for a in axes)
    if count == 0 and not reduction.takes_nothing:
        raise body.fail("shape.empty", f"`{reduction}` of no elements", span)
    if reduction.is_of_one_axis:
        require_places(body, reduction, count, span)
    return reduction.build(body.builder, x, axes)


def require_places(body: Body, function: Primitive, count: int, span: Span) -> None:
    """Refuse to compare more elements than an i32, the type of a place, can number."""
    if count > 2**31 - 1:
        title = f"`{function}` of {count:,} elements is not supported; the most are {2**31 - 1:,}"
        raise body.fail("feature.unsupported", title, span)


# ---- builders ---------------------------------------------------------------------------------


def _build(body: Body, node: typed.Build) -> Lowered:
    for entry in node.indexes:
        assert entry.count is not None
        body.size(entry.count, entry.symbol.span)  # an array's axis, unlike a sum's range
    values, sizes = build_map(body, node.indexes, node.body, node.span)
    del sizes
    return rebuild(body.type(node), iter(values))


def build_map(
    body: Body, indexes: Sequence[typed.IndexRange], element: typed.Node, span: Span
) -> tuple[list[Value], list[int]]:
    """The element at every point of static ranges, stacked along leading axes."""
    starts: list[int] = []
    sizes: list[int] = []
    for entry in indexes:
        start, stop = body.lower(entry.start), body.lower(entry.stop)
        assert isinstance(start, Static)
        assert isinstance(stop, Static)
        starts.append(int(start.value))
        sizes.append(max(int(stop.value) - int(start.value), 0))
    block = Block([control.INDEX] * len(sizes), [e.symbol.name for e in indexes])
    with body.independent(block, element.span) as inner:
        for entry, argument, start, size in zip(indexes, block.args, starts, sizes, strict=True):
            _bind_index(inner, entry.symbol, argument, start, start + size)
        values = inner.leaves(element)
    control.make_yield(inner.builder, values)
    return list(control.make_map(body.builder, sizes, block).results), sizes


def _bind_index(body: Body, symbol: typed.Symbol, argument: Value, start: int, stop: int) -> None:
    value = argument
    if start:
        value = arith.add(body.builder, argument, arith.index(body.builder, start))
    body.environment[symbol] = Array(value)
    body.bounds[symbol] = stop


# ---- reductions over indexes ------------------------------------------------------------------


def _reduce_indexes(body: Body, node: typed.ReduceIndexes) -> Lowered:
    """Ranges known at compile time at once; one that is not, and what follows, inside them."""
    fixed = tuple(itertools.takewhile(lambda entry: entry.count is not None, node.indexes))
    rest = node.indexes[len(fixed) :]
    if rest and node.reduction.is_average:
        return _mean(body, node)
    if not fixed:
        return _dynamic(body, node)
    element = _without(node, rest) if rest else node.body
    values, sizes = build_map(body, fixed, element, node.span)
    axes = tuple(range(len(sizes)))
    done = [reduce_axes(body, node.reduction, value, axes, node.span) for value in values]
    if node.reduction.is_of_one_axis:
        done = [_from(body, fixed[0].start, place) for place in done]
    return rebuild(body.type(node), iter(done))


def _from(body: Body, start: typed.Node, place: Value) -> Value:
    """The index at a place of a range."""
    first = body.lower(start)
    assert isinstance(first, Static)
    return arith.add(body.builder, place, arith.constant(body.builder, first.value, place.type))


def _without(node: typed.ReduceIndexes, rest: Sequence[typed.IndexRange]) -> typed.Node:
    """The reduction over the indexes that are left."""
    return typed.ReduceIndexes(node.type, node.span, node.reduction, tuple(rest), node.body)


def _dynamic(body: Body, node: typed.ReduceIndexes) -> Lowered:
    """A first range known at run time: masked when it has a static bound, else a loop."""
    entry, *rest = node.indexes
    inner_body = _without(node, rest) if rest else node.body
    start = body.lower(entry.start)
    bound = upper_bound(body, entry.stop)
    if isinstance(start, Static) and bound is not None:
        return _masked(body, node, entry, inner_body, int(start.value), bound)
    return _accumulate(body, node, entry, inner_body)


def _mean(body: Body, node: typed.ReduceIndexes) -> Lowered:
    """The sum over a run-time range, divided by the number of its points."""
    one = typed.Literal(node.type, node.span, 1.0)
    total = _reduce_indexes(
        body, typed.ReduceIndexes(node.type, node.span, SUM, node.indexes, node.body)
    )
    count = _reduce_indexes(body, typed.ReduceIndexes(node.type, node.span, SUM, node.indexes, one))
    return apply(body, DIVIDE, [total, count])


def upper_bound(body: Body, node: typed.Node) -> int | None:
    """An inclusive upper bound of a whole number, from the bounds of enclosing indexes."""
    match node:
        case typed.Literal(value=value):
            return int(value)
        case typed.SizeValue():
            value = body.lower(node)
            return int(value.value) if isinstance(value, Static) else None
        case typed.Local(symbol=symbol):
            bound = body.bounds.get(symbol)
            if bound is not None:
                return bound - 1
            value = body.environment.get(symbol)
            return int(value.value) if isinstance(value, Static) else None
        case typed.Apply(function=function) if function in (ADD, SUBTRACT):
            first, applications = typed.chain(node, (ADD, SUBTRACT))
            total = upper_bound(body, first)
            for each in applications:
                change = _change(body, each)
                total = None if total is None or change is None else total + change
            return total
        case _:
            return None


def _change(body: Body, node: typed.Apply) -> int | None:
    """An upper bound of what a sum or difference adds to its first operand."""
    operand = node.operands[1]
    if node.function is ADD:
        return upper_bound(body, operand)
    taken = body.lower(operand)
    return -int(taken.value) if isinstance(taken, Static) else None


def _neutral(body: Body, reduction: Reduction, type_: Type, span: Span) -> Lowered:
    number = reduction.neutral
    assert number is not None
    if isinstance(type_, Tensor) and not body.dtype(type_.element).is_float:
        info = 2**31 - 1 if body.dtype(type_.element) is DType.I32 else 2**63 - 1
        number = int(max(-info - 1, min(info, number)))
    return fill(body, type_, number, span)


def _masked(
    body: Body,
    node: typed.ReduceIndexes,
    entry: typed.IndexRange,
    element: typed.Node,
    start: int,
    bound: int,
) -> Lowered:
    size = max(bound - start, 0)
    stop = body.array(entry.stop)
    stop = arith.convert(body.builder, stop, DType.I64)
    block = Block([control.INDEX], [entry.symbol.name])
    inner = body.inside(block)
    _bind_index(inner, entry.symbol, block.args[0], start, start + size)
    index = inner.environment[entry.symbol]
    assert isinstance(index, Array)
    inside = arith.compare(inner.builder, Direction.LT, index.value, stop)
    yes, no = Block(), Block()
    other = inner.inside(no)
    with inner.independent(yes, element.span) as taken:
        control.make_yield(taken.builder, taken.leaves(element))
    neutral = _neutral(other, node.reduction, body.type(node.body), node.span)
    control.make_yield(other.builder, flatten(neutral))
    branch = control.make_if(inner.builder, inside, yes, no)
    control.make_yield(inner.builder, branch.results)
    values = control.make_map(body.builder, [size], block).results
    is_place = node.reduction.is_of_one_axis
    if size == 0 and is_place:
        return fill(body, body.type(node), start, node.span)
    if size == 0:
        return _neutral(body, node.reduction, body.type(node), node.span)
    done = [node.reduction.build(body.builder, value, (0,)) for value in values]
    if is_place:
        done = [_from(body, entry.start, place) for place in done]
    return rebuild(body.type(node), iter(done))


def _accumulate(
    body: Body, node: typed.ReduceIndexes, entry: typed.IndexRange, element: typed.Node
) -> Lowered:
    """One element after another; each leaf of them has a state of its own."""
    stream = node.reduction.stream
    start = arith.convert(body.builder, body.array(entry.start), DType.I64)
    stop = arith.convert(body.builder, body.array(entry.stop), DType.I64)
    count = arith.subtract(body.builder, stop, start)
    neutral = flatten(_neutral(body, node.reduction, body.type(node.body), node.span))
    states = [stream.begin(body.builder, value, start) for value in neutral]
    inits = [value for state in states for value in state]
    block = Block([control.INDEX, *(value.type for value in inits)], [entry.symbol.name])
    with body.independent(block, element.span) as inner:
        index = arith.add(inner.builder, block.args[0], start)
        inner.environment[entry.symbol] = Array(index)
        parts = inner.leaves(element)
    new: list[Value] = []
    for state, part in zip(_grouped(block.args[1:], states), parts, strict=True):
        new += stream.step(inner.builder, state, part, index)
    control.make_yield(inner.builder, new)
    loop = control.make_for(body.builder, count, inits, (), block)
    done = [stream.end(body.builder, state) for state in _grouped(loop.finals, states)]
    return rebuild(body.type(node), iter(done))


def _grouped(values: Sequence[Value], like: Sequence[Sequence[Value]]) -> list[list[Value]]:
    """Values in groups of the lengths of `like`."""
    items = iter(values)
    return [list(itertools.islice(items, len(group))) for group in like]


register(typed.Reduce, _reduce)
register(typed.Build, _build)
register(typed.ReduceIndexes, _reduce_indexes)
