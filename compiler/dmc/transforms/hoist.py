"""Loop-invariant code motion."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.dialects import control
from dmc.dialects.flow import ControlFlow
from dmc.ir import Block, Module, Operation, TapeType, Trait, Value
from dmc.ir.passes import Pass
from dmc.transforms.common import is_isolated, is_loop


@dataclass(frozen=True)
class Hoist(Pass):
    """Move operations that do not depend on an iteration in front of their loop.

    Pure operations cannot fail, so running one whose loop then makes no iteration is safe. Only a
    `while` inside might not end; it moves if the loop surely runs. Branches of an `if` are left
    alone: what is not taken is not evaluated. A tape stays beside the loop that reads it.
    """

    name = "hoist"

    def run(self, module: Module) -> None:
        _hoist_in(module.body)


def _hoist_in(block: Block) -> None:
    for op in block:
        if isinstance(op, ControlFlow) or (op.regions and is_isolated(op)):
            for inner in op.regions:
                _hoist_in(inner.block)
        if is_loop(op):
            _empty(op)


def _empty(loop: Operation) -> None:
    """Move what is invariant out of `loop`, whose inner loops have been emptied already."""
    assert loop.parent is not None
    inside: set[Value] = set()
    for inner in loop.regions:
        inside.update(inner.block.args)
        for op in inner.block:
            if _may_move(op, loop) and inside.isdisjoint(op.reads()):
                op.detach()
                loop.parent.insert(op, loop)
            else:
                inside.update(op.results)


def _may_move(op: Operation, loop: Operation) -> bool:
    if op.has(Trait.TERMINATOR) or op.has(Trait.READS_MEMORY) or not op.is_pure:
        return False
    if any(isinstance(value.type, TapeType) for value in op.results):
        return False
    runs = isinstance(loop, ControlFlow) and loop.surely_runs
    return runs or not any(isinstance(i, control.While) for i in op.walk())
