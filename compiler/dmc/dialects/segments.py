"""A loop as a loop over segments of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dmc.dialects import arith, control
from dmc.ir import Block, Builder, Value, shape_of
from dmc.ir.rewriter import replace_op

Regroup = Callable[[Builder, Value, tuple[int, ...]], Value]
"""The same elements under another shape: `tensor.reshape`, or a view of a kernel's result."""


def cut(op: control.For, step: int, regroup: Regroup) -> control.For:
    """Put a loop over segments around a loop of `step` iterations in place of `op`.

    `step` divides the count of `op`. Returns the outer loop.
    """
    builder = Builder.ahead_of(op)
    segments = op.trip_count // step
    body = Block([control.INDEX], ["segment"])
    carried = [body.add_arg(arg.type, arg.name) for arg in op.carried_args]
    parts = [body.add_arg(control.stacked(arg.type, step), arg.name) for arg in op.scanned_args]
    inside = Builder(body, location=op.location)
    control.make_yield(inside, segment(inside, op, step, carried, parts, body.args[0]).results)
    outer = control.make_for(
        builder,
        arith.index(builder, segments),
        op.inits,
        [in_segments(builder, value, step, regroup) for value in op.scanned],
        body,
        segments,
        op.reverse,
    )
    whole = [joined(builder, value, regroup) for value in outer.stacks]
    replace_op(op, [*outer.finals, *whole])
    return outer


def inner_loop(outer: control.For) -> control.For:
    """The loop over the iterations of one segment."""
    return next(op for op in outer.body if isinstance(op, control.For))


def segment(
    builder: Builder,
    op: control.For,
    step: int,
    inits: Sequence[Value],
    scanned: Sequence[Value],
    number: Value,
) -> control.For:
    """The `step` iterations of `op` that are its segment of that number."""
    start = arith.multiply(builder, number, arith.index(builder, step))
    return iterations(builder, op, step, inits, scanned, start)


def iterations(
    builder: Builder,
    op: control.For,
    count: int | Value,
    inits: Sequence[Value],
    scanned: Sequence[Value],
    start: Value,
    most: int = -1,
) -> control.For:
    """`count` iterations of `op`, the lowest of which has the index `start`.

    Of a count that is computed `most` is the greatest that it can be, -1 if nothing tells.
    """
    body = Block([arg.type for arg in op.body.args], [arg.name for arg in op.body.args])
    inside = Builder(body, location=op.location)
    mapping: dict[Value, Value] = dict(zip(op.body.args, body.args, strict=True))
    mapping[op.index] = arith.add(inside, body.args[0], start)
    for inner in op.body:
        inside.insert(inner.clone(mapping))
    if isinstance(count, int):
        known = arith.index(builder, count)
        return control.make_for(builder, known, inits, scanned, body, count, op.reverse)
    return control.make_for(builder, count, inits, scanned, body, reverse=op.reverse, most=most)


def in_segments(builder: Builder, value: Value, step: int, regroup: Regroup) -> Value:
    """What a loop scans, by segments."""
    count, *rest = shape_of(value.type)
    return regroup(builder, value, (count // step, step, *rest))


def joined(builder: Builder, value: Value, regroup: Regroup) -> Value:
    """What was stacked by segments, as one stack."""
    segments, step, *rest = shape_of(value.type)
    return regroup(builder, value, (segments * step, *rest))


def segment_of_while(
    builder: Builder, op: control.While, inits: Sequence[Value], step: Value
) -> control.While:
    """At most `step` iterations of `op`; the first carried value counts them."""
    types, names = [value.type for value in inits], [arg.name for arg in op.body.args]
    test, body = (Block(types, ["i", *names]) for _ in range(2))
    asking, inside = (Builder(block, location=op.location) for block in (test, body))
    more = arith.compare(asking, arith.Direction.LT, test.args[0], step)
    holds = condition_holds(op, asking, test.args[1:])
    control.make_yield(asking, [arith.logical_and(asking, more, holds)])
    mapping = dict(zip(op.body.args, body.args[1:], strict=True))
    for each in op.body:
        if each is not op.body.terminator:
            inside.insert(each.clone(mapping))
    following = arith.add(inside, body.args[0], arith.index(inside, 1))
    nexts = [mapping.get(value, value) for value in op.next_values]
    control.make_yield(inside, [following, *nexts])
    return control.make_while(builder, inits, test, body)


def condition_holds(op: control.While, builder: Builder, values: Sequence[Value]) -> Value:
    """The condition of `op` for these carried values."""
    mapping = dict(zip(op.condition.args, values, strict=True))
    for each in op.condition:
        if each is not op.condition.terminator:
            builder.insert(each.clone(mapping))
    (holds,) = op.condition.terminator.operands
    return mapping.get(holds, holds)
