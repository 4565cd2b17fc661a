"""IR of every level with something wrong in it, as `dmc opt` reads it: refused in words, or run.

What is right at tensor level still goes on to native code, which is held against the interpreter.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence

import numpy as np

import dmc
from dmc.dialects import func
from dmc.driver import Compilation, Stage, run_textual
from dmc.ir import Array, Module, TensorType
from dmc.ir.parser import parse_module
from tests.fuzz import texts
from tests.fuzz.agreement import Bounded, compared
from tests.fuzz.family import Fault, Outcome, raised
from tests.fuzz.sources import misplaced

STAGES = (Stage.TENSOR, Stage.OPTIMIZED, Stage.KERNEL, Stage.LOOP)
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
    if stage not in (Stage.TENSOR, Stage.OPTIMIZED):
        return "accepted"
    return _run(parse_module(text), seed)


def _run(module: Module, seed: int) -> Outcome:
    entries = [f for f in func.functions(module) if not f.is_private]
    if len(entries) != 1:
        return "accepted"
    arguments = _arguments(entries[0], seed)
    if arguments is None:
        return "accepted"
    name = entries[0].sym_name
    try:
        compilation = Compilation(module, name)
        expanded = compilation.expanded
    except dmc.Error:
        return "refused"
    except Exception as failure:  # noqa: BLE001
        return raised("run", failure)

    def interpreted(given: Sequence[Array]) -> list[Array]:
        return Bounded(expanded).call(name, given)

    def native(given: Sequence[Array]) -> list[Array]:
        return [*compilation.executable(*given)]

    return compared(native, interpreted, arguments)


def _arguments(function: func.Func, seed: int) -> list[Array] | None:
    rng = np.random.default_rng(seed)
    made: list[Array] = []
    for type_ in function.function_type.inputs:
        if not isinstance(type_, TensorType) or type_.size > LARGEST:
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
        stage, text = rng.choice(corpus())
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
