"""Computing a value again behind the peak, instead of keeping it from before.

What it is computed from must be there then: what is not is computed again too, or kept longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dmc.autodiff.plan import executions
from dmc.dialects import func, kernel
from dmc.dialects.flow import flow_of
from dmc.ir import Block, Builder, Operation, Trait, Value, bytes_of, shape_of
from dmc.transforms.memory.copies import viewed
from dmc.transforms.remat.measure import Measure
from dmc.transforms.remat.move import Move, anchor, uses

RECOMPUTE = "recompute"


@dataclass(frozen=True)
class Again(Move):
    """Run `ops`, of which the last gives the value, in front of `at`."""

    value: Value
    at: Operation
    ops: tuple[Operation, ...]

    def apply(self) -> None:
        builder = Builder.ahead_of(self.at)
        mapping: dict[Value, Value] = {}
        for op in self.ops:
            builder.insert(op.clone(mapping, op.location.by(RECOMPUTE)))
        made = self.value.defining_op
        assert made is not None
        for result in made.results:
            replace_behind(result, mapping[result], self.at)


def replace_behind(value: Value, other: Value, at: Operation) -> None:
    """Let everything from `at` on read `other`, through views too."""
    for user, index in list(value.uses):
        place = anchor(user, at.parent)
        if isinstance(user, kernel.View) and place is user:
            if any(not use[0].is_before(at) for use in uses(user.output)):
                view = Builder.ahead_of(at).insert(user.clone({value: other}))
                replace_behind(user.output, view.results[0], at)
        elif not place.is_before(at):
            user.set_operand(index, other)


@dataclass(frozen=True)
class Wait:
    """That nothing reads a value between two operations, for `span` points, the peak among them."""

    behind: Operation
    at: Operation
    span: int


def waiting(measure: Measure, value: Value) -> Wait | None:
    """How the result of an operation waits at the peak; None if it is read or made there."""
    op = value.defining_op
    assert op is not None
    early, late = [op], list[Operation]()
    for place, _, _ in uses(value):
        if measure.is_behind(place):
            late.append(place)
        elif measure.spans(place):
            return None
        else:
            early.append(place)
    if not late or measure.spans(op):
        return None
    at = min(late, key=lambda each: measure.points[each][0])
    behind = max(early, key=lambda each: measure.points[each][1])
    return Wait(behind, at, measure.points[at][0] - measure.points[behind][1])


def moves(measure: Measure) -> Iterator[Again]:
    """The values that are only waiting at the peak, each with the ways to have it again."""
    for value in measure.live:
        op = value.defining_op
        if op is None or isinstance(op, kernel.View) or not measure.can_repeat(op):
            continue
        wait = waiting(measure, value)
        if wait is None:
            continue
        at, span = wait.at, wait.span
        for extends in (False, True):
            chain = _Chain(measure, at, extends)
            chain.add(op)
            gain = measure.live[value] - chain.kept_bytes
            if gain > 0 and chain.is_possible:
                times = executions(op.parent)
                cost = times * sum(map(measure.time_of, chain.ops))
                yield Again(gain, span, cost, value, at, tuple(chain.ops))
            if not chain.has_choice:
                break


@dataclass
class _Chain:
    """The operations that must run again in front of `at`, first to last.

    What they read and is gone by then is kept longer if `extends`, else computed again too.
    """

    measure: Measure
    at: Operation
    extends: bool
    ops: list[Operation] = field(default_factory=list[Operation])
    kept: set[Value] = field(default_factory=set[Value])
    seen: set[Operation] = field(default_factory=set[Operation])
    has_choice: bool = False
    is_possible: bool = True

    @property
    def kept_bytes(self) -> int:
        """What lies in memory longer for it."""
        return sum(bytes_of(value) for value in self.kept if value not in self.measure.live)

    def add(self, op: Operation) -> None:
        if op in self.seen:
            return
        self.seen.add(op)
        for value in self.measure.reads(op):
            if not self._is_there(value):
                self._fetch(value)
        self.ops.append(op)

    def _fetch(self, value: Value) -> None:
        op = value.defining_op
        if isinstance(op, kernel.View) and op.parent is self.at.parent:
            self.add(op)
            return
        if op is not None and op.parent is self.at.parent and self.measure.can_repeat(op):
            self.has_choice = True
            if not self.extends:
                self.add(op)
                return
        self.kept.add(viewed(value))
        if op is not None and self.measure.points[op][0] > self.measure.peak:
            self.is_possible = False

    def _is_there(self, value: Value) -> bool:
        """Whether a value is in memory at `at` anyway."""
        if not shape_of(value.type):
            return True
        root = viewed(value)
        owner = root.owner
        if isinstance(owner, Block):
            if isinstance(owner.parent_op, func.Func):
                return root.index not in (owner.parent_op.donated or ()) or self._stays(root)
            flow = flow_of(root)
            return (flow is not None and flow.sliced) or self._stays(root)
        return owner.has(Trait.CONSTANT) or self._stays(root)

    def _stays(self, root: Value) -> bool:
        """Whether it is read at `at` or behind it, or all the time in a loop around it."""
        block, points = root.parent_block, self.measure.points
        begin, end = self.measure.last_read(root)
        if block is not self.at.parent:
            return end >= points[anchor(self.at, block)][0]
        return begin >= points[self.at][0]
