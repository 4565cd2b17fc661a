"""Tangent and adjoint of `control.if`: the same branch, so untaken ones contribute exact zeros."""

from __future__ import annotations

from dmc.autodiff.adjoint import AdjointDriver, Pullback
from dmc.autodiff.tangent import TangentDriver
from dmc.dialects import control
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
    blocks = (Block(), Block())
    inners = [driver.inside(block) for block in blocks]
    pullbacks: list[list[Pullback]] = []
    for inner, source in zip(inners, (op.on_true, op.on_false), strict=True):
        pullbacks.append(inner.forward(source))
        control.make_yield(inner.builder, [inner.primal[v] for v in source.terminator.operands])
    condition = driver.primal[op.condition]
    copy = control.make_if(driver.builder, condition, *blocks)
    driver.adopt(op, copy)

    def pull_back(reverse: AdjointDriver) -> None:
        if not any(value in reverse.cotangents for value in op.results):
            return
        with reverse.builder.at(op.location.by("adjoint")):
            backs = [
                _branch(reverse, op, source, inner, steps)
                for source, inner, steps in zip(
                    (op.on_true, op.on_false), inners, pullbacks, strict=True
                )
            ]
            _join(reverse, op, copy, backs)

    return pull_back


def _branch(
    reverse: AdjointDriver,
    op: control.If,
    source: Block,
    inner: AdjointDriver,
    pullbacks: list[Pullback],
) -> AdjointDriver:
    """The reverse of one branch; what it adds to cotangents from around is in its driver."""
    back = reverse.inside(Block())
    back.primal = inner.primal
    back.entering = lambda value: reverse.known(value) if value in reverse.primal else None
    for value, output in zip(op.results, source.terminator.operands, strict=True):
        back.accumulate(output, reverse.cotangents.get(value))
    back.reverse(pullbacks)
    return back


def _join(
    reverse: AdjointDriver, op: control.If, copy: control.If, backs: list[AdjointDriver]
) -> None:
    touched: dict[Value, None] = {}
    for back in backs:
        for value, bar in back.cotangents.items():
            if value in reverse.primal and bar is not reverse.cotangents.get(value):
                touched[value] = None
    for back in backs:
        with back.builder.at(op.location.by("adjoint")):
            control.make_yield(back.builder, [back.cotangent_or_zero(v) for v in touched])
    if not touched:
        for back in backs:
            back.builder.block.drop_all()
        return
    new = control.make_if(reverse.builder, copy.condition, *(b.builder.block for b in backs))
    reverse.tape.pair(copy, new)
    for value, bar in zip(touched, new.results, strict=True):
        reverse.replace(value, bar)
