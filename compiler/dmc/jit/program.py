"""A loop-level program as LLVM IR."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.jit.engine import Engine
from dmc.lowering.to_llvm.lower import lower_module
from dmc.lowering.to_llvm.module import entry_symbol
from dmc.lowering.to_loops import LoopProgram


@dataclass(frozen=True)
class LLVMProgram:
    """Textual LLVM IR with the function `entry`, in modules, and the memory that it works in.

    The arena holds `arena_bytes` and behind them `scratch_bytes` for each thread. `overwrites` and
    `donated` are those of the loop-level program, as is whether it has `tapes` and
    `polls`.
    """

    modules: tuple[str, ...]
    entry: str
    arena_bytes: int
    scratch_bytes: int
    overwrites: tuple[int | None, ...]
    donated: tuple[int, ...]
    tapes: bool
    polls: bool


def to_llvm(program: LoopProgram, engine: Engine, most: int | None = None) -> LLVMProgram:
    """Lower to LLVM IR for the target of `engine`, in `most` modules at most."""
    lowered = lower_module(program.module, engine.target.machine, most or engine.parts)
    for module in lowered.modules:
        module.triple = engine.target.triple
    return LLVMProgram(
        tuple(map(str, lowered.modules)),
        entry_symbol(program.entry),
        lowered.arena_bytes,
        lowered.scratch_bytes,
        program.overwrites,
        program.donated,
        program.tapes,
        program.polls,
    )
