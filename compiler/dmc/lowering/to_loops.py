"""From the kernel level to the loop level: a function of tensors becomes one of buffers.

Scalars (0-d tensors) become values in registers, carried by loops as such; other tensors live in
buffers: arguments and results of the entry function, slices of stacked results, or the arena.
Every kernel becomes a call of a shared function (see `kernels`).
"""

from __future__ import annotations

from dataclasses import dataclass

from dmc.dialects import func, loop
from dmc.ir.module import Module
from dmc.ir.types import DType, MemRefType
from dmc.lowering.buffers import Buffers
from dmc.lowering.kernels import PRODUCER, KernelFunctions
from dmc.lowering.loop_builder import LoopBuilder, function
from dmc.lowering.machine import Machine
from dmc.lowering.statements import SIMPLE, Statements, buffer_type
from dmc.lowering.structured import STRUCTURED
from dmc.lowering.tapes import keeps_tapes
from dmc.transforms.widen import widen


@dataclass(frozen=True, slots=True)
class LoopProgram:
    """A module of loop functions whose function `entry` runs the program.

    The entry takes the buffers of all arguments, then of all results, then the arena of
    `arena_bytes` bytes. `overwrites` has for each result the donated argument in whose buffer it is
    left, or None: such a result must be given that buffer. Arguments in `donated` may be
    overwritten. If `tapes`, it also calls for memory that grows; if `polls`, it ends where that is
    wanted.
    """

    module: Module
    entry: str
    arena_bytes: int
    overwrites: tuple[int | None, ...]
    donated: tuple[int, ...]
    tapes: bool
    polls: bool


def lower_to_loops(module: Module, name: str, machine: Machine) -> LoopProgram:
    """Lower the function `name` of a kernel-level module, in which nothing calls functions.

    Raises CompilerBug naming an operation that has no form at loop level.
    """
    source = func.lookup(module, name)
    out = Module.empty()
    returned = source.body.terminator.operands
    types = [buffer_type(v) for v in (*source.body.args, *returned)]
    arena_type = MemRefType((0,), DType.I8)
    names = [arg.name for arg in source.body.args] + [v.name for v in returned] + ["arena"]
    entry = function(name, [*types, arena_type], names, private=False)
    b = LoopBuilder(entry, source.location.by(PRODUCER))
    arguments = entry.body.args[: len(source.body.args)]
    results = entry.body.args[len(arguments) : -1]
    planned, private = source.arena_bytes or 0, source.private_bytes or 0
    buffers = Buffers(b, entry.body.args[-1], planned, private)
    statements = Statements(
        b, machine, KernelFunctions(out, machine, name), buffers, {**SIMPLE, **STRUCTURED}
    )
    overwrites = statements.run_function(source, arguments, results)
    entry.body.args[-1].type = MemRefType((buffers.arena_bytes,), DType.I8)
    out.append(b.finish())
    widen(out)
    donated = source.donated or ()
    tapes, polls = keeps_tapes(source), any(isinstance(op, loop.Poll) for op in out.walk())
    return LoopProgram(out, name, buffers.arena_bytes, tuple(overwrites), donated, tapes, polls)
