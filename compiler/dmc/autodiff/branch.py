"""Tangent and adjoint of `control.if`: the same branch, so untaken ones contribute exact zeros.

The adjoint branch repeats its forward operations; what is dead among them is removed later.
"""

from __future__ import annotations

from dmc.autodiff.adjoint import AdjointDriver, Pullback
from dmc.autodiff.tangent import TangentDriver
from dmc.dialects import arith, control
from dmc.ir import Block, Operation, Value


def tangent(driver: TangentDriver, op: Operation) -> None:
    """Each branch also yields the tangents of active results."""
    assert isinstance(op, control.If)
    active = [i for i, value in enumerate(op.results) if value in driver.active]
    blocks = [driver.region(source, active) for source in (op.on_true, op.on_false)]
    condition = driver.primal.get(op.condition, op.condition)
    driver.adopt(op, control.make_if(driver.builder, condition, *blocks), active)


def adjoint(driver: AdjointDriver, op: Operation) -> Pullback:
    """Copy the operation; the pullback branches the same way."""
    assert isinstance(op, control.If)
    driver.builder.insert(op.clone(driver.primal))

    def pull_back(reverse: AdjointDriver) -> None:
        if any(value in reverse.cotangents for value in op.results):
            with reverse.builder.at(op.location.by("adjoint")):
                _emit_reverse(reverse, op)

    return pull_back


def _emit_reverse(driver: AdjointDriver, op: control.If) -> None:
    inners: list[AdjointDriver] = []
    blocks: list[Block] = []
    for source in (op.on_true, op.on_false):
        block = Block()
        inner = driver.inside(block)
        pullbacks = inner.forward(source)
        for value, output in zip(op.results, source.terminator.operands, strict=True):
            bar = driver.cotangents.get(value)
            inner.accumulate(output, bar)
        inner.reverse(pullbacks)
        inners.append(inner)
        blocks.append(block)
    touched: dict[Value, None] = {}
    for inner in inners:
        touched.update((v, None) for v in inner.cotangents if v in driver.primal)
    for inner in inners:
        with inner.builder.at(op.location.by("adjoint")):
            bars = [inner.cotangents.get(v) for v in touched]
            control.make_yield(
                inner.builder,
                [
                    arith.zeros(inner.builder, v.type) if bar is None else bar
                    for v, bar in zip(touched, bars, strict=True)
                ],
            )
    if not touched:
        for block in blocks:
            block.drop_all()
        return
    condition = driver.primal.get(op.condition, op.condition)
    new = control.make_if(driver.builder, condition, *blocks)
    for value, bar in zip(touched, new.results, strict=True):
        driver.accumulate(value, bar)
