"""The module: declares every function, sizes private memory, lowers the bodies."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from dmc.dialects import loop
from dmc.ir.attributes import DenseElements
from dmc.ir.module import Module
from dmc.ir.types import MemRefType
from dmc.lowering import llvm_ir as ir
from dmc.lowering.machine import Machine
from dmc.lowering.to_llvm.types import I8, I32, I64, POINTER, VOID, llvm_type

PARALLEL_FOR = "dmc_parallel_for"
"""`void (task function, ctx, i64 tasks)` of the thread pool; it returns when all tasks are done.

A task function is `void (ctx, i64 task, i64 worker)`; the calling thread is worker 0.
"""


def entry_symbol(name: str) -> str:
    """The symbol of a public function: a program may well call one of its own `memcpy`."""
    return f"dmc.entry.{name}"


ENTRY = ir.FunctionType(I32, [POINTER, POINTER, POINTER])

STOPPED = 2
"""What a program returns that has ended because it should."""

ALIGNMENT = 64
"""Alignment in bytes of private memory and of the arena."""


@dataclass(frozen=True, slots=True)
class Lowered:
    """LLVM modules, linked with each other, and the memory that entry functions must be given.

    A public `loop.func`, whose arguments are buffers and last an arena of bytes, becomes
    `int32_t f(void **buffers, void *arena, int32_t *stop)` by the name `entry_symbol` gives, and
    returns 0, or 1 where its tapes did not find memory, or `STOPPED` where it has polled and found
    `*stop` set. The arena, aligned to `ALIGNMENT`, holds `arena_bytes` and behind them
    `scratch_bytes` for each thread of the pool.
    """

    modules: tuple[ir.Module, ...]
    arena_bytes: int
    scratch_bytes: int

    @property
    def module(self) -> ir.Module:
        """The only module."""
        (module,) = self.modules
        return module

    def memory(self, threads: int) -> int:
        """The size of the arena for that many threads."""
        return self.arena_bytes + threads * self.scratch_bytes


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
    """State shared by the functions of one LLVM module, which defines those named `own`."""

    def __init__(
        self, module: Module, machine: Machine, sizes: ScratchSizes, own: Collection[str]
    ) -> None:
        self.machine = machine
        self.llvm = ir.Module()
        self.sizes = sizes
        self._functions: dict[str, ir.Function] = {}
        functions = [op for op in module.body if isinstance(op, loop.Func)]
        self.sources = {op.sym_name: op for op in functions}
        self.scratch_bytes = max((self.sizes.total(op.sym_name) for op in functions), default=0)
        self._is_whole = len(own) == len(functions)
        for op in functions:
            if op.sym_name in own:
                self.function(op.sym_name)
        arenas = [op.body.args[-1].type for op in functions if not op.private]
        bytes_ = [type_.bytes for type_ in arenas if isinstance(type_, MemRefType)]
        self.arena_bytes = aligned(max(bytes_, default=0))
        self._tasks = 0
        self._constants: dict[DenseElements, ir.GlobalVariable] = {}

    def function(self, name: str) -> ir.Function:
        """A function of the loop-level module; another LLVM module may define it."""
        found = self._functions.get(name)
        if found is None:
            op = self.sources[name]
            types = [*(llvm_type(arg.type) for arg in op.body.args), POINTER]
            signature = ir.FunctionType(VOID, types) if op.private else ENTRY
            symbol = name if op.private else entry_symbol(name)
            found = self._functions[name] = ir.Function(self.llvm, signature, symbol)
            if op.private and self._is_whole:
                found.linkage = "internal"
            found.attributes.add("nounwind")
        return found

    def task_function(self) -> ir.Function:
        """A fresh function for one parallel loop."""
        self._tasks += 1
        function = ir.Function(
            self.llvm, ir.FunctionType(VOID, [POINTER, I64, I64]), f"dmc.task.{self._tasks}"
        )
        function.linkage = "internal"
        function.attributes.add("nounwind")
        return function

    def constant_data(self, value: DenseElements) -> ir.GlobalVariable:
        """A read-only global with the elements of `value`, one for equal values."""
        found = self._constants.get(value)
        if found is None:
            data = np.ascontiguousarray(value.array)
            type_ = ir.ArrayType(I8, data.nbytes)
            found = ir.GlobalVariable(self.llvm, type_, f"dmc.constant.{len(self._constants)}")
            found.initializer = ir.Constant(type_, data.tobytes())
            found.linkage = "internal"
            found.global_constant = True
            found.align = ALIGNMENT
            self._constants[value] = found
        return found

    def external(self, name: str, result: ir.Type, arguments: list[ir.Type]) -> ir.Function:
        """A function declared in the module, once."""
        found = self.llvm.globals.get(name)
        if isinstance(found, ir.Function):
            return found
        return ir.Function(self.llvm, ir.FunctionType(result, arguments), name)
