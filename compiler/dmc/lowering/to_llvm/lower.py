"""The lowering of a whole module, with the tables of all families."""

from __future__ import annotations

from dmc.dialects import loop
from dmc.ir.module import Module
from dmc.lowering.machine import Machine
from dmc.lowering.to_llvm.control import CONTROL, lower_function
from dmc.lowering.to_llvm.elementwise import ELEMENTWISE
from dmc.lowering.to_llvm.memory import MEMORY
from dmc.lowering.to_llvm.module import Lowered, ModuleLowering, ScratchSizes
from dmc.lowering.to_llvm.tape import TAPE
from dmc.lowering.to_llvm.vector import VECTOR

SMALLEST = 64
"""Operations that repay a module of their own, which takes LLVM some milliseconds."""


def lower_module(module: Module, machine: Machine, most: int = 1) -> Lowered:
    """The LLVM IR of a module of `loop.func`, in up to `most` modules of about the same size.

    Nothing but their own operations decides what functions become, so that the division does not
    show in the code. Nothing may compute with f16 or bf16.
    """
    table = {**CONTROL, **MEMORY, **VECTOR, **TAPE, **ELEMENTWISE}
    sizes = ScratchSizes(module)
    made: list[ModuleLowering] = []
    for names in _divided(module, most):
        lowering = ModuleLowering(module, machine, sizes, names)
        for name in names:
            lower_function(lowering, lowering.sources[name], table)
        made.append(lowering)
    modules = tuple(lowering.llvm for lowering in made)
    return Lowered(modules, made[0].arena_bytes, made[0].scratch_bytes)


def _divided(module: Module, most: int) -> list[list[str]]:
    """The names of the functions, in as many groups; each in the order of the module."""
    functions = [op for op in module.body if isinstance(op, loop.Func)]
    sizes = {op.sym_name: sum(1 for _ in op.walk()) for op in functions}
    count = max(1, min(most, len(functions), sum(sizes.values()) // SMALLEST))
    groups: list[list[str]] = [[] for _ in range(count)]
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        min(groups, key=lambda group: sum(sizes[each] for each in group)).append(name)
    places = {name: place for place, name in enumerate(sizes)}
    return [sorted(group, key=places.__getitem__) for group in groups]
