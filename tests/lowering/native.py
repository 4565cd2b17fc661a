"""Running a kernel-level program by its interpreter, the loop interpreter and native code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from dmc.dialects import func
from dmc.ir import Builder, Interpreter, Module, TensorType, Value, verify
from dmc.jit.engine import Engine
from dmc.jit.entry import ArgumentSpec, Executable, ResultSpec
from dmc.jit.pool import pool
from dmc.jit.tapes import tape_memory
from dmc.jit.target import Target, host
from dmc.lowering.to_llvm import PARALLEL_FOR, entry_symbol, lower_module
from dmc.lowering.to_loops import LoopProgram, lower_to_loops
from dmc.transforms.plan_memory import PlanMemory

Array = npt.NDArray[Any]


def program(
    inputs: Sequence[TensorType], write: Callable[[Builder, list[Value]], Sequence[Value]]
) -> Module:
    """A module with the function `main`, verified."""
    module = Module.empty()
    function, builder = func.function(module, "main", inputs)
    func.finish(function, builder, write(builder, function.body.args))
    verify(module)
    return module


def tensor_type(value: Value) -> TensorType:
    assert isinstance(value.type, TensorType)
    return value.type


@cache
def engine(target: Target) -> Engine:
    """One engine for all tests of a target: starting LLVM's JIT takes longer than a test."""
    return Engine(target)


@dataclass
class Compiled:
    """`main` at loop level and as machine code."""

    loops: LoopProgram
    executable: Executable
    results: list[TensorType]

    def __call__(self, *arrays: Array) -> tuple[Array, ...]:
        return self.executable(*arrays)

    def interpret(self, arrays: Sequence[Array]) -> list[Array]:
        """Run the loop-level program in the interpreter."""
        results = [np.zeros(t.shape, t.dtype.numpy) for t in self.results]
        arena = np.full(self.loops.arena_bytes, -1, np.int8)
        Interpreter(self.loops.module).call(self.loops.entry, [*arrays, *results, arena])
        return results


def compile_native(module: Module, target: Target | None = None, planned: bool = False) -> Compiled:
    """Lower `main` for `target` (this machine) and load it, perhaps after planning memory."""
    target = target or host()
    if planned:
        module = cast(Module, module.clone({}))
        PlanMemory().run(module)
        verify(module)
    loops = lower_to_loops(module, "main", target.machine)
    verify(loops.module)
    lowered = lower_module(loops.module, target.machine)
    lowered.module.triple = target.triple
    symbols = {PARALLEL_FOR: pool().parallel_for, **tape_memory().symbols}
    code = engine(target).load([str(lowered.module)], [entry_symbol("main")], symbols)
    function = func.lookup(module, "main")
    arguments = [tensor_type(v) for v in function.body.args]
    results = [tensor_type(v) for v in function.body.terminator.operands]
    executable = Executable(
        code[entry_symbol("main")],
        tuple(
            ArgumentSpec(t.dtype, t.shape, donated=i in loops.donated)
            for i, t in enumerate(arguments)
        ),
        tuple(
            ResultSpec(t.dtype, t.shape, source)
            for t, source in zip(results, loops.overwrites, strict=True)
        ),
        lowered.arena_bytes,
        lowered.scratch_bytes,
        loops.polls,
        code,
    )
    return Compiled(loops, executable, results)


def random(type_: TensorType, seed: int = 0) -> Array:
    """Small values: normal for floats, -4 … 4 for integers."""
    rng = np.random.default_rng(seed)
    if type_.dtype.is_float:
        return rng.standard_normal(type_.shape).astype(type_.dtype.numpy)
    if type_.dtype.is_integer:
        return rng.integers(-4, 5, type_.shape).astype(type_.dtype.numpy)
    return rng.integers(0, 2, type_.shape).astype(np.bool_)


def check(
    module: Module,
    arrays: Sequence[Array],
    target: Target | None = None,
    rtol: float = 1e-5,
    plans: Sequence[bool] = (False, True),
) -> tuple[Array, ...]:
    """Hold loop interpreter and native code against the kernel interpreter.

    `plans`: whether memory is planned first.
    """
    expected = Interpreter(module).call("main", arrays)
    outputs: tuple[Array, ...] = ()
    for planned in plans:
        compiled = compile_native(module, target, planned)
        outputs = compiled(*arrays)
        stepped = compiled.interpret(arrays)
        for want, loops, native in zip(expected, stepped, outputs, strict=True):
            scale = np.abs(want[np.isfinite(want)]).max(initial=1.0) if want.size else 1.0
            np.testing.assert_allclose(loops, want, rtol, rtol * scale)
            np.testing.assert_allclose(native, want, rtol, rtol * scale)
    return outputs
