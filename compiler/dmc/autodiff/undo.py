"""Tables that a loop changes in place: going back, their changes can be undone.

A carried table whose next value is made from it by a chain of updates (`tensor.Update`, and loops
and branches that change it likewise) need not be kept for each iteration. The reverse loop carries
it from its last value back to its first, given the elements that each update has overwritten.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dmc.autodiff.tape import Tape
from dmc.dialects import control, tensor
from dmc.ir import Block, Operation, Value, shape_of


@dataclass(eq=False)
class Undo:
    """The chain of changes that a region makes to a table: an iteration of a loop, or a branch.

    `values` are the states of the table, first to last; that in front of a branch is one of the
    region around it. `steps` are the operations that make each state from the one before. A step
    that has regions is undone by the chains `inner`: that of a loop, or one for each branch.
    `last` is what the loop or the branches leave of the table.
    """

    block: Block
    last: Value
    values: list[Value]
    steps: list[Operation]
    inner: dict[Operation, tuple[Undo, ...]]

    @property
    def branches(self) -> Iterator[Undo]:
        """The chains of branches inside, but for those in loops."""
        for step, chains in self.inner.items():
            if isinstance(step, control.If):
                for chain in chains:
                    yield chain
                    yield from chain.branches


@dataclass
class Undos:
    """The chains of all loops that were asked about."""

    tape: Tape
    known: dict[tuple[control.Loop, int], Undo | None] = field(
        default_factory=dict[tuple[control.Loop, int], "Undo | None"]
    )
    of: dict[Value, Undo] = field(default_factory=dict[Value, Undo])
    """The chain of the region that each state of a table belongs to."""
    within: dict[tuple[Value, Block], Undo] = field(
        default_factory=dict[tuple[Value, Block], "Undo"]
    )
    """The chain that goes on from a state in a region, be it from around a branch."""

    def find(self, loop: control.Loop, index: int) -> Undo | None:
        """How to go back through the changes of a carried value, or None."""
        key = loop, index
        if key not in self.known:
            undo = self.known[key] = self._find(loop, index)
            if undo is not None:
                self._note(undo)
                for inner in undo.branches:
                    self._note(inner)
        return self.known[key]

    def _note(self, undo: Undo) -> None:
        for value in undo.values:
            self.within[value, undo.block] = undo
            if value.parent_block is undo.block:
                self.of[value] = undo

    def _find(self, loop: control.Loop, index: int) -> Undo | None:
        first, last = loop.carried_args[index], loop.next_values[index]
        if not shape_of(first.type):
            return None
        undo = self._chain(loop.repeated, last, loop.finals[index])
        if undo is None or undo.values[0] is not first or not undo.steps:
            return None
        chains = (undo, *undo.branches)
        return undo if all(_is_in_place(self.tape, chain) for chain in chains) else None

    def _chain(self, block: Block, last: Value, left: Value) -> Undo | None:
        """The way back to what `last` was made from in front of `block`."""
        at = last
        values, steps = [at], list[Operation]()
        inner: dict[Operation, tuple[Undo, ...]] = {}
        while (step := at.defining_op) is not None and step.parent is block:
            match step:
                case tensor.Update():
                    at = step.operands[0]
                case control.Loop() if at.index < len(step.inits) and self._returns(step):
                    found = self.find(step, at.index)
                    if found is None:
                        return None
                    inner[step] = (found,)
                    at = step.inits[at.index]
                case control.If():
                    chains = self._branches(step, at.index)
                    if chains is None:
                        return None
                    inner[step] = chains
                    at = chains[0].values[0]
                case _:
                    return None
            values.insert(0, at)
            steps.insert(0, step)
        return Undo(block, left, values, steps, inner)

    def _returns(self, loop: control.Loop) -> bool:
        """Whether there is, or can be, a loop that goes back: it must know how often."""
        return isinstance(loop, control.For) or loop in self.tape.reverse_of

    def _branches(self, op: control.If, index: int) -> tuple[Undo, ...] | None:
        """The chains of both branches, which must begin with one table."""
        chains: list[Undo] = []
        for block in op.yielding:
            last = block.terminator.operands[index]
            chain = self._chain(block, last, op.results[index])
            if chain is None or (chains and chain.values[0] is not chains[0].values[0]):
                return None
            chains.append(chain)
        return tuple(chains)


def changes_inside(step: Operation) -> bool:
    """Whether the table is there again only behind the reverse of `step`."""
    return isinstance(step, control.Loop | control.If)


def _is_in_place(tape: Tape, undo: Undo) -> bool:
    """Whether each state of the table is done with when the next is made.

    Reverse code that needs a state in front of a loop must run behind the reverse of that loop.
    """
    for position, (value, step) in enumerate(zip(undo.values, undo.steps, strict=False)):
        outer = next((s for s in undo.steps[position:] if changes_inside(s)), None)
        for op, _ in value.uses:
            if op is step:
                if sum(v is value for v in step.operands) > 1:
                    return False
                continue
            place = _ancestor(op, undo.block)
            if place is not None:
                # What a branch itself does is looked at for its own chain.
                within = place is step and isinstance(step, control.If)
                if not within and (place is step or step.is_before(place)):
                    return False
            elif outer is not None and value.parent_block is undo.block:
                behind = _is_behind(tape, undo, op, outer)
                if not behind:
                    return False
    return True


def _ancestor(op: Operation, block: Block) -> Operation | None:
    """The operation of `block` that is or holds `op`."""
    at: Operation | None = op
    while at is not None and at.parent is not block:
        at = at.parent_op
    return at


def _is_behind(tape: Tape, undo: Undo, user: Operation, step: Operation) -> bool:
    """Whether `user`, reverse code, belongs to what ran before the forward `step`, or to a branch.

    In a reverse branch the state in front of it is there as soon as its own changes are undone.
    """
    mirror = tape.mirrors.get(undo.block)
    at: Operation | None = user
    while at is not None and at.parent is not mirror:
        at = at.parent_op
    forward = next((f for f, r in tape.reverse_of.items() if r is at), None)
    if forward is None:
        return False
    return forward.is_before(step) or (forward is step and isinstance(step, control.If))
