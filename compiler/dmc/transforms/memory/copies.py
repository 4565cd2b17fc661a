"""Copies wherever control flow or a return moves a tensor from one buffer to another.

Afterwards initial values, results and next values of control flow can share a buffer with what
they become. Most copies turn out to be needless, because both sides get the same place.
"""

from __future__ import annotations

from collections.abc import Sequence

from dmc.dialects import func, kernel
from dmc.dialects.flow import ControlFlow, Flow
from dmc.ir import Block, Builder, Operation, Value
from dmc.transforms.generics import is_tensor


def insert_copies(function: func.Func) -> None:
    """Copy what enters, leaves and goes round in control flow, and what is returned."""
    for op in list(function.walk()):
        if isinstance(op, ControlFlow):
            flows = op.flows()
            _copy_operands(op, [f.operand for f in flows if f.repeats and f.operand is not None])
            for block in op.yielding:
                _copy_round(block, _carried(block, flows))
    _copy_yields(function.body, range(len(function.body.terminator.operands)))


def copy_before(op: Operation, value: Value) -> Value:
    """A copy of `value` made in front of `op`."""
    builder = Builder.ahead_of(op)
    builder.location = op.location.by("plan-memory")
    made = builder.insert(kernel.Copy([value])).output
    made.name = value.name
    return made


def _copy_operands(op: Operation, indices: Sequence[int]) -> None:
    for index in indices:
        value = op.operands[index]
        if is_tensor(value):
            op.set_operand(index, copy_before(op, value))


def _copy_yields(block: Block, indices: Sequence[int]) -> None:
    _copy_operands(block.terminator, indices)


def _carried(block: Block, flows: Sequence[Flow]) -> list[Value | None]:
    """For each value that `block` yields the argument that carries it, if one does."""
    return [
        block.args[f.argument] if f.repeats and f.argument is not None else None
        for f in flows
        if f.result is not None
    ]


def _copy_round(block: Block, carried: Sequence[Value | None]) -> None:
    """Copy what a region yields: the next values of carried ones, and what leaves.

    A next value that is another carried value is set aside first, since that one's own next value
    may be written before.
    """
    terminator = block.terminator
    for index, value in enumerate(terminator.operands):
        if not is_tensor(value) or value is carried[index]:
            continue
        if viewed(value).owner is block and any(arg is not None for arg in carried):
            terminator.set_operand(index, copy_before(terminator, value))
    for index, value in enumerate(terminator.operands):
        if is_tensor(value) and value is not carried[index]:
            terminator.set_operand(index, copy_before(terminator, value))


def viewed(value: Value) -> Value:
    """The value whose elements `value` is a view of."""
    op = value.defining_op
    while isinstance(op, kernel.View):
        value = op.source
        op = value.defining_op
    return value


def drop_needless(needless: Sequence[kernel.Copy]) -> None:
    """Erase copies whose two sides are one buffer."""
    for op in needless:
        op.output.replace_all_uses_with(op.source)
        op.erase()
