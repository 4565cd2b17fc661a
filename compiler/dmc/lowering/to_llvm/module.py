"""The module: declares every function, sizes private memory, lowers the bodies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from llvmlite import ir

from dmc.dialects import loop
from dmc.ir.module import Module
from dmc.ir.operation import Operation
from dmc.ir.types import MemRefType
from dmc.lowering.machine import Machine
from dmc.lowering.to_llvm.types import I64, POINTER, VOID, llvm_type

if TYPE_CHECKING:
    from dmc.lowering.to_llvm.function import FunctionLowering

Table: TypeAlias = "dict[type[Operation], Callable[[FunctionLowering, Operation], None]]"
"""How operations are lowered, by class."""

PARALLEL_FOR = "dmc_parallel_for"
"""`void (task function, ctx, i64 tasks)` of the thread pool; it returns when all tasks are done.

A task function is `void (ctx, i64 task, i64 worker)`; the calling thread is worker 0.
"""

ALIGNMENT = 64
"""Alignment in bytes of private memory and of the arena."""


@dataclass(frozen=True, slots=True)
class Lowered:
    """An LLVM module and what its caller must provide.

    Every public function takes the address of each memref and the value of each scalar argument
    of its `loop.func`, then the address of scratch memory, aligned to `ALIGNMENT`: worker `w` of
    the pool uses the `scratch_bytes` bytes from `w * scratch_bytes` on.
    """

    module: ir.Module
    scratch_bytes: int


def aligned(count: int) -> int:
    """`count` bytes, rounded up."""
    return -(-count // ALIGNMENT) * ALIGNMENT


class ScratchSizes:
    """How much private memory each function needs, its callees and parallel tasks included."""

    def __init__(self, module: Module) -> None:
        self._functions = {name: op for name, op in module.symbols() if isinstance(op, loop.Func)}
        self._totals: dict[str, int] = {}

    def total(self, name: str) -> int:
        """Bytes that a call of the function needs. Recursion cannot occur in loop IR."""
        if name not in self._totals:
            self._totals[name] = self._block(self._functions[name].body.parent_op)
        return self._totals[name]

    def _block(self, owner: object) -> int:
        """Own allocations, then the most that anything called on top of them needs."""
        assert isinstance(owner, loop.Func | loop.Parallel)
        return self.own(owner) + max((self._above(op) for op in _inside(owner)), default=0)

    def _above(self, op: object) -> int:
        match op:
            case loop.Call():
                return self.total(op.callee.name)
            case loop.Parallel():
                return self._block(op)
            case _:
                return 0

    @staticmethod
    def own(owner: loop.Func | loop.Parallel) -> int:
        """Bytes of the allocations of a function or task itself."""
        return sum(_bytes(op) for op in owner.body if isinstance(op, loop.Alloca))


def _bytes(op: loop.Alloca) -> int:
    assert isinstance(op.type, MemRefType)
    return aligned(op.type.bytes)


def _inside(owner: loop.Func | loop.Parallel) -> list[object]:
    """Operations of a function or task, those of parallel loops inside excluded."""
    found: list[object] = []
    todo = [owner.body]
    while todo:
        for op in todo.pop():
            found.append(op)
            if not isinstance(op, loop.Parallel):
                todo.extend(inner.block for inner in op.regions)
    return found


class ModuleLowering:
    """State shared by the functions of one module."""

    def __init__(self, module: Module, machine: Machine, table: Table) -> None:
        self.machine = machine
        self.table = table
        self.llvm = ir.Module(name="dmc")
        self.sizes = ScratchSizes(module)
        self.functions: dict[str, ir.Function] = {}
        self.sources = [op for op in module.body if isinstance(op, loop.Func)]
        self.scratch_bytes = max((self.sizes.total(op.sym_name) for op in self.sources), default=0)
        for op in self.sources:
            types = [llvm_type(arg.type) for arg in op.body.args]
            function = ir.Function(self.llvm, ir.FunctionType(VOID, [*types, POINTER]), op.sym_name)
            if op.private:
                function.linkage = "internal"
            function.attributes.add("nounwind")
            self.functions[op.sym_name] = function
        self._tasks = 0

    def task_function(self) -> ir.Function:
        """A fresh function for one parallel loop."""
        self._tasks += 1
        function = ir.Function(
            self.llvm, ir.FunctionType(VOID, [POINTER, I64, I64]), f"dmc.task.{self._tasks}"
        )
        function.linkage = "internal"
        function.attributes.add("nounwind")
        return function

    def external(self, name: str, result: ir.Type, arguments: list[ir.Type]) -> ir.Function:
        """A function declared in the module, once."""
        found = self.llvm.globals.get(name)
        if isinstance(found, ir.Function):
            return found
        return ir.Function(self.llvm, ir.FunctionType(result, arguments), name)
