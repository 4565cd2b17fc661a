"""Tangent and adjoint of a `control.map` that batching has not dissolved."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.autodiff.adjoint import AdjointDriver, Pullback
from dmc.autodiff.tangent import TangentDriver
from dmc.dialects import arith, control, tensor
from dmc.ir import Block, Builder, Operation, Value, shape_of


def tangent(driver: TangentDriver, op: Operation) -> None:
    """Each point also yields the tangents of its active results."""
    assert isinstance(op, control.Map)
    active = [i for i, value in enumerate(op.results) if value in driver.active]
    block = driver.region(op.body, active)
    driver.adopt(op, control.make_map(driver.builder, op.sizes, block), active)


def adjoint(driver: AdjointDriver, op: Operation) -> Pullback:
    """Copy the map; the pullback maps the adjoint over the points and sums what they share."""
    assert isinstance(op, control.Map)
    driver.copy(op)

    def pull_back(reverse: AdjointDriver) -> None:
        if any(value in reverse.cotangents for value in op.results):
            with reverse.builder.at(op.location.by("adjoint")):
                _emit_reverse(reverse, op)

    return pull_back


def _emit_reverse(driver: AdjointDriver, op: control.Map) -> None:
    block = Block()
    inner = driver.inside(block)
    for arg in op.body.args:
        inner.primal[arg] = block.add_arg(arg.type, arg.name)
    pullbacks = inner.forward(op.body)
    point = [inner.primal[arg] for arg in op.body.args]
    for value, output in zip(op.results, op.body.terminator.operands, strict=True):
        bar = driver.cotangents.get(value)
        if bar is not None:
            element = _element(inner.builder, bar, point, shape_of(output.type))
            inner.accumulate(output, element)
    inner.reverse(pullbacks)
    captured: list[Value] = [v for v in inner.cotangents if v in driver.primal]
    with inner.builder.at(op.location.by("adjoint")):
        control.make_yield(inner.builder, [inner.cotangents[v] for v in captured])
    new = control.make_map(driver.builder, op.sizes, block)
    axes = tuple(range(len(op.sizes)))
    for value, parts in zip(captured, new.results, strict=True):
        total = tensor.reduce_sum(driver.builder, parts, axes)
        driver.accumulate(value, total)


def _element(
    builder: Builder, stack: Value, point: Sequence[Value], shape: tuple[int, ...]
) -> Value:
    """What `stack` holds at `point` of its leading axes."""
    starts = [*point, *(arith.index(builder, 0) for _ in shape)]
    whole = tensor.dynamic_slice(builder, stack, starts, (*(1 for _ in point), *shape))
    return tensor.reshape(builder, whole, shape)
