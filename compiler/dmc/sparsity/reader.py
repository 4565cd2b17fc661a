"""Reads blocks of tensor-level IR: what each element of each value depends on.

A tensor has the set of what each of its elements depends on; these run through the operations as
values do. Indexes are followed as numbers: those of loops iteration by iteration, and integers that
are given. Where they are not known, and through operations that are not looked into, each result
depends on all that goes in. So a set may be too large, never too small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from dmc.dialects import control, func
from dmc.dialects.flow import ControlFlow
from dmc.ir import (
    Array,
    Block,
    Interpreter,
    Module,
    Operation,
    TapeType,
    Trait,
    Value,
    dtype_of,
    shape_of,
)
from dmc.sparsity.pattern import Cause, Reason
from dmc.sparsity.sets import Ids, Sets

_PASSES = 3
"""How often a loop whose count is unknown is read before its sets are joined."""


Rule = Callable[["Reader", Operation], bool]
"""Finds the sets of an operation's results; False where it cannot."""

Rules = Sequence[tuple[type[Operation] | tuple[type[Operation], ...], Rule]]


class Reader:
    """The sets of the values of a block, and the integers that are known in it."""

    def __init__(self, module: Module, sets: Sets, rules: Rules) -> None:
        """`rules` say what is known of kinds of operations; the first that fits counts."""
        self.module, self.sets, self.rules = module, sets, rules
        self.ids: dict[Value, Ids | None] = {}
        self.known: dict[Value, Array] = {}
        self.interpreter = Interpreter(module)
        self.cause: Cause | None = None
        """What first made something depend on all that there is."""

    # -- values

    def of(self, value: Value) -> Ids | None:
        """The sets of a value; None where all are empty."""
        return self.ids.get(value)

    def filled(self, value: Value) -> Ids:
        """The sets of a value, as an array."""
        found = self.ids.get(value)
        return np.zeros(shape_of(value.type), np.int64) if found is None else found

    def joined(self, values: Iterable[Value]) -> Ids | None:
        """All that any of the values depends on."""
        total: Ids | None = None
        for value in values:
            total = self.sets.union(total, self.sets.all(self.of(value)))
        return total

    def everywhere(self, value: Value, ids: Ids | None) -> None:
        """Let each element of a value depend on the same."""
        if carries(value):
            whole = None if ids is None else np.broadcast_to(ids, shape_of(value.type))
            self.ids[value] = whole

    # -- walking

    def block(self, block: Block) -> None:
        for op in block:
            if not op.has(Trait.TERMINATOR):
                self.operation(op)

    def operation(self, op: Operation) -> None:
        """Find the sets of an operation's results, and their values where they are known."""
        if isinstance(op, ControlFlow):
            self.flow(op)
            self.note(op, Reason.COUNT)
            return
        if not any(map(carries, op.results)):
            self.evaluate(op)
            return
        if all(self.of(value) is None for value in op.operands):
            for value in op.results:
                self.ids[value] = None
            return
        for kind, rule in self.rules:
            if isinstance(op, kind) and rule(self, op):
                self.note(op, Reason.ALL)
                return
        for value in op.results:
            self.everywhere(value, self.joined(op.operands))
        is_unknown = any(not carries(v) and v not in self.known for v in op.operands)
        self.note(op, Reason.SUBSCRIPT if is_unknown else Reason.ALL)

    def note(self, op: Operation, reason: Reason) -> None:
        """Remember the first operation whose results depend on all, but not its operands."""
        if self.cause is not None or not any(map(self.has_all, op.results)):
            return
        if not any(map(self.has_all, op.operands)):
            self.cause = Cause(op.location, reason)

    def has_all(self, value: Value) -> bool:
        """Whether an element of a value depends on all that there is."""
        ids = self.ids.get(value)
        return ids is not None and bool((self.sets.sizes(ids) == self.sets.count).any())

    def evaluate(self, op: Operation) -> None:
        """The integers that an operation gives, if what it takes is known."""
        for value in op.results:
            self.known.pop(value, None)
        if all(value in self.known for value in op.operands):
            with np.errstate(all="ignore"):
                outputs = op.evaluate([self.known[v] for v in op.operands], self.interpreter)
            self.known.update(zip(op.results, map(np.asarray, outputs), strict=True))

    def through(
        self, rule: func.Func, call: func.Call, vectors: Sequence[Ids | None], sets: Sets
    ) -> list[Ids | None]:
        """What a rule of the function that is called gives for vectors."""
        inner = Reader(self.module, sets, self.rules)
        values = [*call.operands, *call.results]
        for value, argument in zip(values, rule.body.args, strict=False):
            if value in self.known:
                inner.known[argument] = self.known[value]
        inner.ids.update(zip(rule.body.args[len(values) :], vectors, strict=True))
        inner.block(rule.body)
        return [inner.of(value) for value in rule.body.terminator.operands]

    # -- control flow

    def flow(self, op: ControlFlow) -> None:
        match op:
            case control.If():
                self.branches(op)
            case control.For() if op.count in self.known and _is_plain(op):
                self.iterations(op, max(int(self.known[op.count]), 0))
            case control.Map():
                self.points(op)
            case control.For() | control.While() if _is_plain(op):
                self.repeated(op)
            case _:
                self.unread(op)

    def unread(self, op: ControlFlow) -> None:
        """Each result depends on all that goes in, or is used inside."""
        captured = {v for inner in op.walk() for v in inner.operands}
        total = self.joined(dict.fromkeys((*op.operands, *captured)))
        for value in op.results:
            self.everywhere(value, total)
            self.known.pop(value, None)

    def branches(self, op: control.If) -> None:
        condition = self.known.get(op.condition)
        blocks = op.yielding if condition is None else [op.yielding[0 if condition else 1]]
        for block in blocks:
            self.block(block)
        for i, value in enumerate(op.results):
            self.known.pop(value, None)
            total: Ids | None = None
            for block in blocks:
                total = self.sets.union(total, self.of(block.terminator.operands[i]))
            self.ids[value] = total
            if len(blocks) == 1 and blocks[0].terminator.operands[i] in self.known:
                self.known[value] = self.known[blocks[0].terminator.operands[i]]

    def pass_on(self, origins: Sequence[Value], values: Sequence[Value]) -> None:
        """Each value is what its origin is now."""
        states = [(self.ids.get(v), self.known.get(v)) for v in origins]
        for value, (ids, number) in zip(values, states, strict=True):
            self.ids[value] = ids
            self.known.pop(value, None)
            if number is not None:
                self.known[value] = number

    def iterations(self, op: control.For, count: int) -> None:
        """A loop whose count is known, one iteration after the other."""
        self.pass_on(op.inits, op.carried_args)
        stacks: list[list[Ids | None]] = [[None] * count for _ in op.stacks]
        steps = range(count)
        for step in reversed(steps) if op.reverse else steps:
            self.known[op.index] = np.asarray(step, np.int64)
            for values, argument in zip(op.scanned, op.scanned_args, strict=True):
                self.slice(values, argument, step)
            self.block(op.body)
            for stack, value in zip(stacks, op.stacked_values, strict=True):
                stack[step] = self.of(value)
            self.pass_on(op.next_values, op.carried_args)
        self.pass_on(op.carried_args, op.finals)
        for stack, result in zip(stacks, op.stacks, strict=True):
            self.ids[result] = self.stacked(stack, result)

    def slice(self, values: Value, argument: Value, step: int) -> None:
        ids, numbers = self.of(values), self.known.get(values)
        self.ids[argument] = None if ids is None else ids[step]
        self.known.pop(argument, None)
        if numbers is not None:
            self.known[argument] = numbers[step]

    def stacked(self, parts: Sequence[Ids | None], result: Value) -> Ids | None:
        if not carries(result) or all(part is None for part in parts):
            return None
        out = np.zeros(shape_of(result.type), np.int64)
        for place, part in enumerate(parts):
            if part is not None:
                out[place] = part
        return out

    def points(self, op: control.Map) -> None:
        """A map that could not be batched, one point after the other; sums are carried along."""
        self.pass_on(op.inits, op.sums)
        count = math.prod(op.sizes)
        stacks: list[list[Ids | None]] = [[None] * count for _ in op.stacks]
        for place, point in enumerate(np.ndindex(*op.sizes)):
            for index, at in zip(op.indices, point, strict=True):
                self.known[index] = np.asarray(at, np.int64)
            self.block(op.body)
            for stack, value in zip(stacks, op.elements, strict=True):
                stack[place] = self.of(value)
            self.pass_on(op.next_sums, op.sums)
        self.pass_on(op.sums, op.totals)
        for stack, result in zip(stacks, op.stacks, strict=True):
            shape = shape_of(result.type)
            found = None
            if carries(result) and any(part is not None for part in stack):
                found = np.zeros((count, *shape[len(op.sizes) :]), np.int64)
                for place, part in enumerate(stack):
                    if part is not None:
                        found[place] = part
                found = found.reshape(shape)
            self.ids[result] = found

    def repeated(self, op: control.For | control.While) -> None:
        """A loop whose count is unknown, until no set grows; soon all of a value's are one."""
        self.pass_on(op.inits, op.carried_args)
        arguments, scanned = op.carried_args, list(op.scanned)
        for value in [*arguments, *op.repeated.args]:
            self.known.pop(value, None)
        for values, argument in zip(scanned, op.scanned_args, strict=True):
            self.everywhere(argument, self.joined([values]))
        passes = 0
        while True:
            self.block(op.repeated)
            passes += 1
            grown = False
            for argument, value in zip(arguments, op.next_values, strict=True):
                old = self.of(argument)
                new = self.sets.union(old, self.of(value))
                joined = self.sets.all(new) if passes >= _PASSES else None
                if new is not None and joined is not None:
                    new = np.broadcast_to(joined, new.shape)
                if new is not None and (old is None or not np.array_equal(old, new)):
                    self.ids[argument], grown = new, True
            if not grown:
                break
        self.pass_on(arguments, op.finals)
        for value, result in zip(op.stacked_values, op.stacks, strict=True):
            self.everywhere(result, self.joined([value]))


def carries(value: Value) -> bool:
    """Whether derivatives flow through a value."""
    return dtype_of(value.type).is_float


def _is_plain(op: Operation) -> bool:
    """Whether nothing of a loop lies on a tape."""
    return not any(isinstance(v.type, TapeType) for v in (*op.operands, *op.results))
