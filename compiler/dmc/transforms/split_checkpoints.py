"""Checkpointed loops become loops of loops, so that reverse mode keeps one state per segment."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

from dmc.dialects import arith, control, math, tensor
from dmc.dialects.segments import cut, iterations
from dmc.ir import Block, Builder, DType, Module
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op

EVERY_STEP = 1
"""The checkpoint of a loop whose reverse keeps the carried values of each iteration, no more."""


@dataclass(frozen=True)
class SplitCheckpoints(Pass):
    """Cut `for` loops with `checkpoint` k into segments of k steps (-1: about sqrt(T) of T).

    The outer loop keeps its carried values only; reverse mode repeats a segment, with all that it
    needs kept, just before going back through it. Peak memory falls from T to T/k + k steps
    (Griewank and Walther, Evaluating Derivatives, 2008, section 12.2).
    """

    name = "split-checkpoints"

    def run(self, module: Module) -> None:
        for op in list(module.walk()):
            if isinstance(op, control.For) and op.checkpoint not in (0, EVERY_STEP):
                _split(op)


def _split(op: control.For) -> None:
    if op.trip_count < 0 and not (op.reverse or op.scanned or op.stacks):
        _split_computed(op)
        return
    step = _step(op)
    if step < 2:
        op.attributes["checkpoint"] = EVERY_STEP
        return
    count = op.trip_count
    rest = count % step
    outer = cut(_without_last(op, rest) if rest else op, step, tensor.reshape)
    outer.attributes["checkpoint"] = EVERY_STEP


def _without_last(op: control.For, rest: int) -> control.For:
    """Put two loops in place of `op`, of which the last does `rest` iterations; gives the first."""
    builder, whole = Builder.ahead_of(op), op.trip_count - rest
    heads = [tensor.slice_axis(builder, v, 0, 0, whole) for v in op.scanned]
    tails = [tensor.slice_axis(builder, v, 0, whole, op.trip_count) for v in op.scanned]
    first = iterations(builder, op, whole, op.inits, heads, arith.index(builder, 0))
    start = arith.index(builder, whole)
    last = iterations(builder, op, rest, first.finals, tails, start)
    stacks = [
        tensor.concatenate(builder, [head, tail], 0)
        for head, tail in zip(first.stacks, last.stacks, strict=True)
    ]
    replace_op(op, [*last.finals, *stacks])
    return first


def _step(op: control.For) -> int:
    """The length of a segment; 0 for a loop that is not cut."""
    if op.trip_count < 0 or op.reverse:
        return 0
    return min(_segment(op.trip_count) if op.checkpoint < 0 else op.checkpoint, op.trip_count)


def _split_computed(op: control.For) -> None:
    """As with a known count; the last segment may be shorter, and segments are no larger."""
    builder = Builder.ahead_of(op)
    none, one = arith.index(builder, 0), arith.index(builder, 1)
    count = arith.maximum(builder, op.count, none)
    if op.checkpoint > 0:
        step = arith.index(builder, op.checkpoint)
    else:
        root = math.sqrt(builder, arith.convert(builder, count, DType.F64))
        step = arith.maximum(builder, arith.convert(builder, root, DType.I64), one)
    most = arith.subtract(builder, arith.add(builder, count, step), one)
    segments = arith.floor_divide(builder, most, step)
    body = Block([control.INDEX], ["segment"])
    carried = [body.add_arg(arg.type, arg.name) for arg in op.carried_args]
    inside = Builder(body, location=op.location)
    start = arith.multiply(inside, body.args[0], step)
    own = arith.minimum(inside, step, arith.subtract(inside, count, start))
    inner = iterations(inside, op, own, carried, (), start, most=max(op.checkpoint, -1))
    control.make_yield(inside, inner.results)
    outer = control.make_for(builder, segments, op.inits, (), body, checkpoint=EVERY_STEP)
    replace_op(op, outer.results)


def _segment(count: int) -> int:
    """A length near sqrt(count), one that divides `count` if there is one not far from it."""
    root = max(isqrt(count), 1)
    for near in range(root):
        for candidate in (root + near, root - near):
            if 2 * candidate >= root and candidate <= 2 * root and count % candidate == 0:
                return candidate
    return root
