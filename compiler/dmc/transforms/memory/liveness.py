"""When tensors are live, as intervals of points of the program.

Operations are numbered in order, outer before inner. An operation reads at an even point and has
written at the odd point after it, so a result and an operand that dies there overlap.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dmc.dialects import func, kernel
from dmc.dialects.flow import ControlFlow
from dmc.ir import Block, Operation, Trait, Value
from dmc.transforms.common import is_loop
from dmc.transforms.generics import is_tensor

Interval = tuple[int, int]
"""First and last point, both included."""


@dataclass
class Numbering:
    """The points at which operations and blocks begin and end."""

    begin: dict[Operation, int] = field(default_factory=dict[Operation, int])
    end: dict[Operation, int] = field(default_factory=dict[Operation, int])
    block_begin: dict[Block, int] = field(default_factory=dict[Block, int])
    block_end: dict[Block, int] = field(default_factory=dict[Block, int])
    last: int = 0

    def number(self, block: Block) -> None:
        self.block_begin[block] = self._next()
        for op in block:
            self.begin[op] = self._next()
            if isinstance(op, ControlFlow):
                for inner in op.regions:
                    self.number(inner.block)
                self.end[op] = self._next()
            else:
                self.end[op] = self.begin[op]
        self.block_end[block] = self._next()

    def _next(self) -> int:
        self.last += 2
        return self.last


class Liveness:
    """The intervals at which each tensor of a function must be kept."""

    def __init__(self, function: func.Func) -> None:
        self.function = function
        self.numbering = Numbering()
        self.numbering.number(function.body)
        self.intervals: dict[Value, Interval] = {}
        self._visit(function.body)

    def __getitem__(self, value: Value) -> Interval:
        return self.intervals[value]

    def meeting(self, a: Value, b: Value) -> Interval | None:
        """The points at which both are live, as far as is known."""
        if _shared(self[a], self[b]) is None:
            return None
        return _shared(self._seen_from(b, a), self._seen_from(a, b))

    def _seen_from(self, inner: Value, outer: Value) -> Interval:
        """When `outer` is live, but for branches that are not taken where `inner` is computed."""
        start, last = self[outer]
        block = outer.parent_block
        assert block is not None
        others: list[Block] = []
        for op, taken in reversed(list(_branches(inner, block))):
            if last > self.numbering.end[op]:
                continue
            others += [region.block for region in op.regions if region.block is not taken]
            points = [
                self._use_point(user, block)
                for user, _ in uses_of(outer)
                if not any(_is_in(user.parent, other) for other in others)
            ]
            last = max((start + 1, *points))
        return start, last

    def _visit(self, block: Block) -> None:
        for value in block.args:
            if is_tensor(value):
                self.intervals[value] = self._of_argument(block, value)
        for op in block:
            if op.has(Trait.TERMINATOR):
                continue
            flows = op.flows() if isinstance(op, ControlFlow) else ()
            stacked = {flow.result for flow in flows if flow.sliced}
            for value in op.results:
                if is_tensor(value):
                    self.intervals[value] = self._of_result(op, value, value.index in stacked)
            if isinstance(op, ControlFlow):
                for inner in op.regions:
                    self._visit(inner.block)

    def _of_result(self, op: Operation, value: Value, stacked: bool) -> Interval:
        numbers = self.numbering
        last = self._last_use(value, op.parent)
        if stacked:
            # Its slices are written while the loop runs.
            return numbers.begin[op], max(numbers.end[op] + 1, last)
        start = numbers.end[op] if isinstance(op, ControlFlow) else numbers.begin[op]
        return start, max(start + 1, last)

    def _of_argument(self, block: Block, value: Value) -> Interval:
        """Carried values are live from the start of the body."""
        start = self.numbering.block_begin[block]
        last = max(start + 1, self._last_use(value, block))
        owner = block.parent_op
        if isinstance(owner, ControlFlow) and block is not owner.yielding[0]:
            # The region that follows takes the same buffer.
            last = max(last, self.numbering.block_end[block] + 1)
        return start, last

    def _last_use(self, value: Value, block: Block | None) -> int:
        assert block is not None
        return max((self._use_point(op, block) for op, _ in uses_of(value)), default=0)

    def _use_point(self, op: Operation, block: Block) -> int:
        """When a use by `op` of a value defined in `block` is over."""
        if op.has(Trait.TERMINATOR):
            assert op.parent is not None
            point = self.numbering.block_end[op.parent] + 1
        else:
            point = self.numbering.begin[op] + 1
        at: Operation = op
        while at.parent is not block:
            outer = at.parent_op
            assert outer is not None
            at = outer
            if is_loop(at):
                point = max(point, self.numbering.end[at] + 1)
        return point


def uses_of(value: Value) -> Iterable[tuple[Operation, int]]:
    """Uses by operations of control flow, kernels and returns; those in a body are its kernel's.

    The slices that a loop takes of a tensor are uses of it as long as the loop runs.
    """
    for op, index in value.uses:
        owner = op.parent_op
        at: Operation = owner if isinstance(owner, kernel.Structured) else op
        yield at, index
        if isinstance(at, ControlFlow) and at.slices(index):
            yield from ((block.first, index) for block in at.taking if block.first is not None)


def _shared(a: Interval, b: Interval) -> Interval | None:
    """The points that two intervals share."""
    low, high = max(a[0], b[0]), min(a[1], b[1])
    return (low, high) if low <= high else None


def _branches(value: Value, around: Block | None) -> Iterable[tuple[ControlFlow, Block]]:
    """The branches inside the block `around` that `value` is in, and of what."""
    block = value.parent_block
    while block is not None and block is not around and block.parent_op is not None:
        op = block.parent_op
        if isinstance(op, ControlFlow) and not op.is_loop:
            yield op, block
        block = op.parent


def _is_in(block: Block | None, region: Block) -> bool:
    while block is not None and block is not region:
        block = block.parent_op.parent if block.parent_op is not None else None
    return block is not None
