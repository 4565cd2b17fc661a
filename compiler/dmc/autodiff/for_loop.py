"""Tangent and adjoint of `control.for`.

The tangent loop carries tangents beside values. The adjoint is a loop in the other direction: it
carries the cotangents of the carried values and those of what the body captures, to which each
iteration adds in place. (Griewank and Walther, Evaluating Derivatives, 2008, sections 3 and 12.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dmc.autodiff.adjoint import AdjointDriver, Pullback
from dmc.autodiff.errors import NotDifferentiable
from dmc.autodiff.tangent import TangentDriver
from dmc.dialects import control
from dmc.dialects.integer_ranges import bounds_of
from dmc.ir import Block, Operation, Value


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
        op.most,
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


def adjoint(driver: AdjointDriver, op: Operation) -> Pullback:
    """Emit the forward loop; the pullback emits the reverse loop."""
    assert isinstance(op, control.For)
    if _extent(op) < 0:
        raise NotDifferentiable(
            "grad.dynamic_loop",
            "reverse mode through a loop whose count is a run-time value is not supported yet",
            op.location,
            "make the count a size, as in `fn f[T](…)` with `for i in 0..T`",
        )
    return _repeating(driver, op) if op.checkpoint else _keeping(driver, op)


def _extent(op: control.For) -> int:
    """The greatest count that the loop can have, -1 where nothing tells."""
    if op.extent >= 0:
        return op.extent
    bounds = bounds_of(op.count)
    return -1 if bounds is None else max(bounds[1], 0)


def _keeping(driver: AdjointDriver, op: control.For) -> Pullback:
    """The reverse loop uses what each iteration of the forward loop has computed."""
    body = Block()
    inner = driver.inside(body)
    for arg in op.body.args:
        inner.primal[arg] = body.add_arg(arg.type, arg.name)
    pullbacks = inner.forward(op.body)
    control.make_yield(inner.builder, [inner.primal[v] for v in op.body.terminator.operands])
    primal = driver.primal
    loop = control.make_for(
        driver.builder,
        primal[op.count],
        [primal[v] for v in op.inits],
        [primal[v] for v in op.scanned],
        body,
        op.trip_count,
        op.reverse,
        most=_extent(op),
    )
    driver.adopt(op, loop)

    def begin(back: AdjointDriver) -> list[Pullback]:
        back.primal = inner.primal
        return pullbacks

    return _pullback(op, loop, begin)


def _repeating(driver: AdjointDriver, op: control.For) -> Pullback:
    """The reverse loop repeats each iteration, from the carried values at its beginning."""
    loop = driver.copy(op)
    assert isinstance(loop, control.For)
    loop.attributes["most"] = _extent(op)
    loop.attributes["checkpoint"] = 0

    def begin(back: AdjointDriver) -> list[Pullback]:
        back.primal.update(zip(op.body.args, loop.body.args, strict=True))
        return back.forward(op.body)

    return _pullback(op, loop, begin)


Begin = Callable[[AdjointDriver], list[Pullback]]
"""Prepares a reverse iteration: what to pull cotangents back through."""


def _pullback(op: control.For, loop: control.For, begin: Begin) -> Pullback:
    def pull_back(reverse: AdjointDriver) -> None:
        if any(value in reverse.cotangents for value in op.results):
            with reverse.builder.at(op.location.by("adjoint")):
                _emit_reverse(reverse, op, loop, begin)

    return pull_back


def _emit_reverse(reverse: AdjointDriver, op: control.For, loop: control.For, begin: Begin) -> None:
    """The reverse loop.

    It carries the cotangents of the carried values and of what is captured; it scans those of the
    stacked values and stacks those of the scanned ones.
    """
    carried = [i for i, arg in enumerate(op.carried_args) if arg in reverse.active]
    stacks = [i for i, value in enumerate(op.stacked_values) if value in reverse.active]
    scans = [i for i, arg in enumerate(op.scanned_args) if arg in reverse.active]
    body = Block([control.INDEX], ["i"])
    back = reverse.inside(body)
    captured: dict[Value, Value] = {}

    def enter(value: Value) -> Value | None:
        if value in reverse.primal and value in reverse.active:
            captured[value] = body.add_arg(value.type, f"{value.name}_bar" if value.name else "")
        return captured.get(value)

    back.entering = enter
    pullbacks = begin(back)
    seeded = [*(op.next_values[i] for i in carried), *(op.stacked_values[i] for i in stacks)]
    names = [f"{value.name}_bar" if value.name else "" for value in seeded]
    seeds = [body.add_arg(v.type, name) for v, name in zip(seeded, names, strict=True)]
    with back.builder.at(op.location.by("adjoint")):
        for value, seed in zip(seeded, seeds, strict=True):
            back.accumulate(value, seed)
        back.reverse(pullbacks)
        leaving = [back.cotangent_or_zero(op.carried_args[i]) for i in carried]
        leaving += [back.cotangents[value] for value in captured]
        leaving += [back.cotangent_or_zero(op.scanned_args[i]) for i in scans]
        control.make_yield(back.builder, leaving)
    count = len(carried)
    body.arrange_args([body.args[0], *seeds[:count], *captured.values(), *seeds[count:]])
    new = control.make_for(
        reverse.builder,
        reverse.primal[op.count],
        [
            *(reverse.cotangent_or_zero(op.finals[i]) for i in carried),
            *(reverse.cotangent_or_zero(value) for value in captured),
        ],
        [reverse.cotangent_or_zero(op.stacks[i]) for i in stacks],
        body,
        op.trip_count,
        not op.reverse,
        most=loop.most,
    )
    reverse.tape.pair(loop, new)
    for value, bar in zip(captured, new.finals[count:], strict=True):
        reverse.replace(value, bar)
    _accumulate(reverse, [op.inits[i] for i in carried], new.finals[:count])
    _accumulate(reverse, [op.scanned[i] for i in scans], new.stacks)


def _accumulate(driver: AdjointDriver, values: Sequence[Value], bars: Sequence[Value]) -> None:
    for value, bar in zip(values, bars, strict=True):
        driver.accumulate(value, bar)
