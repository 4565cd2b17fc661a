"""The memory plan: every tensor of a function gets its place before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.dialects import arith, func, kernel
from dmc.ir import Module, Operation, Value
from dmc.ir.passes import Pass
from dmc.transforms.common import code, is_loop
from dmc.transforms.generics import is_tensor
from dmc.transforms.memory.copies import drop_copies, insert_copies
from dmc.transforms.memory.layout import Placed, lay_out, peak
from dmc.transforms.memory.liveness import Numbering
from dmc.transforms.memory.place import Kind, Place, record
from dmc.transforms.memory.sharing import Buffer, Sharing, tasks_around


@dataclass(frozen=True)
class PlanMemory(Pass):
    """Give every tensor a place (`dmc.transforms.memory.place`) and record it in the IR.

    Copies are inserted where control flow or a return needs them, so that afterwards nothing but
    operations moves data: what is carried, yielded or returned lies where it is expected.
    Arguments listed in the function's attribute `donated` may be overwritten. The attributes
    `arena_bytes` and `private_bytes` of the function are the sizes of the arena and of the memory
    of one parallel task.
    """

    name = "plan-memory"

    def run(self, module: Module) -> None:
        for function in func.functions(module):
            plan(function)


@dataclass(frozen=True)
class Planned:
    """Where the buffers of a function lie in its arena, or in the memory of a parallel task."""

    arena: list[Placed]
    private: list[Placed]
    sharing: Sharing

    @property
    def arena_bytes(self) -> int:
        return peak(self.arena)

    @property
    def private_bytes(self) -> int:
        """The memory of one parallel task."""
        return peak(self.private)

    @property
    def numbering(self) -> Numbering:
        """The points of the operations."""
        return self.sharing.liveness.numbering


def measured(function: func.Func) -> Planned:
    """What the plan of a function would be, which is left as it is."""
    copies = insert_copies(function)
    planned = _lay_out(function)
    drop_copies(copies)
    return planned


def plan(function: func.Func) -> None:
    """Plan one function in place."""
    insert_copies(function)
    planned = _lay_out(function)
    offsets = {placed.buffer: placed.offset for placed in (*planned.arena, *planned.private)}
    sharing = planned.sharing
    buffers = sharing.buffers
    copies = [op for op in code(function) if isinstance(op, kernel.Copy)]
    drop_copies([op for op in copies if buffers.get(op.source) is buffers[op.output]])
    for op in code(function):
        planned_here = not isinstance(op, kernel.View | arith.Constant)
        if planned_here and any(is_tensor(value) for value in op.results):
            record(op, [_place(sharing, offsets, value) for value in op.results])
    function.attributes["arena_bytes"] = planned.arena_bytes
    function.attributes["private_bytes"] = planned.private_bytes


def _lay_out(function: func.Func) -> Planned:
    """Lay out the buffers of a function in which all copies are that may be needed."""
    sharing = Sharing(function)
    live = sharing.liveness.intervals
    shared = [b for b in sharing.classes() if b.kind is None and not b.fixed]
    arena = lay_out([b for b in shared if tasks_around(b.members[0]) is None], live)
    private: list[Placed] = []
    for task in dict.fromkeys(tasks_around(b.members[0]) for b in shared):
        if task is not None:
            private += lay_out([b for b in shared if tasks_around(b.members[0]) is task], live)
    return Planned(arena, private, sharing)


def _place(sharing: Sharing, offsets: dict[Buffer, int], value: Value) -> Place:
    if not is_tensor(value):
        return Place(Kind.REGISTER)
    buffer = sharing.buffers[value]
    match buffer.kind:
        case None:
            in_task = tasks_around(value) is not None
            return Place(Kind.PRIVATE if in_task else Kind.ARENA, offset=offsets[buffer])
        case Kind.STACK:
            return Place(Kind.STACK, buffer.index, depth=_depth(value, buffer))
        case kind:
            return Place(kind, buffer.index)


def _depth(value: Value, buffer: Buffer) -> int:
    """How many loops lie between `value` and the loop that stacks it."""
    depth = 0
    op: Operation | None = value.defining_op
    while op is not None and op.parent_op is not buffer.loop:
        op = op.parent_op
        depth += op is not None and is_loop(op)
    return depth
