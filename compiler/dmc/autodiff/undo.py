"""Tables that a loop changes in place: going back, their changes can be undone.

A carried table whose next value is made from it by a chain of updates (`tensor.Update`, and loops
that change it likewise) need not be kept for each iteration. The reverse loop carries it from its
last value back to its first, given the elements that each update has overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dmc.autodiff.tape import Tape
from dmc.dialects import control, tensor
from dmc.ir import Operation, Value, shape_of


@dataclass(eq=False)
class Undo:
    """The chain of changes that an iteration of `loop` makes to its carried value `index`.

    `values` are the states of the table in an iteration, first to last; `steps` the operations
    that make each from the one before. A step that is a loop is undone by the chain `inner`.
    """

    loop: control.For
    index: int
    values: list[Value]
    steps: list[Operation]
    inner: dict[Operation, Undo]

    @property
    def last(self) -> Value:
        """What the loop leaves of the table."""
        return self.loop.finals[self.index]


@dataclass
class Undos:
    """The chains of all loops that were asked about."""

    tape: Tape
    known: dict[tuple[control.For, int], Undo | None] = field(
        default_factory=dict[tuple[control.For, int], "Undo | None"]
    )
    of: dict[Value, Undo] = field(default_factory=dict[Value, Undo])
    """The chain that each state of a table belongs to."""

    def find(self, loop: control.For, index: int) -> Undo | None:
        """How to go back through the changes of a carried value, or None."""
        key = loop, index
        if key not in self.known:
            undo = self.known[key] = self._find(loop, index)
            if undo is not None:
                self.of.update((value, undo) for value in undo.values)
        return self.known[key]

    def _find(self, loop: control.For, index: int) -> Undo | None:
        first, at = loop.carried_args[index], loop.next_values[index]
        if not shape_of(first.type):
            return None
        values, steps = [at], list[Operation]()
        inner: dict[Operation, Undo] = {}
        while at is not first:
            step = at.defining_op
            if step is None or step.parent is not loop.body:
                return None
            match step:
                case tensor.Update():
                    at = step.operands[0]
                case control.For() if at.index < step.carried:
                    found = self.find(step, at.index)
                    if found is None:
                        return None
                    inner[step] = found
                    at = step.inits[at.index]
                case _:
                    return None
            values.insert(0, at)
            steps.insert(0, step)
        undo = Undo(loop, index, values, steps, inner)
        return undo if steps and _is_in_place(self.tape, undo) else None


def _is_in_place(tape: Tape, undo: Undo) -> bool:
    """Whether each state of the table is done with when the next is made.

    Reverse code that needs a state in front of a loop must run behind the reverse of that loop.
    """
    for position, (value, step) in enumerate(zip(undo.values, undo.steps, strict=False)):
        loops = [s for s in undo.steps[position:] if isinstance(s, control.For)]
        for op, _ in value.uses:
            if op is step:
                if sum(v is value for v in step.operands) > 1:
                    return False
                continue
            place = _ancestor(op, undo.loop)
            if place is not None:
                if place is step or step.is_before(place):
                    return False
            elif loops and not _is_behind(tape, undo, op, loops[0]):
                return False
    return True


def _ancestor(op: Operation, loop: control.For) -> Operation | None:
    """The operation of the body of `loop` that is or holds `op`."""
    at: Operation | None = op
    while at is not None and at.parent is not loop.body:
        at = at.parent_op
    return at


def _is_behind(tape: Tape, undo: Undo, user: Operation, loop: control.For) -> bool:
    """Whether `user`, reverse code, belongs to something that ran before the forward `loop`."""
    mirror = tape.mirrors.get(undo.loop.body)
    at: Operation | None = user
    while at is not None and at.parent is not mirror:
        at = at.parent_op
    forward = next((f for f, r in tape.reverse_of.items() if r is at), None)
    return forward is not None and forward.is_before(loop)
