"""Functions, loops, branches, calls and parallel tasks."""

from __future__ import annotations

from dmc.dialects import loop
from dmc.ir.declarations import Trait
from dmc.ir.operation import Operation, Value
from dmc.ir.types import MemRefType
from dmc.lowering import llvm_ir as ir
from dmc.lowering.to_llvm.function import FunctionLowering, Table
from dmc.lowering.to_llvm.module import PARALLEL_FOR, STOPPED, ModuleLowering
from dmc.lowering.to_llvm.tape import release
from dmc.lowering.to_llvm.types import I8, I32, I64, POINTER, VOID, integer, llvm_type

_SELDOM = (1, 1 << 20)
"""How likely the first of two branches is."""


def lower_function(owner: ModuleLowering, op: loop.Func, table: Table) -> None:
    """Write the body of `op` into its LLVM function, each operation as `table` says."""
    function = owner.function(op.sym_name)
    lowering = FunctionLowering(owner, function, table)
    if op.private:
        *arguments, lowering.scratch = function.args
    else:
        arguments = _entry_arguments(lowering, op)
    lowering.values.update(zip(op.body.args, arguments, strict=True))
    lowering.block(op.body)
    if op.private:
        lowering.builder.ret_void()
    else:
        lowering.builder.ret(_status(lowering))


def _status(f: FunctionLowering) -> ir.Value:
    """What a program returns: 0, or 1 where its tapes did not find memory."""
    if f.failed is None:
        return integer(0, I32)
    return f.builder.trunc(f.builder.load(f.failed, typ=I64), I32)


def _entry_arguments(f: FunctionLowering, op: loop.Func) -> list[ir.Value]:
    """The arguments of an entry function: addresses from a table, then the arena."""
    table, arena, f.stop = f.function.args
    b = f.builder
    f.scratch = f.offset(arena, I8, None, f.owner.arena_bytes)
    places = [f.offset(table, POINTER, None, i) for i in range(len(op.body.args) - 1)]
    return [*(b.load(place, typ=POINTER) for place in places), arena]


