"""IR of every level with something wrong in it, as `dmc opt` reads it: refused in words, or run.

What is right goes on to native code from its level on, which is held against the interpreter. The
interpreter goes first: it refuses accesses outside of a buffer, and plans of memory are replayed.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from math import prod

import numpy as np

import dmc
from dmc.dialects import func, loop
from dmc.driver import Compilation, Stage, run_textual
from dmc.ir import Array, MemRefType, Module, TensorType, Type, VerifyError
from dmc.ir.parser import parse_module
from dmc.jit.artifact import Artifact
from dmc.jit.engine import default_engine
from dmc.jit.entry import ArgumentSpec
from dmc.jit.program import to_llvm
from dmc.lowering.to_loops import LoopProgram
from dmc.transforms.memory import PlanError, replay, report
from tests.fuzz import texts
from tests.fuzz.agreement import Bounded, compared
from tests.fuzz.family import Fault, Outcome, raised
from tests.fuzz.sources import misplaced

STAGES = (
    *(Stage.TENSOR, Stage.TANGENT, Stage.ADJOINT),
    *(Stage.OPTIMIZED, Stage.KERNEL, Stage.LOOP),
)
PASSES = ("", "", "canonicalize", "cse", "dce", "canonicalize,cse,dce")
LARGEST = 1 << 16
"""Elements of an argument that is made: text may name any size."""

PROGRAMS = """
fn table[N](x: f64[N], w: f32[4, 3], n: i64) -> f64 {
    var t = [i in 0..6] => 0.0
    for i in 1..6 { t[i] = 0.5 * t[i - 1] + x[i % N] }
    let k = minimum(n, 3)
    let a = sum[i](if i <= k { x[i] * x[N - 1 - i] } else { 0.0 })
    t[5] + a + f64(sum(tanh(w @ w.T)))
}

fn windows[B, W](x: f32[B, W], k: f32[3]) -> f32 =
    sum([b in 0..B, i in 0..W - 2] => maximum(sum[j](x[b, i + j] * k[j]), 0.0))

fn picked[N](x: f64[N], i: i64[5]) -> f64[5] = [j in 0..5] => x[clamp(i[j], 0, N - 1)] ** 2

fn drawn[N](key: Key, x: f64[N]) -> f64[N] = x + normal(key)

