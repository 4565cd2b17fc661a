"""Tangent and adjoint of `control.for`.

The tangent loop carries tangents beside values. The adjoint is a loop in the other direction: it
scans the tape of the forward loop and carries the cotangents of the carried values and of what
the body captures. (Griewank and Walther, Evaluating Derivatives, 2008, sections 3 and 12.)
"""

from __future__ import annotations

from dataclasses import dataclass

from dmc.autodiff.adjoint import AdjointDriver, Pullback
from dmc.autodiff.errors import NotDifferentiable
from dmc.autodiff.tangent import TangentDriver
from dmc.autodiff.tape import Tape, plan_tape
from dmc.dialects import arith, control
from dmc.ir import Block, Builder, Operation, Value


def tangent(driver: TangentDriver, op: Operation) -> None:
    """Carry, scan and stack the tangents of active values beside the values."""
    assert isinstance(op, control.For)
    carried = [i for i, arg in enumerate(op.carried_args) if arg in driver.active]
    scanned = [i for i, arg in enumerate(op.scanned_args) if arg in driver.active]
    stacks = [i for i, value in enumerate(op.stacked_values) if value in driver.active]

    body = Block()
    inner = driver.inside(body)
    for arg in [op.index, *op.carried_args]:
        inner.primal[arg] = body.add_arg(arg.type, arg.name)
    for i in carried:
        arg = op.carried_args[i]
        inner.record(arg, body.add_arg(arg.type))
    for arg in op.scanned_args:
        inner.primal[arg] = body.add_arg(arg.type, arg.name)
    for i in scanned:
        arg = op.scanned_args[i]
        inner.record(arg, body.add_arg(arg.type))
    inner.block(op.body)
    with inner.builder.at(driver.builder.location):
        control.make_yield(
            inner.builder,
            [
                *(inner.primal.get(v, v) for v in op.next_values),
                *(inner.tangent_or_zero(op.next_values[i]) for i in carried),
                *(inner.primal.get(v, v) for v in op.stacked_values),
                *(inner.tangent_or_zero(op.stacked_values[i]) for i in stacks),
            ],
        )
    primal = driver.primal
    loop = control.make_for(
        driver.builder,
        primal.get(op.count, op.count),
        [
            *(primal.get(v, v) for v in op.inits),
            *(driver.tangent_or_zero(op.inits[i]) for i in carried),
        ],
        [
            *(primal.get(v, v) for v in op.scanned),
            *(driver.tangent_or_zero(op.scanned[i]) for i in scanned),
        ],
        body,
        op.trip_count,
        op.reverse,
        op.checkpoint,
    )
    finals, stacked = loop.finals, loop.stacks
    _rename(op, [*finals[: op.carried], *stacked[: len(op.stacks)]])
    primal.update(zip(op.finals, finals, strict=False))
    primal.update(zip(op.stacks, stacked, strict=False))
    for position, i in enumerate(carried):
        driver.record(op.finals[i], finals[op.carried + position])
    for position, i in enumerate(stacks):
        driver.record(op.stacks[i], stacked[len(op.stacks) + position])


def _rename(op: Operation, values: list[Value]) -> None:
    for old, new in zip(op.results, values, strict=True):
        new.name = old.name


@dataclass
class _Joint:
    """One iteration, forward then reverse, in a scratch block.

    `seeds` are the arguments of `block` that stand for the cotangents of the next carried values
    (`carried`) and of the stacked values (`stacks`); `inner` knows the outcome.
    """

    block: Block
    forward: list[Operation]
    reverse: list[Operation]
    inner: AdjointDriver
    carried: list[int]
    stacks: list[int]
    seeds: list[Value]
    captured: list[Value]


def adjoint(driver: AdjointDriver, op: Operation) -> Pullback:
    """Emit the forward loop with a tape; the pullback emits the reverse loop."""
    assert isinstance(op, control.For)
    if op.trip_count < 0:
        raise NotDifferentiable(
            "grad.dynamic_loop",
            "reverse mode through a loop whose count is a run-time value is not supported yet",
            op.location,
            "make the count a size, as in `fn f[T](…)` with `for i in 0..T`",
        )
    joint = _emit_joint(driver, op)
    free = {joint.inner.primal[arg] for arg in [op.index, *op.scanned_args]}
    tape = plan_tape(
        joint.forward, joint.reverse, joint.block, free | set(joint.seeds), op.checkpoint != 0
    )
    kept = _emit_forward(driver, op, joint, tape)

    def pull_back(reverse: AdjointDriver) -> None:
        if any(value in reverse.cotangents for value in op.results):
            with reverse.builder.at(op.location.by("adjoint")):
                _emit_reverse(reverse, op, joint, tape, kept)
        # The scratch block is done with; what it read has no user there any more.
        joint.block.drop_all()

    return pull_back


