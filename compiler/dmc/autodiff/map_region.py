"""Tangent and adjoint of a `control.map` that batching has not dissolved."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.autodiff.adjoint import AdjointDriver, Pullback
from dmc.autodiff.tangent import TangentDriver
from dmc.dialects import arith, control, tensor
from dmc.ir import Block, Builder, Operation, Value, shape_of


def tangent(driver: TangentDriver, op: Operation) -> None:
    """Each point also adds to the tangents of active sums and yields those of active results."""
    assert isinstance(op, control.Map)
    count = len(op.inits)
    sums = [i for i, value in enumerate(op.totals) if value in driver.active]
    stacks = [i for i, value in enumerate(op.stacks) if value in driver.active]
    block = Block()
    inner = driver.inside(block)
    for arg in op.body.args:
        inner.primal[arg] = block.add_arg(arg.type, arg.name)
    for i in sums:
        inner.record(op.sums[i], block.add_arg(op.sums[i].type))
    inner.block(op.body)
    with inner.builder.at(driver.builder.location):
        control.make_yield(
            inner.builder,
            [
                *(inner.primal.get(v, v) for v in op.next_sums),
                *(inner.tangent_or_zero(op.next_sums[i]) for i in sums),
                *(inner.primal.get(v, v) for v in op.elements),
                *(inner.tangent_or_zero(op.elements[i]) for i in stacks),
            ],
        )
    inits = [driver.primal.get(v, v) for v in op.inits]
    inits += [driver.tangent_or_zero(op.inits[i]) for i in sums]
    new = control.make_map(driver.builder, op.sizes, block, inits)
    behind = len(op.stacks)
    made = [*new.totals[:count], *new.stacks[:behind]]
    for old, value in zip(op.results, made, strict=True):
        value.name = old.name
        driver.primal[old] = value
    for i, value in zip(sums, new.totals[count:], strict=True):
        driver.record(op.totals[i], value)
    for i, value in zip(stacks, new.stacks[behind:], strict=True):
        driver.record(op.stacks[i], value)


def adjoint(driver: AdjointDriver, op: Operation) -> Pullback:
    """Copy the map; the pullback maps the adjoint over the points, which add up what they share."""
    assert isinstance(op, control.Map)
    driver.copy(op)

    def pull_back(reverse: AdjointDriver) -> None:
        if any(value in reverse.cotangents for value in op.results):
            with reverse.builder.at(op.location.by("adjoint")):
                _emit_reverse(reverse, op)

    return pull_back


def _emit_reverse(driver: AdjointDriver, op: control.Map) -> None:
    """The cotangents of what is captured are sums of the map; each point repeats its own values."""
    block = Block()
    inner = driver.inside(block)
    captured: dict[Value, Value] = {}

    def enter(value: Value) -> Value | None:
        if value in driver.primal and value in driver.active:
            captured[value] = block.add_arg(value.type, f"{value.name}_bar" if value.name else "")
        return captured.get(value)

    inner.entering = enter
    point = [block.add_arg(arg.type, arg.name) for arg in op.indices]
    inner.primal.update(zip(op.indices, point, strict=True))
    # Nothing reads a sum.
    inner.primal.update((arg, driver.primal[v]) for arg, v in zip(op.sums, op.inits, strict=True))
    pullbacks = inner.forward(op.body)
    for value, output in zip(op.stacks, op.elements, strict=True):
        bar = driver.cotangents.get(value)
        if bar is not None:
            element = _element(inner.builder, bar, point, shape_of(output.type))
            inner.accumulate(output, element)
    for value, output in zip(op.totals, op.next_sums, strict=True):
        inner.accumulate(output, driver.cotangents.get(value))
    inner.reverse(pullbacks)
    with inner.builder.at(op.location.by("adjoint")):
        control.make_yield(inner.builder, [inner.cotangents[value] for value in captured])
    inits = [driver.cotangent_or_zero(value) for value in captured]
    new = control.make_map(driver.builder, op.sizes, block, inits)
    for value, total in zip(captured, new.totals, strict=True):
        driver.replace(value, total)
    for value, total in zip(op.inits, op.totals, strict=True):
        driver.accumulate(value, driver.cotangents.get(total))


def _element(
    builder: Builder, stack: Value, point: Sequence[Value], shape: tuple[int, ...]
) -> Value:
    """What `stack` holds at `point` of its leading axes."""
    starts = [*point, *(arith.index(builder, 0) for _ in shape)]
    whole = tensor.dynamic_slice(builder, stack, starts, (*(1 for _ in point), *shape))
    return tensor.reshape(builder, whole, shape)
