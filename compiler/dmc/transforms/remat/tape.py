"""Computing again in a reverse loop what the forward loop would stack for it.

A reverse loop scans stacks of a forward loop: at one index both hold the same values. What a stack
holds can be computed in the reverse loop from the others, from what the forward loop scans, and
from what is around both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dmc.autodiff.plan import executions
from dmc.dialects import control, func
from dmc.ir import Block, Builder, Operation, Trait, Value, bytes_of, shape_of
from dmc.transforms.common import is_inside
from dmc.transforms.memory.copies import viewed
from dmc.transforms.remat.again import RECOMPUTE
from dmc.transforms.remat.measure import Measure
from dmc.transforms.remat.move import Move, can_repeat


@dataclass(frozen=True)
class Pair:
    """A loop and one behind it, in the same block, that goes over the same indexes."""

    forward: control.For
    reverse: control.For


def reader_of(stack: Value) -> control.For | None:
    """The one loop that reads a stack, by scanning it; None if anything else does."""
    readers = {user for user, _ in stack.uses}
    forward = stack.defining_op
    if len(readers) != 1 or not isinstance(forward, control.For):
        return None
    (reader,) = readers
    if not isinstance(reader, control.For) or reader.parent is not forward.parent:
        return None
    return reader if all(reader.slices(index) for _, index in stack.uses) else None


def pair_of(stack: Value) -> Pair | None:
    """The loops that write and read a stack, index by index."""
    forward, reader = stack.defining_op, reader_of(stack)
    if reader is None or not isinstance(forward, control.For):
        return None
    same = forward.trip_count == reader.trip_count and forward.extent == reader.extent
    if (
        not same
        or forward.extent < 0
        or (forward.trip_count < 0 and forward.count is not reader.count)
    ):
        return None
    return Pair(forward, reader)


Copies = dict[tuple[Block, Value], Value]
"""What was computed again already: in which reverse loop, of which forward value."""


def copy_of(copies: Copies, block: Block, value: Value) -> Value | None:
    """What was computed again before, if it is still there."""
    found = copies.get((block, value))
    return None if found is None or found.parent_block is not block else found


@dataclass(frozen=True)
class Recompute(Move):
    """Let the reverse loop compute what is in `stack`."""

    stack: Value
    copies: Copies

    def apply(self) -> None:
        pair = pair_of(self.stack)
        assert pair is not None
        yielded = pair.forward.body.terminator.operands[self.stack.index]
        made = _Emission(pair, self.copies, self.stack).fetch(yielded)
        for arg, scanned in zip(pair.reverse.scanned_args, pair.reverse.scanned, strict=True):
            if scanned is self.stack:
                arg.replace_all_uses_with(made)
        _put_in_order(pair.reverse.body)


def moves(measure: Measure, copies: Copies) -> Iterator[Recompute]:
    """The stacks that are in memory at the peak and can be computed in the loops that read them."""
    for stack in measure.live:
        forward = stack.defining_op
        if not isinstance(forward, control.For) or stack.index < forward.carried:
            continue
        pair = pair_of(stack)
        if pair is None:
            continue
        need = _Need(measure, pair, copies, stack)
        need.add(forward.body.terminator.operands[stack.index])
        gain = measure.live[stack] - need.bytes
        if need.is_possible and gain > 0:
            times = executions(pair.reverse.body)
            span = measure.points[pair.reverse][0] - measure.points[forward][0]
            yield Recompute(gain, span, times * need.cost, stack, copies)


@dataclass
class _Need:
    """What it takes to have a value of the forward loop in the reverse loop."""

    measure: Measure
    pair: Pair
    copies: Copies
    without: Value
    """The stack that is to go."""
    cost: float = 0.0
    bytes: int = 0
    is_possible: bool = True
    seen: set[Value] = field(default_factory=set[Value])

    def add(self, value: Value) -> None:
        if value in self.seen:
            return
        self.seen.add(value)
        forward = self.pair.forward
        if value.parent_block is not forward.body:
            self._stays(value)
            return
        stack = stack_of(forward, value, self.without)
        if value is forward.index or copy_of(self.copies, self.pair.reverse.body, value):
            return
        if stack is not None:
            self._stays(stack)
        elif value in forward.scanned_args:
            self._stays(forward.scanned[forward.scanned_args.index(value)])
        elif value.defining_op is None or not self.measure.can_repeat(value.defining_op):
            if value.defining_op is not None and value.defining_op.has(Trait.CONSTANT):
                return
            count = max(forward.extent, 1)
            self.bytes += count * bytes_of(value)
        else:
            self.cost += self.measure.time_of(value.defining_op)
            for read in self.measure.reads(value.defining_op):
                if not is_inside(read, value.defining_op):
                    self.add(read)

    def _stays(self, value: Value) -> None:
        """A value from around is in memory until the reverse loop ends."""
        root = viewed(value)
        free = isinstance(root.owner, Block) and isinstance(root.owner.parent_op, func.Func)
        if shape_of(root.type) and not free and root not in self.measure.live:
            self.bytes += bytes_of(root)


def _put_in_order(block: Block) -> None:
    """Put every operation behind those whose results it reads, and else leave them in order."""
    order: dict[Operation, None] = {}
    terminator = block.terminator

    def add(op: Operation) -> None:
        if op in order:
            return
        for value in op.reads():
            made = value.defining_op
            if made is not None and made.parent is block:
                add(made)
        order[op] = None

    for op in block:
        if op is not terminator:
            add(op)
    for op in order:
        op.detach()
        block.insert(op, terminator)


def stack_of(forward: control.For, value: Value, without: Value | None = None) -> Value | None:
    """The stack of a value of the loop's body, if there is one."""
    for yielded, stack in zip(forward.stacked_values, forward.stacks, strict=True):
        if yielded is value and stack is not without:
            return stack
    return None


@dataclass
class _Emission:
    """Makes values of the forward loop at the beginning of the reverse loop, in any order."""

    pair: Pair
    copies: Copies
    without: Value

    def fetch(self, value: Value) -> Value:
        forward, reverse = self.pair.forward, self.pair.reverse
        if value.parent_block is not forward.body:
            return value
        if value is forward.index:
            return reverse.index
        return copy_of(self.copies, reverse.body, value) or self._made(value)

    def _made(self, value: Value) -> Value:
        forward, op = self.pair.forward, value.defining_op
        stack = stack_of(forward, value, self.without)
        if stack is not None:
            return self._scanned(stack)
        if value in forward.scanned_args:
            return self._scanned(forward.scanned[forward.scanned_args.index(value)])
        repeats = op is not None and (can_repeat(op) or op.has(Trait.CONSTANT))
        if op is None or not repeats:
            return self._scanned(forward.add_stack(value))
        mapping = {read: self.fetch(read) for read in op.reads()}
        body = self.pair.reverse.body
        builder = Builder(body, body.first)
        builder.insert(op.clone(mapping, op.location.by(RECOMPUTE)))
        for result in op.results:
            self.copies[self.pair.reverse.body, result] = mapping[result]
        return mapping[value]

    def _scanned(self, tensor: Value) -> Value:
        reverse = self.pair.reverse
        for arg, scanned in zip(reverse.scanned_args, reverse.scanned, strict=True):
            if scanned is tensor:
                return arg
        return reverse.add_scanned(tensor)
