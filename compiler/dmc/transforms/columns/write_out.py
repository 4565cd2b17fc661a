"""Tensors with short axes become one tensor for each point of these."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from dmc.dialects import func
from dmc.ir import Block, Builder, Module, Operation, Value
from dmc.ir.passes import Pass
from dmc.transforms.columns.rules import Rule, rule_of
from dmc.transforms.columns.split import Columns, split_of
from dmc.transforms.common import code_blocks

LEAST_MIXING = 3
"""Where columns meet less often, kernels over all axes are few anyway."""

MOST_OPERATIONS = 4096
LEAST_LANES = 64


@dataclass(frozen=True)
class WriteOut(Pass):
    """Write out what is computed with the short axes of long tensors: points, rotations, cameras.

    A sum over three coordinates, a cross product, a part of a vector end one kernel and begin the
    next when the coordinates are an axis. As a tensor for each coordinate all is elementwise work,
    one kernel whose lanes are points and whose registers are coordinates.

    What is connected is written out together, where columns meet at least `least_mixing` times and
    that makes no more than `most_operations`.
    """

    name = "write-out"
    least_mixing: int = LEAST_MIXING
    most_operations: int = MOST_OPERATIONS

    def run(self, module: Module) -> None:
        for function in func.functions(module):
            for block in code_blocks(function):
                _write_out(block, self._chosen(block))

    def _chosen(self, block: Block) -> dict[Operation, Rule]:
        """The operations of a block to write out, in order."""
        rules = {op: rule for op in block if _is_long(op) and (rule := rule_of(op)) is not None}
        chosen: set[Operation] = set()
        for group in _connected(rules):
            mixing = sum(rules[op].mixes for op in group)
            work = sum(rules[op].work(op) * split_of(op.results[0]).count for op in group)
            if mixing >= self.least_mixing and work <= self.most_operations:
                chosen.update(group)
        return {op: rule for op, rule in rules.items() if op in chosen}


def _is_long(op: Operation) -> bool:
    """Whether the columns of what `op` gives fill vectors."""
    return bool(op.results) and prod(split_of(op.results[0]).lanes) >= LEAST_LANES


def _connected(ops: Iterable[Operation]) -> list[list[Operation]]:
    """Groups of operations that pass each other tensors, each in order."""
    groups: dict[Operation, list[Operation]] = {}
    for op in ops:
        mine = groups[op] = [op]
        for value in op.operands:
            other = groups.get(value.owner) if isinstance(value.owner, Operation) else None
            if other is None or other is mine:
                continue
            small, large = sorted((mine, other), key=len)
            large += small
            groups.update((each, large) for each in small)
            mine = large
    return list({id(group): group for group in groups.values()}.values())


def _write_out(block: Block, chosen: dict[Operation, Rule]) -> None:
    columns = Columns()
    for op, rule in chosen.items():
        builder = Builder.ahead_of(op)
        builder.location = op.location.by(WriteOut.name)
        for value, found in zip(op.results, rule.emit(columns, builder, op), strict=True):
            columns.set(value, found)
            _give(columns, builder, value, chosen)
    for op in reversed(list(chosen)):
        op.erase()


def _give(columns: Columns, builder: Builder, value: Value, chosen: dict[Operation, Rule]) -> None:
    """Let what is not written out read `value` whole."""
    others = [(user, index) for user, index in value.uses if user not in chosen]
    if others:
        whole = columns.whole(builder, value)
        for user, index in others:
            user.set_operand(index, whole)
