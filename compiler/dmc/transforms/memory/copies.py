"""Copies wherever control flow or a return moves a tensor from one buffer to another.

Afterwards initial values, results and next values of control flow can share a buffer with what
they become. Most copies turn out to be needless, because both sides get the same place.
"""

from __future__ import annotations

from collections.abc import Sequence

from dmc.dialects import func, kernel
from dmc.dialects.flow import ControlFlow, Flow
from dmc.ir import Block, Builder, Operation, Value
from dmc.transforms.common import code
from dmc.transforms.generics import is_tensor


def insert_copies(function: func.Func) -> list[kernel.Copy]:
    """Copy what enters, leaves and goes round in control flow, and what is returned."""
    made: list[kernel.Copy] = []
    for op in list(code(function)):
        if isinstance(op, ControlFlow):
            flows = op.flows()
            entering = [f.operand for f in flows if f.repeats and f.operand is not None]
            made += _copy_operands(op, entering)
            for block in op.yielding:
                made += _copy_round(block, _carried(block, flows))
    returned = function.body.terminator
    return made + _copy_operands(returned, range(len(returned.operands)))


def _copied(op: Operation, index: int) -> kernel.Copy:
    """A copy of an operand of `op`, made in front of it and read in its place."""
    builder = Builder.ahead_of(op)
    builder.location = op.location.by("plan-memory")
    value = op.operands[index]
    copy = builder.insert(kernel.Copy([value]))
    copy.output.name = value.name
    op.set_operand(index, copy.output)
    return copy


def _copy_operands(op: Operation, indices: Sequence[int]) -> list[kernel.Copy]:
    return [_copied(op, index) for index in indices if is_tensor(op.operands[index])]


def _carried(block: Block, flows: Sequence[Flow]) -> list[Value | None]:
    """For each value that `block` yields the argument that carries it, if one does."""
    return [
        block.args[f.argument] if f.repeats and f.argument is not None else None
        for f in flows
        if f.result is not None
    ]


def _copy_round(block: Block, carried: Sequence[Value | None]) -> list[kernel.Copy]:
    """Copy what a region yields: the next values of carried ones, and what leaves.

    A next value that is another carried value is set aside first, since that one's own next value
    may be written before.
    """
    terminator = block.terminator
    made: list[kernel.Copy] = []
    for index, value in enumerate(terminator.operands):
        if not is_tensor(value) or value is carried[index]:
            continue
        if viewed(value).owner is block and any(arg is not None for arg in carried):
            made.append(_copied(terminator, index))
    for index, value in enumerate(terminator.operands):
        if is_tensor(value) and value is not carried[index]:
            made.append(_copied(terminator, index))
    return made


def viewed(value: Value) -> Value:
    """The value whose elements `value` is a view of."""
    op = value.defining_op
    while isinstance(op, kernel.View):
        value = op.source
        op = value.defining_op
    return value


def drop_copies(copies: Sequence[kernel.Copy]) -> None:
    """Erase copies; what reads them reads what they were made of."""
    for op in copies:
        op.output.replace_all_uses_with(op.source)
        op.erase()
