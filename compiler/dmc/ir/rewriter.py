"""Pattern rewriting with a worklist: apply until nothing changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dmc.ir.operation import Builder, Operation, Value

Pattern = Callable[[Operation, Builder], Sequence[Value] | None]
"""Given an operation and a builder in front of it: replacements for its results, or None."""


class RewriteLimit(Exception):
    """Patterns kept changing the IR: two of them undo each other."""


def replace_op(op: Operation, values: Sequence[Value]) -> None:
    """Make the users of `op` read `values`, then erase it."""
    for old, new in zip(op.results, values, strict=True):
        old.replace_all_uses_with(new)
    op.erase()


def rewrite(root: Operation, patterns: Sequence[Pattern], limit: int = 64) -> bool:
    """Apply `patterns` inside `root` to a fixed point; unused pure operations are erased.

    Each operation is visited again when an operand of it or a user of it changes. `limit` bounds
    visits per operation ever created. Raises RewriteLimit. Returns whether anything changed.
    """
    worklist: dict[Operation, None] = {op: None for op in root.walk() if op is not root}
    order = list(worklist)
    worklist = dict.fromkeys(reversed(order))
    budget = limit * (len(order) + 64)
    changed = False
    while worklist:
        op, _ = worklist.popitem()
        if op.parent is None:
            continue
        if _is_dead(op):
            _requeue(worklist, [v.defining_op for v in _operands_inside(op)])
            op.erase()
            changed = True
            continue
        for pattern in patterns:
            before = op.previous
            parent = op.parent
            replacement = pattern(op, Builder.ahead_of(op))
            if replacement is None:
                continue
            changed = True
            budget -= 1
            if budget < 0:
                raise RewriteLimit(f"patterns do not settle at {op.name}")
            _requeue(worklist, [user for value in op.results for user in value.users])
            _requeue(worklist, [v.defining_op for v in _operands_inside(op)])
            made = before.next if before is not None else parent.first
            fresh: list[Operation | None] = []
            while made is not None and made is not op:
                fresh.extend(made.walk())
                made = made.next
            _requeue(worklist, list(reversed(fresh)))
            replace_op(op, replacement)
            break
    return changed


def _is_dead(op: Operation) -> bool:
    return bool(op.results) and op.is_pure and not any(v.uses for v in op.results)


def _operands_inside(op: Operation) -> list[Value]:
    return [value for inner in op.walk() for value in inner.operands]


def _requeue(worklist: dict[Operation, None], ops: Sequence[Operation | None]) -> None:
    for op in ops:
        if op is not None and op.parent is not None:
            worklist[op] = None
