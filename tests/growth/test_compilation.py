"""Compilation takes the same work for a statement, however many there are; counted, not timed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from cProfile import Profile
from pathlib import Path
from typing import TypeVar

import pytest

import dmc
from dmc.ir import verify
from dmc.jit.engine import default_engine
from dmc.jit.program import to_llvm
from dmc.lowering.to_loops import lower_to_loops
from dmc.transforms import pipeline

FEW, MANY = 96, 192
MOST = 1.3
"""How much more a statement may cost among many than among few."""

ResultT = TypeVar("ResultT")


def chain(count: int) -> str:
    """Each statement on whole arrays reads two before it."""
    lines = [f"    let a{i} = tanh(a{i - 1} * 1.{i} + a{i // 2})" for i in range(1, count)]
    return _function("x: f64[N]", ["    let a0 = sin(x)", *lines], f"sum(a{count - 1} * a0)")


def wide(count: int) -> str:
    """Statements that do not read each other, all added up in the end."""
    lines = [f"    let a{i} = sin(x * 1.{i})" for i in range(count)]
    names, made = [f"a{i}" for i in range(count)], 0
    while len(names) > 1:
        sums: list[str] = []
        for first in range(0, len(names), 8):
            lines.append(f"    let s{made} = {' + '.join(names[first : first + 8])}")
            sums.append(f"s{made}")
            made += 1
        names = sums
    return _function("x: f64[N]", lines, f"sum({names[0]})")


def products(count: int) -> str:
    """Each statement multiplies two before it, whose derivatives then read each other's."""
    lines = [f"    let a{i} = a{i - 1} * sin(a{i // 2}) + x * 1.{i}" for i in range(1, count)]
    return _function("x: f64[N]", ["    let a0 = sin(x)", *lines], f"sum(a{count - 1} * a0)")


def unrolled(count: int) -> str:
    """Each statement on a number reads the one before it twice."""
    lines = [f"    let a{i} = sin(a{i - 1}) * a{i - 1}" for i in range(1, count)]
    return _function("x: f64", ["    let a0 = x", *lines], f"a{count - 1}")


def _function(parameters: str, lines: list[str], result: str) -> str:
    sizes = "[N]" if "N" in parameters else ""
    return "\n".join([f"fn f{sizes}({parameters}) -> f64 {{", *lines, f"    {result}", "}", ""])


class Work:
    """Counts the calls of functions, those in C included, by step."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def count(self, step: str, action: Callable[[], ResultT]) -> ResultT:
        profile = Profile()
        try:
            return profile.runcall(action)
        finally:
            self.calls[step] += sum(entry.callcount for entry in profile.getstats())


def compile_counted(source: str, folder: Path) -> Counter[str]:
    """The work of each step from source to LLVM IR."""
    work = Work()
    path = folder / "program.dm"
    path.write_text(source)
    module = work.count("load", lambda: dmc.load(path))
    sizes = {"N": 1000} if "[N]" in source else {}
    compiled = work.count("specialize", lambda: dmc.grad(module.f).specialize(**sizes))
    compilation = compiled.compilation
    ir, engine = compilation.tensor.copy(), default_engine()
    for stage in (pipeline.derivatives(), pipeline.optimize(), pipeline.to_kernels()):
        for item in stage:
            work.count(item.name, lambda item=item: item.run(ir))
        work.count("verify", lambda: verify(ir))
    loops = work.count(
        "loops", lambda: lower_to_loops(ir, compilation.entry, engine.target.machine)
    )
    work.count("llvm", lambda: to_llvm(loops, engine))
    return work.calls


@pytest.mark.slow
@pytest.mark.parametrize("program", [chain, wide, products, unrolled])
def test_work_grows_with_the_program(program: Callable[[int], str], tmp_path: Path) -> None:
    compile_counted(program(2), tmp_path)
    few = compile_counted(program(FEW), tmp_path)
    many = compile_counted(program(MANY), tmp_path)
    growth = {step: many[step] / few[step] * FEW / MANY for step in few}
    steep = {step: round(ratio, 2) for step, ratio in growth.items() if ratio > MOST}
    assert not steep