def _for(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.For)
    b = f.builder
    lower, upper = f.value(op.lower), f.value(op.upper)
    inits = [f.value(v) for v in op.inits]
    # The test is at the bottom; one in front only where the loop may not run at all.
    runs = _static(op.lower), _static(op.upper)
    certain = runs[0] is not None and runs[1] is not None and runs[0] < runs[1]
    before = b.block
    body = f.function.append_basic_block("loop")
    after = f.function.append_basic_block("after")
    if certain:
        b.branch(body)
    else:
        b.cbranch(b.icmp_signed("<", lower, upper), body, after)
    b.position_at_end(body)
    variable = b.phi(I64)
    carried = [b.phi(llvm_type(v.type)) for v in op.inits]
    f.values.update(zip(op.body.args, [variable, *carried], strict=True))
    with f.scope():
        outs = f.block(op.body)
    following = b.add(variable, integer(op.step), flags="nsw")
    last = b.block
    b.cbranch(b.icmp_signed("<", following, upper), body, after)
    for phi, first, again in zip(
        [variable, *carried], [lower, *inits], [following, *outs], strict=True
    ):
        phi.add_incoming(first, before)
        phi.add_incoming(again, last)
    b.position_at_end(after)
    if certain:
        f.set(op, *outs)
        return
    merged = [b.phi(llvm_type(v.type)) for v in op.inits]
    for phi, first, out in zip(merged, inits, outs, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(out, last)
    f.set(op, *merged)


def _static(value: Value) -> int | None:
    """The number an `i64` value is known to be."""
    op = value.defining_op
    number = op.attributes["value"] if op is not None and op.has(Trait.CONSTANT) else None
    return number if isinstance(number, int) else None


def _while(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.While)
    b = f.builder
    inits = [f.value(v) for v in op.inits]
    before = b.block
    test = f.function.append_basic_block("test")
    body = f.function.append_basic_block("body")
    after = f.function.append_basic_block("after")
    b.branch(test)
    b.position_at_end(test)
    carried = [b.phi(llvm_type(v.type)) for v in op.inits]
    f.values.update(zip(op.condition.args, carried, strict=True))
    f.values.update(zip(op.body.args, carried, strict=True))
    with f.scope():
        (holds,) = f.block(op.condition)
    b.cbranch(holds, body, after)
    b.position_at_end(body)
    with f.scope():
        outs = f.block(op.body)
    last = b.block
    b.branch(test)
    for phi, first, out in zip(carried, inits, outs, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(out, last)
    b.position_at_end(after)
    f.set(op, *carried)


def _if(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.If)
    b = f.builder
    names = ("then", "else")
    starts = [f.function.append_basic_block(name) for name in names]
    after = f.function.append_basic_block("after")
    b.cbranch(f.value(op.condition), *starts, weights=_SELDOM if op.rare else None)
    ends: list[tuple[ir.Block, list[ir.Value]]] = []
    for start, region in zip(starts, (op.then, op.otherwise), strict=True):
        b.position_at_end(start)
        with f.scope():
            outs = f.block(region)
        ends.append((b.block, outs))
        b.branch(after)
    b.position_at_end(after)
    merged = [b.phi(llvm_type(v.type)) for v in op.results]
    for end, outs in ends:
        for phi, out in zip(merged, outs, strict=True):
            phi.add_incoming(out, end)
    f.set(op, *merged)


def _poll(f: FunctionLowering, op: Operation) -> None:
    """Leave the function where the word at `stop` is not zero."""
    assert f.stop is not None
    b = f.builder
    wanted = b.icmp_unsigned("!=", b.load_atomic(f.stop, "monotonic", 4, typ=I32), integer(0, I32))
    following = f.function.append_basic_block("on")
    b.cbranch(wanted, _exit(f), following, _SELDOM)
    b.position_at_end(following)


def _exit(f: FunctionLowering) -> ir.Block:
    """Where all polls of a function or task lead that want to leave it."""
    if f.exit is None:
        f.exit = f.function.append_basic_block("stopped")
        with f.builder.goto_block(f.exit):
            if f.root is not None:
                release(f, f.root, integer(0))
            if f.is_task:
                f.builder.ret_void()
            else:
                f.builder.ret(integer(STOPPED, I32))
    return f.exit


def _call(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.Call)
    callee = f.owner.function(op.callee.name)
    f.builder.call(callee, [*(f.value(v) for v in op.arguments), f.scratch])


def _alloca(f: FunctionLowering, op: Operation) -> None:
    assert isinstance(op, loop.Alloca)
    assert isinstance(op.type, MemRefType)
    f.set(op, f.take_scratch(op.type.bytes))


def _parallel(f: FunctionLowering, op: Operation) -> None:
    """Pack what the tasks use into a structure on the stack and hand them to the pool."""
    assert isinstance(op, loop.Parallel)
    captured = [
        v
        for v in op.regions[0].captures()
        if v.defining_op is None or not v.defining_op.has(Trait.CONSTANT)
    ]
    polls = any(isinstance(inner, loop.Poll) for inner in op.walk())
    stop = [f.stop] if polls and f.stop is not None else []
    values = [f.scratch, *stop, *(f.value(v) for v in captured)]
    types = [v.type for v in values]
    context_type = f.owner.llvm.structure(types)
    context = f.builder.alloca(context_type)
    for number, value in enumerate(values):
        f.builder.store(value, _field(f.builder, context, context_type, number))
    task = f.owner.task_function()
    run = f.owner.external(PARALLEL_FOR, VOID, [POINTER, POINTER, I64])
    f.builder.call(run, [task, context, integer(op.tasks)])

    inner = FunctionLowering(f.owner, task, f.table)
    pointer, number, worker = task.args
    b = inner.builder
    loaded = [b.load(_field(b, pointer, context_type, i), typ=v.type) for i, v in enumerate(values)]
    start = b.mul(worker, integer(f.owner.scratch_bytes))
    inner.scratch = b.gep(loaded[0], [start], inbounds=True, source_etype=I8)
    inner.is_task = True
    inner.stop = loaded[1] if stop else None
    inner.values.update(zip(captured, loaded[1 + len(stop) :], strict=True))
    inner.values[op.body.args[0]] = number
    inner.block(op.body)
    b.ret_void()


def _field(builder: ir.IRBuilder, pointer: ir.Value, type_: ir.Type, number: int) -> ir.Value:
    place = [integer(0), integer(number, I32)]
    return builder.gep(pointer, place, inbounds=True, source_etype=type_)


CONTROL: Table = {
    loop.Alloca: _alloca,
    loop.Call: _call,
    loop.For: _for,
    loop.If: _if,
    loop.Parallel: _parallel,
    loop.Poll: _poll,
    loop.While: _while,
}
