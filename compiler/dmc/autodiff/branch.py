"""Tangent and adjoint of `control.if`: the same branch, so untaken ones contribute exact zeros."""

from __future__ import annotations

from collections.abc import Callable

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


Begin = Callable[[AdjointDriver], list[Pullback]]
"""Prepares the reverse of a branch: gives what to pull cotangents back through."""


def adjoint(driver: AdjointDriver, op: Operation) -> Pullback:
    """Copy the operation; the pullback branches the same way."""
    assert isinstance(op, control.If)
    sources = (op.on_true, op.on_false)
    if op.checkpoint:
        copy = driver.copy(op)
        assert isinstance(copy, control.If)
        copy.attributes["checkpoint"] = False
        begins = [_repeat(source) for source in sources]
    else:
        copy, begins = _keeping(driver, op)

    def pull_back(reverse: AdjointDriver) -> None:
        if not any(value in reverse.cotangents for value in op.results):
            return
        with reverse.builder.at(op.location.by("adjoint")):
            backs = [
                _branch(reverse, op, source, begin)
                for source, begin in zip(sources, begins, strict=True)
            ]
            _join(reverse, op, copy, backs)

    return pull_back


def _keeping(driver: AdjointDriver, op: control.If) -> tuple[control.If, list[Begin]]:
    """The reverse of a branch uses what the branch has computed."""
    blocks = (Block(), Block())
    begins: list[Begin] = []
    for block, source in zip(blocks, (op.on_true, op.on_false), strict=True):
        inner = driver.inside(block)
        pullbacks = inner.forward(source)
        control.make_yield(inner.builder, [inner.primal[v] for v in source.terminator.operands])
        begins.append(_resume(inner, pullbacks))
    copy = control.make_if(driver.builder, driver.primal[op.condition], *blocks)
    driver.adopt(op, copy)
    return copy, begins


def _resume(inner: AdjointDriver, pullbacks: list[Pullback]) -> Begin:
    def begin(back: AdjointDriver) -> list[Pullback]:
        back.primal = inner.primal
        return pullbacks

    return begin


def _repeat(source: Block) -> Begin:
    """Do again what a branch has done."""
    return lambda back: back.forward(source)


def _branch(reverse: AdjointDriver, op: control.If, source: Block, begin: Begin) -> AdjointDriver:
    """The reverse of one branch; what it adds to cotangents from around is in its driver."""
    back = reverse.inside(Block())
    pullbacks = begin(back)
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
