"""The lowering of a whole module, with the tables of all families."""

from __future__ import annotations

from dmc.ir.module import Module
from dmc.lowering.machine import Machine
from dmc.lowering.to_llvm.control import CONTROL, lower_function
from dmc.lowering.to_llvm.elementwise import ELEMENTWISE
from dmc.lowering.to_llvm.memory import MEMORY
from dmc.lowering.to_llvm.module import Lowered, ModuleLowering
from dmc.lowering.to_llvm.vector import VECTOR


def lower_module(module: Module, machine: Machine) -> Lowered:
    """The LLVM IR of a module of `loop.func`. Raises UnsupportedType for f16 and bf16."""
    lowering = ModuleLowering(module, machine)
    table = {**CONTROL, **MEMORY, **VECTOR, **ELEMENTWISE}
    for op in lowering.sources.values():
        lower_function(lowering, op, table)
    return Lowered(lowering.llvm, lowering.arena_bytes, lowering.scratch_bytes)
