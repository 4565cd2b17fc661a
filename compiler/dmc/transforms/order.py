"""Moving operations within their block."""

from __future__ import annotations

from dmc.dialects import kernel
from dmc.ir import Operation, Value


def reads_of(op: Operation) -> list[Value]:
    """The values from outside that `op` and everything inside it use."""
    if isinstance(op, kernel.Structured):
        return [*op.operands, *(inner.source for inner in op.loads())]
    return [*op.operands, *(value for inner in op.regions for value in inner.captures())]


def bring_together(first: Operation, second: Operation) -> bool:
    """Move what `second` needs in front of `first`, an earlier operation of the same block.

    After that `second` could stand right behind `first`. False, with nothing changed, when an
    operation between them needs the one and is needed by the other.
    """
    between: list[Operation] = []
    after_first: set[Operation] = {first}
    at = first.next
    while at is not None and at is not second:
        between.append(at)
        if any(value.defining_op in after_first for value in reads_of(at)):
            after_first.add(at)
        at = at.next
    if at is None:
        return False
    needed: set[Operation] = set()
    wanted = [second]
    position = set(between)
    while wanted:
        for value in reads_of(wanted.pop()):
            owner = value.defining_op
            if owner not in position or owner in needed:
                continue
            if owner in after_first:
                return False
            needed.add(owner)
            wanted.append(owner)
    assert first.parent is not None
    for op in between:
        if op in needed:
            op.detach()
            first.parent.insert(op, first)
    return True
