"""Control flow of the kernel level as loops and branches over registers and buffers.

Scalars that a loop carries stay in registers. A carried tensor has one buffer, to which each
iteration copies the next value unless it was computed there.
"""

from __future__ import annotations

from collections.abc import Sequence

from dmc.dialects import control, loop
from dmc.dialects.loop import INDEX
from dmc.ir.operation import Block, Operation, Region, Value
from dmc.ir.types import MemRefType
from dmc.lowering.loop_builder import Linear, Subscript
from dmc.lowering.schedules.plan import MOST_TASKS, Split
from dmc.lowering.statements import Statements, register, root


class Carried:
    """The values a loop carries: registers, and buffers that its iterations overwrite."""

    def __init__(self, s: Statements, inits: Sequence[Value], results: Sequence[Value]) -> None:
        self.s = s
        self.is_scalar = [register(v) is not None for v in inits]
        self.held: list[Value] = []
        for init, result, scalar in zip(inits, results, self.is_scalar, strict=True):
            if scalar:
                self.held.append(s.values[init])
                continue
            buffer = s.place(result)
            s.copy(s.values[init], buffer)
            self.held.append(buffer)

    @property
    def registers(self) -> list[Value]:
        """The initial values of the scalars."""
        return [v for v, scalar in zip(self.held, self.is_scalar, strict=True) if scalar]

    def bind(self, args: Sequence[Value], registers: Sequence[Value]) -> None:
        """Give the block arguments their registers and buffers."""
        following = iter(registers)
        for arg, held, scalar in zip(args, self.held, self.is_scalar, strict=True):
            self.s.values[arg] = next(following) if scalar else held

    def advance(self, values: Sequence[Value]) -> list[Value]:
        """Move the next values to where they are carried; the registers to yield."""
        buffers = {
            root(v) for v, scalar in zip(self.held, self.is_scalar, strict=True) if not scalar
        }
        moves: list[tuple[Value, Value]] = []
        for value, held, scalar in zip(values, self.held, self.is_scalar, strict=True):
            if scalar or value is held:
                continue
            if root(value) in buffers and root(value) != root(held):
                # Another carried value, which its own move may overwrite first.
                assert isinstance(value.type, MemRefType)
                aside = self.s.buffers.fresh(value.type)
                self.s.copy(value, aside)
                value = aside
            moves.append((value, held))
        for value, held in moves:
            self.s.copy(value, held)
        return [v for v, scalar in zip(values, self.is_scalar, strict=True) if scalar]

    def results(self, registers: Sequence[Value]) -> list[Value]:
        """What the loop leaves behind."""
        following = iter(registers)
        return [
            next(following) if scalar else held
            for held, scalar in zip(self.held, self.is_scalar, strict=True)
        ]


def lower_for(s: Statements, op: Operation) -> None:
    """`control.for`."""
    assert isinstance(op, control.For)
    carried = Carried(s, op.inits, op.finals)
    stacks = [s.place(v) for v in op.stacks]
    scanned = [s.values[v] for v in op.scanned]
    count: Subscript = op.trip_count if op.trip_count >= 0 else s.values[op.count]

    def step(i: Value, registers: list[Value]) -> list[Value]:
        at = s.b.index(Linear.of(i) * -1 + Linear.of(count) + -1) if op.reverse else i
        s.values[op.index] = at
        carried.bind(op.carried_args, registers)
        for arg, tensor in zip(op.scanned_args, scanned, strict=True):
            scalar = register(arg) is not None
            s.values[arg] = s.b.load(tensor, [at]) if scalar else s.slice(tensor, [at])
        targets = [s.slice(stack, [at]) for stack in stacks]
        nowhere: list[Value | None] = [None] * op.carried
        with s.iteration([*nowhere, *targets]):
            yielded = s.run_into(op.body, [*nowhere, *targets])
        return carried.advance(yielded[: op.carried])

    finals = s.b.for_(0, count, step, carried.registers)
    s.set(op, [*carried.results(finals), *stacks])


def lower_while(s: Statements, op: Operation) -> None:
    """`control.while`."""
    assert isinstance(op, control.While)
    carried = Carried(s, op.inits, op.results)

    def test(registers: list[Value]) -> Value:
        carried.bind(op.condition.args, registers)
        with s.iteration():
            s.run(op.condition)
        return s.values[op.condition.terminator.operands[0]]

    def step(registers: list[Value]) -> list[Value]:
        carried.bind(op.body.args, registers)
        with s.iteration():
            s.run(op.body)
        return carried.advance([s.values[v] for v in op.body.terminator.operands])

    finals = s.b.while_(carried.registers, test, step)
    s.set(op, carried.results(finals))


def lower_if(s: Statements, op: Operation) -> None:
    """`control.if`: scalars come out in registers, tensors in buffers that both branches fill."""
    assert isinstance(op, control.If)
    targets = [None if register(v) is not None else s.place(v) for v in op.results]

    def branch(block: Block) -> list[Value]:
        yielded = s.run_into(block, targets)
        return [v for v, target in zip(yielded, targets, strict=True) if target is None]

    registers = iter(
        s.b.if_(s.values[op.condition], lambda: branch(op.on_true), lambda: branch(op.on_false))
    )
    s.set(op, [next(registers) if target is None else target for target in targets])


def lower_map(s: Statements, op: Operation) -> None:
    """`control.map`: its points in parallel tasks over the first dimension."""
    assert isinstance(op, control.Map)
    outputs = [s.place(v) for v in op.results]
    s.set(op, outputs)
    if 0 in op.sizes:
        return

    def point(indices: list[Value]) -> None:
        s.values.update(zip(op.body.args, indices, strict=True))
        targets = [s.slice(out, indices) for out in outputs]
        with s.iteration(targets):
            s.run_into(op.body, targets)

    def loops(indices: list[Value], first: tuple[Subscript, Subscript]) -> None:
        depth = len(indices)
        if depth == len(op.sizes):
            point(indices)
            return

        def step(i: Value, _: list[Value]) -> list[Value]:
            loops([*indices, i], first)
            return []

        s.b.for_(*(first if depth == 0 else (0, op.sizes[depth])), step)

    if not s.parallel or not op.sizes:
        loops([], (0, op.sizes[0] if op.sizes else 1))
        return
    size = op.sizes[0]
    division = Split(0, size, -(-size // min(size, MOST_TASKS)))
    block = Block([INDEX], ["task"])
    with s.b.inside(block), s.buffers.task(block):
        loops([], division.bounds(s.b, block.args[0]))
        s.b.yield_()
    s.b.insert(loop.Parallel([], {"tasks": division.tasks}, [Region(block)]))


STRUCTURED = {
    control.For: lower_for,
    control.If: lower_if,
    control.Map: lower_map,
    control.While: lower_while,
}
"""How control flow is lowered."""
