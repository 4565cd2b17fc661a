"""Checkpointed loops become loops of loops, so that reverse mode keeps one state per segment."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

from dmc.dialects import arith, autodiff, control, func, math, tensor
from dmc.dialects.segments import condition_holds, cut, iterations, segment_of_while
from dmc.ir import Block, Builder, DType, Module, Operation
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op

EVERY_STEP = 1
"""The checkpoint of a loop whose reverse keeps the carried values of each iteration, no more."""


@dataclass(frozen=True)
class CheckpointBranches(Pass):
    """Let reverse mode repeat branches with loops without a bound, where a gradient is taken next.

    So what such a loop keeps is read in the branch that it is in: under a budget it is not kept.
    """

    name = "checkpoint-branches"

    def run(self, module: Module) -> None:
        requests = [op for op in module.walk() if isinstance(op, autodiff.Vjp)]
        for function in {func.lookup(module, op.callee) for op in requests}:
            if any(isinstance(op, autodiff.Vjp | autodiff.Jvp) for op in function.walk()):
                continue
            for op in function.walk():
                if isinstance(op, control.If) and any(map(_is_unbounded, op.walk())):
                    op.attributes["checkpoint"] = True


def _is_unbounded(op: Operation) -> bool:
    """Whether what a loop keeps grows as long as it runs."""
    return isinstance(op, control.Loop) and op.extent < 0


@dataclass(frozen=True)
class SplitCheckpoints(Pass):
    """Cut loops with `checkpoint` k into segments of k steps (-1: about sqrt(T) of T).

    Of a `while` nobody knows T: its segments are 1, 2, 3, … steps long, about sqrt(2 T) at last.
    The outer loop keeps its carried values only; reverse mode repeats a segment, with all that it
    needs kept, just before going back through it. Peak memory falls from T to T/k + k steps
    (Griewank and Walther, Evaluating Derivatives, 2008, section 12.2).
    """

    name = "split-checkpoints"

    def run(self, module: Module) -> None:
        for op in reversed(list(module.walk())):  # those inside first
            if isinstance(op, control.For) and op.checkpoint not in (0, EVERY_STEP):
                _split(op)
            elif isinstance(op, control.While) and op.checkpoint not in (0, EVERY_STEP):
                _split_while(op)


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


def _split_while(op: control.While) -> None:
    """A segment ends where the condition no longer holds, too."""
    builder = Builder.ahead_of(op)
    test, body = (Block([control.INDEX], ["segment"]) for _ in range(2))
    for block in (test, body):
        for arg in op.body.args:
            block.add_arg(arg.type, arg.name)
    asking, inside = (Builder(block, location=op.location) for block in (test, body))
    control.make_yield(asking, [condition_holds(op, asking, test.args[1:])])
    one = arith.index(inside, 1)
    following = arith.add(inside, body.args[0], one)
    step = arith.index(inside, op.checkpoint) if op.checkpoint > 0 else following
    zero = arith.index(inside, 0)
    inner = segment_of_while(inside, op, [zero, *body.args[1:]], step)
    control.make_yield(inside, [following, *inner.results[1:]])
    inits = [arith.index(builder, 0), *op.inits]
    outer = control.make_while(builder, inits, test, body, checkpoint=EVERY_STEP)
    replace_op(op, outer.results[1:])


def _segment(count: int) -> int:
    """A length near sqrt(count), one that divides `count` if there is one not far from it."""
    root = max(isqrt(count), 1)
    for near in range(root):
        for candidate in (root + near, root - near):
            if 2 * candidate >= root and candidate <= 2 * root and count % candidate == 0:
                return candidate
    return root
