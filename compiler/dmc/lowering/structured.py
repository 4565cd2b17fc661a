"""Control flow of the kernel level as loops and branches over registers and buffers.

Scalars that a loop carries stay in registers. A carried tensor has one buffer, to which each
iteration copies the next value unless it was computed there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dmc.dialects import arith, control, loop
from dmc.dialects.loop import INDEX
from dmc.ir.operation import Block, Operation, Region, Value
from dmc.ir.types import TapeType
from dmc.lowering.carried import Carried, scanned_part
from dmc.lowering.loop_builder import Linear, Subscript
from dmc.lowering.schedules.plan import MOST_TASKS, Split
from dmc.lowering.statements import Statements, buffer_type, register
from dmc.lowering.tapes import Stacks, keeps_tapes
from dmc.lowering.wavefront import lower_nest
from dmc.lowering.wavefront_plan import recognize

_MOST_UNPOLLED = 1 << 16
"""Loops that run no more often together are over before anyone could want them to end."""


def _may_last(op: control.Loop) -> bool:
    """Whether a loop and those around it may run for long."""
    runs, at = 1, op
    while at is not None:
        if isinstance(at, control.While) or (isinstance(at, control.For) and at.extent < 0):
            return True
        runs *= at.extent if isinstance(at, control.For) else 1
        at = at.parent_op
    return runs > _MOST_UNPOLLED


def lower_for(s: Statements, op: Operation) -> None:
    """`control.for`."""
    assert isinstance(op, control.For)
    polls = _may_last(op)
    nest = recognize(op, s.machine)
    if nest is not None:
        lower_nest(s, nest, polls)
        return
    carried = Carried(s, op.inits, op.finals)
    scanned = [s.values[v] for v in op.scanned]
    count: Subscript = op.trip_count if op.trip_count >= 0 else s.values[op.count]
    whole = [s.place(v) for v in op.stacks if not isinstance(v.type, TapeType)]
    tapes = _tapes(s, op)
    blocks: list[Value] = []
    if any(isinstance(v.type, TapeType) for v in (*op.scanned, *op.stacks)):
        count = s.tapes.counted(s.b.index(count))
        if tapes.types:
            count, blocks = tapes.begin(arith.maximum(s.b.builder, count, s.b.index(0)))

    def stacks(of_tensors: Sequence[Value], of_tapes: Sequence[Value]) -> list[Value]:
        tensors, taped = iter(of_tensors), iter(of_tapes)
        return [next(taped if isinstance(v.type, TapeType) else tensors) for v in op.stacks]

    def step(i: Value, registers: list[Value]) -> list[Value]:
        if polls:
            s.b.poll()
        at = s.b.index(Linear.of(i) * -1 + Linear.of(count) + -1) if op.reverse else i
        s.values[op.index] = at
        carried.bind(op.carried_args, registers)
        for arg, value, held in zip(op.scanned_args, op.scanned, scanned, strict=True):
            s.values[arg] = scanned_part(s, arg, value, held, at)
        slices = [s.slice(stack, [at]) for stack in whole]
        targets = stacks(slices, tapes.slices(blocks, at))
        nowhere: list[Value | None] = [None] * op.carried
        with s.iteration([*nowhere, *targets]), s.tapes.released(op.body):
            yielded = s.run_into(op.body, [*nowhere, *targets])
            following = carried.advance(yielded[: op.carried])
        return following

    if op.tasks and s.parallel and op.trip_count > 1:
        _in_tasks(s, op, op.trip_count, lambda bounds: s.b.for_(*bounds, step, []))
        s.set(op, whole)
        return
    finals = s.b.for_(0, count, step, carried.registers)
    s.set(op, [*carried.results(finals), *stacks(whole, blocks)])


def _in_tasks(
    s: Statements,
    op: control.For | control.Map,
    size: int,
    run: Callable[[tuple[Subscript, Subscript]], object],
) -> None:
    """Parallel tasks, each of which runs a part of `size` subscripts in memory of its own."""
    division = Split(0, size, -(-size // min(size, MOST_TASKS)))
    block = Block([INDEX], ["task"])
    with s.b.inside(block), s.buffers.task(block), s.tapes.opened(keeps_tapes(op)):
        run(division.bounds(s.b, block.args[0]))
    with s.b.inside(block):
        s.b.yield_()
    s.b.insert(loop.Parallel([], {"tasks": division.tasks}, [Region(block)]))
    if any(isinstance(inner, loop.Poll) for each in block for inner in each.walk()):
        s.b.poll()


def _tapes(s: Statements, op: control.Loop) -> Stacks:
    """What a loop stacks on tapes."""
    elements = [
        buffer_type(yielded)
        for yielded, stack in zip(op.stacked_values, op.stacks, strict=True)
        if isinstance(stack.type, TapeType)
    ]
    return Stacks(s.tapes, elements)


def lower_while(s: Statements, op: Operation) -> None:
    """`control.while`."""
    assert isinstance(op, control.While)
    carried = Carried(s, op.inits, op.finals)
    tapes = _tapes(s, op)
    state: list[Value] = []
    if tapes.types:
        capacity, blocks = tapes.begin(s.b.index(tapes.first))
        state = [s.b.index(0), capacity, *blocks]
    kept = len(state)

    def test(registers: list[Value]) -> Value:
        carried.bind(op.condition.args, registers[kept:])
        with s.iteration(), s.tapes.released(op.condition):
            s.run(op.condition)
        holds = s.values[op.condition.terminator.operands[0]]
        if not kept:
            return s.tapes.going(holds)
        room = arith.compare(s.b.builder, arith.Direction.LT, *registers[:2])
        return arith.logical_and(s.b.builder, holds, room)

    def step(registers: list[Value]) -> list[Value]:
        s.b.poll()
        carried.bind(op.body.args, registers[kept:])
        targets = tapes.slices(registers[2:kept], registers[0]) if kept else []
        places = [*(None for _ in op.inits), *targets]
        with s.iteration(places), s.tapes.released(op.body):
            yielded = s.run_into(op.body, places)
            following = carried.advance(yielded[: len(op.inits)])
        if not kept:
            return following
        count = arith.add(s.b.builder, registers[0], s.b.index(1))
        capacity, blocks = tapes.grown(count, registers[1], registers[2:kept])
        return [count, capacity, *blocks, *following]

    finals = s.b.while_([*state, *carried.registers], test, step)
    blocks = finals[2:kept]
    if kept and any(isinstance(user, control.Yield) for v in op.stacks for user in v.users):
        # There will be many of them.
        blocks = tapes.trimmed(finals[0], blocks)
    s.set(op, [*carried.results(finals[kept:]), *blocks])


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
        with s.iteration(targets), s.tapes.released(op.body):
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
    _in_tasks(s, op, op.sizes[0], lambda bounds: loops([], bounds))


STRUCTURED = {
    control.For: lower_for,
    control.If: lower_if,
    control.Map: lower_map,
    control.While: lower_while,
}
"""How control flow is lowered."""