fn ordered(x: f32[7]) -> f32 = sum(cumsum[0](sort[0](x)) * softmax[0](x))
"""


@functools.cache
def corpus() -> tuple[tuple[Stage, str], ...]:
    """Dumps of values and gradients at every level, in either syntax."""
    program = dmc.loads(PROGRAMS)
    compiled = [
        program.table.compile(N=4),
        dmc.grad(program.table).compile(N=4),
        program.windows.compile(B=2, W=9),
        dmc.grad(program.windows, wrt=("x", "k")).compile(B=2, W=9),
        program.picked.compile(N=5),
        program.drawn.compile(N=20),
        dmc.grad(program.ordered).compile(),
    ]
    return tuple(
        (stage, function.ir(stage.value, generic=generic))
        for function in compiled
        for stage in STAGES
        for generic in (False, True)
    )


def outcome_of(stage: Stage, text: str, passes: str, seed: int) -> Outcome:
    """What becomes of a text."""
    try:
        run_textual(text, passes, file="mutant.dm")
    except dmc.Error as refusal:
        return misplaced(refusal, text) or "refused"
    except Exception as failure:  # noqa: BLE001  # this is what must not be
        return raised("opt", failure)
    try:
        return _run(stage, parse_module(text), seed)
    except (VerifyError, dmc.Error):
        return "refused"
    except Exception as failure:  # noqa: BLE001
        return raised("run", failure)


def _run(stage: Stage, module: Module, seed: int) -> Outcome:
    """Hold native code that is made of a module against the interpreter."""
    functions = [op for op in module.body if isinstance(op, func.Func | loop.Func)]
    entries = [f for f in functions if f.attributes.get("visibility", "") != "private"]
    entries = [f for f in entries if not (isinstance(f, loop.Func) and f.private)]
    if len(entries) != 1:
        return "accepted"
    (entry,) = entries
    arguments = _arguments([arg.type for arg in entry.body.args], seed)
    if arguments is None:
        return "accepted"
    match stage:
        case Stage.LOOP if isinstance(entry, loop.Func):
            return _loops(module, entry, arguments)
        case Stage.KERNEL if isinstance(entry, func.Func):
            return _kernels(module, entry, arguments)
        case Stage.LOOP | Stage.KERNEL:
            return "accepted"
        case _:
            compilation = Compilation(module, entry.sym_name)
            return _compared(compilation.expanded, entry.sym_name, compilation, arguments)


def _kernels(module: Module, entry: func.Func, arguments: list[Array]) -> Outcome:
    """Kernels with their plan of memory, which has to hold."""
    try:
        replay(entry, report(entry).arena_bytes)
    except (PlanError, KeyError):
        return "refused"
    compilation = Compilation(module, entry.sym_name)
    vars(compilation).update(expanded=module, optimized=module, kernels=module)
    return _compared(module, entry.sym_name, compilation, arguments)


def _compared(
    module: Module, name: str, compilation: Compilation, arguments: list[Array]
) -> Outcome:
    def interpreted(given: Sequence[Array]) -> list[Array]:
        return Bounded(module).call(name, given)

    def native(given: Sequence[Array]) -> list[Array]:
        return [*compilation.executable(*given)]

    return compared(native, interpreted, arguments, module)


def _loops(module: Module, entry: loop.Func, arguments: list[Array]) -> Outcome:
    """Loops over buffers, all of which they may read and write. The arena is the last."""
    engine = default_engine()

    def interpreted(given: Sequence[Array]) -> list[Array]:
        buffers = [array.copy() for array in given]
        Bounded(module).call(entry.sym_name, buffers)
        return buffers[:-1]

    def native(given: Sequence[Array]) -> list[Array]:
        polls = any(isinstance(op, loop.Poll) for op in module.walk())
        made = LoopProgram(module, entry.sym_name, given[-1].size, (), (), False, polls)
        program = to_llvm(made, engine)
        specs = tuple(
            ArgumentSpec(type_.dtype, type_.shape, donated=True)
            for type_ in (arg.type for arg in entry.body.args[:-1])
            if isinstance(type_, MemRefType)
        )
        sizes = (program.arena_bytes, program.scratch_bytes)
        artifact = Artifact((), program.entry, specs, (), *sizes, 0, (), (), False, False, polls)
        call = artifact.load(engine, engine.compile_all(program.modules))
        threads = dmc.get_num_threads()
        # Tasks that write the same elements are not wrong; they go one after the other.
        dmc.set_num_threads(1)
        call(*given[:-1])
        dmc.set_num_threads(threads)
        return [*given[:-1]]

    return compared(native, interpreted, arguments, module)


def _arguments(types: Sequence[Type], seed: int) -> list[Array] | None:
    rng = np.random.default_rng(seed)
    made: list[Array] = []
    for type_ in types:
        if not isinstance(type_, TensorType | MemRefType) or prod(type_.shape) > LARGEST:
            return None
        kind = type_.dtype.numpy
        if type_.dtype.is_float:
            made.append(np.asarray(rng.standard_normal(type_.shape)).astype(kind))
        else:
            made.append(np.asarray(rng.integers(0, 2, type_.shape)).astype(kind))
    return made


class Dumps:
    """A seed decides the dump, what is changed in it, and the passes that it is given to."""

    name = "dumps"

    def text(self, seed: int) -> tuple[Stage, str, str]:
        rng = random.Random(f"dump {seed}")
        two = rng.choice(corpus()), rng.choice(corpus())
        stage, text = min(two, key=lambda each: len(each[1]))  # twice as many in the same time
        others = [rng.choice(corpus())[1] for _ in range(2)]
        return stage, texts.mutant(text, others, rng), rng.choice(PASSES)

    def check(self, seed: int) -> Outcome:
        return outcome_of(*self.text(seed), seed)

    def shrunk(self, seed: int, fault: Fault) -> str:
        stage, text, passes = self.text(seed)

        def holds(smaller: str) -> bool:
            found = outcome_of(stage, smaller, passes, seed)
            return isinstance(found, Fault) and found.kind == fault.kind

        return f"// {passes}\n{texts.shrink(text, holds)}"
