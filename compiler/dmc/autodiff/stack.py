"""Contractions that a reverse loop adds up become one contraction behind it.

Where an iteration adds a contraction of smaller tensors to a cotangent, as it does for the weights
of a recurrent network, the loop stacks the smaller tensors instead, and the contraction behind it
sums over iterations too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from dmc.autodiff.tape import Tape
from dmc.dialects import arith, control, tensor
from dmc.dialects.segments import cut, inner_loop
from dmc.dialects.tensor.base import is_zero
from dmc.ir import Builder, Value, bytes_of, shape_of

ENOUGH_SUMMED = 128
"""Summing over so many indexes takes far longer than adding what comes out to another sum. More
would be stacked for longer: in more memory than caches hold, and under any budget, since the order
of a sum does not depend on one.
"""


def stack_contractions(tape: Tape) -> None:
    """Rewrite the reverse loops of `tape`, inner before outer, where bytes are saved."""
    for loop in list(tape.reverse_of.values()):
        if isinstance(loop, control.For) and loop.trip_count > 1:
            for index in range(loop.carried):
                if _parts(loop, loop.carried_args[index], loop.next_values[index]):
                    _rewrite_all(loop)
                    break


def _rewrite_all(loop: control.For) -> None:
    """A segment at a time, so that no more than that need be stacked at once.

    Where each iteration has enough to sum over, it goes on adding.
    """
    step = _segment(loop)
    if step == 1:
        return
    if step < loop.trip_count:
        loop = inner_loop(cut(loop, step, tensor.reshape))
    for index in range(loop.carried):
        _rewrite(loop, index)


def _segment(loop: control.For) -> int:
    """The fewest iterations, out of which the loop can be made, that have enough to sum over."""
    parts = [
        part
        for arg, last in zip(loop.carried_args, loop.next_values, strict=True)
        for part in _parts(loop, arg, last)
    ]
    count, enough = loop.trip_count, -(-ENOUGH_SUMMED // min(map(_summed, parts)))
    return next(step for step in range(min(enough, count), count + 1) if count % step == 0)


def _summed(part: _Part) -> int:
    """How many products each element of the contraction is a sum of, at least 1."""
    lhs = shape_of(part.contraction.lhs.type)
    return max(1, prod(lhs[axis] for axis in part.contraction.lhs_contracting_dimensions))


@dataclass(frozen=True)
class _Part:
    """`total = sum + contraction`, perhaps with the axes of the contraction in another order."""

    total: arith.Add
    contraction: tensor.DotGeneral
    permutation: tuple[int, ...] | None


def _rewrite(loop: control.For, index: int) -> None:
    """Take contractions out of the sum that is carried at `index`."""
    arg, final = loop.carried_args[index], loop.finals[index]
    parts = _parts(loop, arg, loop.next_values[index])
    if not parts:
        return
    for part in parts:
        part.total.result.replace_all_uses_with(part.total.lhs)
    init = loop.inits[index]
    alone = loop.next_values[index] is arg
    users = list(final.uses)
    assert loop.parent is not None
    builder = Builder(loop.parent, loop.next, loop.location)
    total = init if alone else final
    for part in reversed(parts):
        more = _behind(builder, loop, part)
        total = more if is_zero(total) else arith.add(builder, total, more)
    total.name = total.name or final.name
    for user, position in users:
        user.set_operand(position, total)


def _parts(loop: control.For, arg: Value, last: Value) -> list[_Part]:
    """The contractions that are added on the way from `arg` to `last`, the last one first."""
    parts: list[_Part] = []
    at = last
    while at is not arg:
        op = at.defining_op
        if not isinstance(op, arith.Add) or op.parent is not loop.body or len(at.uses) != 1:
            return []
        part = _part(loop, op)
        if part is not None:
            parts.append(part)
        at = op.lhs
    return parts if len(arg.uses) == 1 else []


def _part(loop: control.For, total: arith.Add) -> _Part | None:
    added = total.rhs
    permutation: tuple[int, ...] | None = None
    if len(added.uses) == 1 and isinstance(added.defining_op, tensor.Transpose):
        permutation = added.defining_op.permutation
        added = added.defining_op.operand
    op = added.defining_op
    if not isinstance(op, tensor.DotGeneral) or len(added.uses) != 1 or op.selected:
        return None
    if not all(v.parent_block is loop.body for v in (op.lhs, op.rhs)):
        return None
    return (
        _Part(total, op, permutation)
        if bytes_of(op.lhs) + bytes_of(op.rhs) < bytes_of(added)
        else None
    )


def _behind(builder: Builder, loop: control.For, part: _Part) -> Value:
    """The sum of a contraction over all iterations."""
    op = part.contraction
    lhs, rhs = _stack(loop, op.lhs), _stack(loop, op.rhs)
    batching = _shifted(op.lhs_batching_dimensions), _shifted(op.rhs_batching_dimensions)
    contracting = _shifted(op.lhs_contracting_dimensions), _shifted(op.rhs_contracting_dimensions)
    contracting = [0, *contracting[0]], [0, *contracting[1]]
    absorb = op.lhs_absorbs, op.rhs_absorbs
    made = tensor.dot_general(builder, lhs, rhs, batching, contracting, absorb)
    return made if part.permutation is None else tensor.transpose(builder, made, part.permutation)


def _shifted(dimensions: Sequence[int]) -> list[int]:
    return [1 + d for d in dimensions]


def _stack(loop: control.For, value: Value) -> Value:
    """`value` of all iterations; what the loop scans is there already."""
    if value in loop.scanned_args:
        return loop.scanned[loop.scanned_args.index(value)]
    for yielded, stack in zip(loop.stacked_values, loop.stacks, strict=True):
        if yielded is value:
            return stack
    stack = loop.add_stack(value)
    stack.name = f"{value.name}_tape" if value.name else ""
    return stack