def _emit_joint(driver: AdjointDriver, op: control.For) -> _Joint:
    block = Block()
    inner = driver.inside(block)
    for arg in op.body.args:
        inner.primal[arg] = block.add_arg(arg.type, arg.name)
    pullbacks = inner.forward(op.body)
    forward = list(block)
    carried = [i for i, arg in enumerate(op.carried_args) if arg in driver.active]
    stacks = [i for i, value in enumerate(op.stacked_values) if value in driver.active]
    seeded = [*(op.next_values[i] for i in carried), *(op.stacked_values[i] for i in stacks)]
    seeds: list[Value] = []
    with inner.builder.at(op.location.by("adjoint")):
        for value in seeded:
            seeds.append(block.add_arg(value.type, f"{value.name}_bar" if value.name else ""))
            inner.accumulate(value, seeds[-1])
        inner.reverse(pullbacks)
    reverse = list(block)[len(forward) :]
    captured = [value for value in inner.cotangents if value in driver.primal]
    return _Joint(block, forward, reverse, inner, carried, stacks, seeds, captured)


def _emit_forward(driver: AdjointDriver, op: control.For, joint: _Joint, tape: Tape) -> list[Value]:
    """The loop of the source that also stacks what the tape keeps; returns the stacks."""
    body = Block()
    mapping: dict[Value, Value] = {}
    for arg in op.body.args:
        mapping[joint.inner.primal[arg]] = body.add_arg(arg.type, arg.name)
    builder = Builder(body, location=op.location)
    for inner in joint.forward:
        builder.insert(inner.clone(mapping))

    def copy(value: Value) -> Value:
        scratch = joint.inner.primal.get(value, value)
        return mapping.get(scratch, scratch)

    outputs = [copy(value) for value in op.body.terminator.operands]
    control.make_yield(builder, [*outputs, *(mapping.get(v, v) for v in tape.kept)])
    primal = driver.primal
    loop = control.make_for(
        driver.builder,
        primal.get(op.count, op.count),
        [primal.get(v, v) for v in op.inits],
        [primal.get(v, v) for v in op.scanned],
        body,
        op.trip_count,
        op.reverse,
    )
    _rename(op, list(loop.results[: len(op.results)]))
    primal.update(zip(op.results, loop.results, strict=False))
    kept = list(loop.results[len(op.results) :])
    for value, scratch in zip(kept, tape.kept, strict=True):
        value.name = f"{scratch.name}_tape" if scratch.name else ""
    return kept


def _emit_reverse(
    driver: AdjointDriver, op: control.For, joint: _Joint, tape: Tape, kept: list[Value]
) -> None:
    builder = driver.builder
    inner = joint.inner
    scans = [i for i, arg in enumerate(op.scanned_args) if arg in driver.active]
    cotangents = [driver.cotangent_or_zero(op.finals[i]) for i in joint.carried]
    sums = [arith.zeros(builder, value.type) for value in joint.captured]
    stack_bars = [driver.cotangent_or_zero(op.stacks[i]) for i in joint.stacks]

    body = Block()
    mapping: dict[Value, Value] = {inner.primal[op.index]: body.add_arg(op.index.type, "i")}
    seeds, stack_seeds = joint.seeds[: len(joint.carried)], joint.seeds[len(joint.carried) :]
    for seed in seeds:
        mapping[seed] = body.add_arg(seed.type, seed.name)
    accumulators = [body.add_arg(value.type, f"{value.name}_bar") for value in joint.captured]
    for value in tape.kept:
        mapping[value] = body.add_arg(value.type, value.name)
    for arg in op.scanned_args:
        mapping[inner.primal[arg]] = body.add_arg(arg.type, arg.name)
    for seed in stack_seeds:
        mapping[seed] = body.add_arg(seed.type, seed.name)

    inside = Builder(body, location=builder.location)
    for item in tape.again:
        inside.insert(item.clone(mapping, item.location.by("recompute")))
    for item in joint.reverse:
        inside.insert(item.clone(mapping))

    def outcome(value: Value) -> Value:
        known = inner.cotangents.get(value)
        if known is None:
            return arith.zeros(inside, value.type)
        return mapping.get(known, known)

    control.make_yield(
        inside,
        [
            *(outcome(op.carried_args[i]) for i in joint.carried),
            *(
                arith.add(inside, accumulator, outcome(value))
                for accumulator, value in zip(accumulators, joint.captured, strict=True)
            ),
            *(outcome(op.scanned_args[i]) for i in scans),
        ],
    )
    loop = control.make_for(
        builder,
        driver.primal.get(op.count, op.count),
        [*cotangents, *sums],
        [*kept, *(driver.primal.get(v, v) for v in op.scanned), *stack_bars],
        body,
        op.trip_count,
        not op.reverse,
    )
    for i, bar in zip(joint.carried, loop.finals, strict=False):
        driver.accumulate(op.inits[i], bar)
    for value, bar in zip(joint.captured, loop.finals[len(joint.carried) :], strict=True):
        driver.accumulate(value, bar)
    for i, bar in zip(scans, loop.stacks, strict=True):
        driver.accumulate(op.scanned[i], bar)
