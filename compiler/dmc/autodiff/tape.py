"""What a reverse loop keeps from the forward loop and what it computes again.

A joint block holds the forward operations of one iteration followed by the reverse ones. Values
that the reverse part reads from the forward part are either taped or recomputed: cheap operations
are repeated when what they read is available, everything else is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from dmc.dialects.elementwise import Elementwise
from dmc.ir import Block, Operation, Trait, Value

_CHEAP_FLOPS = 6
_CHEAP_MOVEMENT = frozenset(
    {
        "tensor.broadcast_in_dim",
        "tensor.reshape",
        "tensor.transpose",
        "tensor.slice",
        "tensor.dynamic_slice",
        "tensor.extract",
        "tensor.from_elements",
        "tensor.iota",
        "tensor.reverse",
        "autodiff.stop_gradient",
    }
)


@dataclass(frozen=True)
class Tape:
    """`kept` values go on the tape; `again` are the forward operations to repeat, in order."""

    kept: list[Value]
    again: list[Operation]


def is_cheap(op: Operation) -> bool:
    """Whether repeating the operation costs no more than reading its result from memory."""
    if isinstance(op, Elementwise):
        return op.flops <= _CHEAP_FLOPS
    return op.has(Trait.CONSTANT) or op.name in _CHEAP_MOVEMENT


def plan_tape(
    forward: list[Operation],
    reverse: list[Operation],
    block: Block,
    free: set[Value],
    recompute_all: bool,
) -> Tape:
    """Split what `reverse` needs into kept and recomputed.

    `free` are block arguments that the reverse iteration has anyway (the index, scanned slices).
    With `recompute_all` only block arguments are kept.
    """
    defined = {value for op in forward for value in op.results}
    arguments = set(block.args)
    kept: dict[Value, None] = {}
    again: set[Operation] = set()
    pending = [v for op in reverse for inner in op.walk() for v in inner.operands]
    seen: set[Value] = set()
    while pending:
        value = pending.pop()
        if value in seen:
            continue
        seen.add(value)
        if value in arguments:
            if value not in free:
                kept[value] = None
        elif value in defined:
            op = value.defining_op
            if op is not None and (recompute_all or is_cheap(op)):
                again.add(op)
                pending.extend(v for inner in op.walk() for v in inner.operands)
            else:
                kept[value] = None
    return Tape(list(kept), [op for op in forward if op in again])
