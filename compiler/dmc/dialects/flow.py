"""What every operation of structured control flow says of itself, and analyses over it.

After MLIR's RegionBranchOpInterface: an operation states once which values enter it, what one
iteration passes to the next and what leaves; passes follow these flows and know no operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from dmc.ir import Attribute, Block, Operation, Trait, Value


@dataclass(frozen=True, slots=True)
class Flow:
    """One value on its way through a control flow operation, as positions in its parts.

    `operand` is what enters, `argument` what it is in the regions that take it, `result` what
    leaves and what regions yield for it. Operand and result of a `sliced` flow are whole tensors,
    of which an iteration sees a slice. What an iteration yields enters the next if it `repeats`.
    """

    op: ControlFlow
    operand: int | None = None
    argument: int | None = None
    result: int | None = None
    sliced: bool = False
    repeats: bool = False

    @property
    def entering(self) -> Value | None:
        return None if self.operand is None else self.op.operands[self.operand]

    @property
    def arguments(self) -> list[Value]:
        """What it is inside, in each region that takes it."""
        at = self.argument
        return [] if at is None else [block.args[at] for block in self.op.taking]

    @property
    def yielded(self) -> list[Value]:
        """What each region that yields gives for it."""
        at = self.result
        return [] if at is None else [b.terminator.operands[at] for b in self.op.yielding]

    @property
    def leaving(self) -> Value | None:
        return None if self.result is None else self.op.results[self.result]

    @property
    def sources(self) -> list[Value]:
        """What the arguments, and the result where an iteration may never run, are made from."""
        entering = self.entering
        return [*([] if entering is None else [entering]), *(self.yielded if self.repeats else [])]

    @property
    def origins(self) -> list[Value]:
        """What the result is made from."""
        return self.sources if self.repeats else self.yielded

    @property
    def values(self) -> list[Value]:
        """All that is one value at different times, if nothing of it is sliced."""
        ends = [v for v in (self.entering, self.leaving) if v is not None]
        return [*ends, *self.arguments, *self.yielded]


class ControlFlow(Operation):
    """Base of operations whose regions pass values on to each other and to results."""

    is_loop: ClassVar[bool]
    """Whether regions may run more than once."""

    @property
    def taking(self) -> Sequence[Block]:
        """The regions whose arguments stand for flows, at the same positions in each."""
        return ()

    @property
    def yielding(self) -> Sequence[Block]:
        """The regions that yield what leaves, or goes round, at the same positions in each."""
        raise TypeError(f"{self.name} does not say what yields")

    def flows(self) -> Sequence[Flow]:
        """Everything that passes through, in the order of arguments and results."""
        raise TypeError(f"{self.name} does not say what flows")

    def slices(self, operand: int) -> bool:
        """Whether regions take slices of that operand."""
        return False

    def drivers(self) -> Sequence[Value]:
        """The values that decide whether and how often regions run."""
        raise TypeError(f"{self.name} does not say what drives it")

    @property
    def surely_runs(self) -> bool:
        """Whether every region is known to run."""
        return False

    def indexes(self) -> Mapping[Value, int | None]:
        """Arguments that count from 0, each with its bound (exclusive) where it is static."""
        return {}

    def attributes_of(self, kept: Sequence[Flow]) -> dict[str, Attribute]:
        """The attributes it has with only those flows."""
        return dict(self.attributes)


class Adding(Operation):
    """Mixin of operations that may do no more to an operand than to add to it."""

    @property
    def grows(self) -> Sequence[Value]:
        """The operands of which each, if no other is a sum, is one that the result goes on with."""
        raise TypeError(f"{self.name} does not say what it adds to")


def flow_of(value: Value) -> Flow | None:
    """The flow that a result or a region's argument belongs to, None for any other value."""
    owner = value.owner
    if isinstance(owner, Block):
        op = owner.parent_op
        if isinstance(op, ControlFlow):
            taken = any(block is owner for block in op.taking)
            found = (f for f in op.flows() if taken and f.argument == value.index)
            return next(found, None)
    elif isinstance(owner, ControlFlow):
        return next(f for f in owner.flows() if f.result == value.index)
    return None


def reach(
    block: Block,
    found: set[Value],
    step: Callable[[Operation], Iterable[Value]],
    admits: Callable[[Value], bool] = lambda value: True,
) -> None:
    """Add to `found` all that it reaches in `block` and inside of it, to a fixed point.

    `step` gives the results that an ordinary operation adds; values flow on through control flow
    where `admits` lets them.
    """
    for op in block:
        if not isinstance(op, ControlFlow):
            found.update(step(op))
            continue
        flows = op.flows()
        before = -1
        while before != len(found):
            before = len(found)
            for flow in flows:
                if not found.isdisjoint(flow.sources):
                    found.update(filter(admits, flow.arguments))
            for inner in op.regions:
                reach(inner.block, found, step, admits)
            if not any(flow.repeats for flow in flows):
                break
        for flow in flows:
            leaving = flow.leaving
            if leaving is not None and not found.isdisjoint(flow.origins) and admits(leaving):
                found.add(leaving)


def flows_in(root: Operation) -> Iterator[Flow]:
    """Every flow of every control flow operation inside `root`, outer before inner."""
    for op in root.walk():
        if isinstance(op, ControlFlow):
            yield from op.flows()


class Sums:
    """Follows sums through the operations of a region that go on with them.

    `origin` has the sum that a value is the next state of.
    """

    def __init__(self, sums: Iterable[Value]) -> None:
        self.origin = {value: value for value in sums}

    def misused(self, block: Block) -> Operation | None:
        """The first operation that does something else with a sum than to add to it."""
        for op in block:
            if not op.has(Trait.TERMINATOR) and not self._goes_on(op):
                return op
        return None

    def is_next(self, value: Value, before: Value) -> bool:
        """Whether both are states of one sum, or neither is one."""
        return self.origin.get(value) is self.origin.get(before)

    def _goes_on(self, op: Operation) -> bool:
        used = [value for value in op.operands if value in self.origin]
        if isinstance(op, ControlFlow):
            return self._passes(op, used)
        if isinstance(op, Adding) and len(used) == 1 and used[0] in op.grows:
            self.origin[op.results[0]] = self.origin[used[0]]
            return True
        return not used

    def _passes(self, op: ControlFlow, used: Sequence[Value]) -> bool:
        """Whether a sum goes through control flow on a way of its own, and in both branches."""
        flows = op.flows()
        own = [flow for flow in flows if flow.repeats and flow.entering in self.origin]
        if len(own) != len(used):
            return False
        for flow in own:
            entering = flow.entering
            assert entering is not None
            self.origin.update((value, self.origin[entering]) for value in flow.arguments)
        if any(self.misused(inner.block) is not None for inner in op.regions):
            return False
        for flow in flows:
            ends = flow.yielded
            before = flow.entering if flow.repeats else ends[0] if ends else None
            if before is None:
                continue
            if any(not self.is_next(value, before) for value in ends):
                return False
            if before in self.origin and (flow.sliced or (op.is_loop and not flow.repeats)):
                return False
            if before in self.origin and flow.leaving is not None:
                self.origin[flow.leaving] = self.origin[before]
        return True
