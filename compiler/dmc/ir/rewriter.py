"""Pattern rewriting with a worklist: apply until nothing changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dmc.ir.operation import Builder, Operation, Value

Rule = Callable[[Operation, Builder], Sequence[Value] | None]
"""Given an operation and a builder in front of it: replacements for its results, or None."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A rule and the classes of operations that it is for."""

    rule: Rule
    concerns: Callable[[type[Operation]], bool]


def pattern(*classes: type[Operation]) -> Callable[[Rule], Pattern]:
    """Makes a rule for operations of `classes` a pattern."""

    def make(rule: Rule) -> Pattern:
        return Pattern(rule, lambda kind: issubclass(kind, classes))

    return make


class _Rules(dict[type[Operation], tuple[Rule, ...]]):
    """The rules for each class, found when they are first asked for."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = patterns

    def __missing__(self, kind: type[Operation]) -> tuple[Rule, ...]:
        found = tuple(each.rule for each in self._patterns if each.concerns(kind))
        self[kind] = found
        return found


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
    order = list(root.walk())
    worklist = dict.fromkeys(reversed(order))
    del worklist[root]
    rules = _Rules(patterns)
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
        mine = rules[type(op)]
        if not mine:
            continue
        before, parent = op.previous, op.parent
        builder = Builder(parent, op, op.location)
        for rule in mine:
            replacement = rule(op, builder)
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
    for value in op.results:
        if value.uses:
            return False
    return bool(op.results) and op.is_pure


def _operands_inside(op: Operation) -> Sequence[Value]:
    if not op.regions:
        return op.operands
    return [value for inner in op.walk() for value in inner.operands]


def _requeue(worklist: dict[Operation, None], ops: Sequence[Operation | None]) -> None:
    for op in ops:
        if op is not None and op.parent is not None:
            worklist[op] = None
