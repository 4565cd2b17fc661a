"""A loop-level program as machine code that takes NumPy arrays."""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from dmc.dialects import loop
from dmc.ir.types import MemRefType
from dmc.jit.engine import Engine
from dmc.jit.entry import ArgumentSpec, Executable, ResultSpec
from dmc.jit.pool import pool
from dmc.lowering.to_llvm.lower import lower_module
from dmc.lowering.to_llvm.module import PARALLEL_FOR, aligned
from dmc.lowering.to_loops import LoopProgram

_POINTER = ir.PointerType()
_I32, _I64 = ir.IntType(32), ir.IntType(64)
ENTRY = "dmc_program"
"""The name of the function that `Executable` calls."""


@dataclass(frozen=True)
class LLVMProgram:
    """Textual LLVM IR that defines `ENTRY`, and the memory that it works in.

    The arena comes first, then the scratch memory of each worker.
    """

    text: str
    arena_bytes: int
    scratch_bytes: int


def to_llvm(program: LoopProgram, engine: Engine) -> LLVMProgram:
    """Lower to LLVM IR and add the function that unpacks the table of buffers.

    `ENTRY` is `int32_t (void **buffers, void *memory)`: arguments, then results, in order.
    """
    lowered = lower_module(program.module, engine.target.machine)
    entry = program.module.lookup(program.entry)
    assert isinstance(entry, loop.Func)
    module = lowered.module
    module.triple = engine.target.triple
    wrapper = ir.Function(module, ir.FunctionType(_I32, [_POINTER, _POINTER]), ENTRY)
    builder = ir.IRBuilder(wrapper.append_basic_block("entry"))
    table, memory = wrapper.args
    buffers = [
        builder.load(builder.gep(table, [ir.Constant(_I64, i)], source_etype=_POINTER), typ=_POINTER)
        for i in range(len(entry.body.args) - 1)
    ]
    offset = ir.Constant(_I64, aligned(program.arena_bytes))
    scratch = builder.gep(memory, [offset], source_etype=ir.IntType(8))
    target = next(f for f in module.functions if f.name == program.entry)
    builder.call(target, [*buffers, memory, scratch])
    builder.ret(ir.Constant(_I32, 0))
    return LLVMProgram(str(module), aligned(program.arena_bytes), lowered.scratch_bytes)


def load(
    program: LLVMProgram,
    arguments: list[MemRefType],
    results: list[MemRefType],
    engine: Engine,
    workers: int,
) -> Executable:
    """Compile and load, with scratch memory for `workers` threads. Raises CodegenError."""
    code = engine.load([program.text], [ENTRY], {PARALLEL_FOR: pool().parallel_for})
    return Executable(
        code[ENTRY],
        tuple(ArgumentSpec(type_.dtype, type_.shape) for type_ in arguments),
        tuple(ResultSpec(type_.dtype, type_.shape) for type_ in results),
        program.arena_bytes + program.scratch_bytes * workers,
        keep=code,
    )
