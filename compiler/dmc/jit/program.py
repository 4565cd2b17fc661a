"""A loop-level program as machine code that takes NumPy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmc.ir.types import TensorType
from dmc.jit.engine import Engine
from dmc.jit.entry import ArgumentSpec, Executable, ResultSpec
from dmc.jit.pool import pool
from dmc.lowering.to_llvm.lower import lower_module
from dmc.lowering.to_llvm.module import PARALLEL_FOR, entry_symbol
from dmc.lowering.to_loops import LoopProgram


@dataclass(frozen=True)
class LLVMProgram:
    """Textual LLVM IR with the function `entry`, and the memory that it works in.

    The arena holds `arena_bytes` and behind them `scratch_bytes` for each thread. `overwrites` and
    `donated` are those of the loop-level program.
    """

    text: str
    entry: str
    arena_bytes: int
    scratch_bytes: int
    overwrites: tuple[int | None, ...]
    donated: tuple[int, ...]


def to_llvm(program: LoopProgram, engine: Engine) -> LLVMProgram:
    """Lower to LLVM IR for the target of `engine`."""
    lowered = lower_module(program.module, engine.target.machine)
    lowered.module.triple = engine.target.triple
    text = str(lowered.module)
    return LLVMProgram(
        text,
        entry_symbol(program.entry),
        lowered.arena_bytes,
        lowered.scratch_bytes,
        program.overwrites,
        program.donated,
    )


def load(
    program: LLVMProgram,
    arguments: Sequence[TensorType],
    results: Sequence[TensorType],
    engine: Engine,
) -> Executable:
    """Compile and load. Raises CodegenError."""
    symbols = {PARALLEL_FOR: pool().parallel_for}
    code = engine.load([program.text], [program.entry], symbols)
    return Executable(
        code[program.entry],
        tuple(
            ArgumentSpec(type_.dtype, type_.shape, donated=index in program.donated)
            for index, type_ in enumerate(arguments)
        ),
        tuple(
            ResultSpec(type_.dtype, type_.shape, overwrites)
            for type_, overwrites in zip(results, program.overwrites, strict=True)
        ),
        program.arena_bytes,
        program.scratch_bytes,
        keep=code,
    )
