"""What is promised of native code, held on three whole programs and their derivatives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import dmc
from dmc.dialects.loop import structure
from dmc.driver import Compilation, Stage
from dmc.ir import Array, Module
from dmc.ir.parser import parse_module
from dmc.ir.passes import PassManager
from dmc.ir.printer import print_module
from dmc.jit.engine import Engine
from dmc.jit.target import named
from dmc.transforms import pipeline
from dmc.transforms.rematerialize import Rematerialize

FOLDER = Path(__file__).parent.parent.parent / "benchmarks" / "programs"

PASSES = [*pipeline.derivatives(), *pipeline.optimize(), *pipeline.to_kernels()]
OPTIONAL = sorted({item.name for item in PASSES} - pipeline.REQUIRED - {Rematerialize.name})

REORDERING = {"fuse", "orient", "recognize-contractions", "stream-rows", "write-out"}
"""Passes that decide in which order a sum is taken, so that rounding differs without them."""


class Program:
    """A program, arguments for it, and what it gives on this machine with one thread."""

    def __init__(self, compiled: dmc.Compiled) -> None:
        # Without checks of indexes, as the others below.
        checked = compiled.compilation
        self.compilation = Compilation(checked.tensor, checked.entry)
        rng = np.random.default_rng(0)
        self.arguments: list[Array] = []
        for type_ in self.compilation.argument_types:
            kind = type_.dtype.numpy
            if type_.dtype.is_integer:
                self.arguments.append(np.asarray(rng.integers(0, 3, type_.shape), kind))
            else:
                self.arguments.append(np.asarray(0.01 + 0.1 * rng.random(type_.shape), kind))
        with threads(1):
            self.expected = self.run(self.compilation)

    def run(self, compilation: Compilation) -> list[Array]:
        return [np.array(result) for result in compilation.executable(*self.arguments)]

    def on(self, target: str) -> Compilation:
        tensor = self.compilation.tensor
        return Compilation(tensor, self.compilation.entry, engine=Engine(named(target)))

    def without(self, name: str) -> Compilation:
        """Compiled anew from the first stage on that has the pass."""
        whole = self.compilation
        stages = (pipeline.derivatives, pipeline.optimize, pipeline.to_kernels)
        inputs = (whole.tensor, whole.expanded, whole.optimized)
        first = next(i for i, stage in enumerate(stages) if stage([name]) != stage())
        module = inputs[first].copy()
        for stage in stages[first:]:
            PassManager(stage([name])).run(module)
        changed = Compilation(whole.tensor, whole.entry)
        vars(changed)["kernels"] = module
        return changed

    def is_close(self, results: list[Array]) -> bool:
        """To some units in the last place of the largest element of each result."""
        pairs = zip(results, self.expected, strict=True)
        return all(
            not b.size or np.max(np.abs(a - b)) <= 16 * np.finfo(b.dtype).eps * np.max(np.abs(b))
            for a, b in pairs
            if b.dtype.kind == "f"
        )

    def is_same(self, results: list[Array]) -> bool:
        """To the last bit."""
        return [a.tobytes() for a in results] == [a.tobytes() for a in self.expected]


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = dmc.get_num_threads()
    dmc.set_num_threads(count)
    try:
        yield
    finally:
        dmc.set_num_threads(before)


def mixture() -> dmc.Compiled:
    function = dmc.value_and_grad(dmc.load(FOLDER / "gmm.dm").log_posterior)
    return function.specialize(K=5, D=3, N=300)


def oscillator() -> dmc.Compiled:
    return dmc.value_and_grad(dmc.load(FOLDER / "ode.dm").misfit, wrt="th").specialize(E=3)


def training_step() -> dmc.Compiled:
    sizes = {"net.I": 40, "net.H": 96, "net.O": 10}
    return dmc.load(FOLDER / "mlp.dm").step.specialize(B=64, **sizes)


@pytest.fixture(
    scope="module", params=[mixture, oscillator, training_step], ids=lambda f: f.__name__
)
def program(request: pytest.FixtureRequest) -> Program:
    return Program(request.param())


def test_the_comparison_sees_one_bit(program: Program) -> None:
    assert all(np.isfinite(a).all() for a in program.expected)
    changed = [a.copy() for a in program.expected]
    changed[0] = np.nextafter(changed[0], np.inf, dtype=changed[0].dtype)
    assert not program.is_same(changed)
    assert program.is_close(changed)
    changed[0] = changed[0] * changed[0].dtype.type(1.001)
    assert not program.is_close(changed)


def test_threads_change_no_bit(program: Program) -> None:
    for count in (1, 2, 3):
        with threads(count):
            assert program.is_same(program.run(program.compilation)), count


@pytest.mark.parametrize("name", OPTIONAL)
def test_an_optional_pass_changes_no_result(program: Program, name: str) -> None:
    changed = program.without(name)
    if print_module(changed.kernels) == print_module(program.compilation.kernels):
        return  # nothing to do for it here
    results = program.run(changed)
    assert program.is_close(results) if name in REORDERING else program.is_same(results)


@pytest.mark.parametrize("target", ["x86-64-v2", "x86-64-v3"])
def test_older_processors_compute_the_same(program: Program, target: str) -> None:
    if not named(target).is_host:
        pytest.skip(f"this machine does not run {target}")
    assert program.is_close(program.run(program.on(target)))


def test_every_operation_says_where_it_comes_from(program: Program) -> None:
    stages = (Stage.TENSOR, Stage.ADJOINT, Stage.OPTIMIZED, Stage.KERNEL, Stage.LOOP)
    for stage in stages:
        text = program.compilation.ir(stage, locations=True)
        module = parse_module(text)
        assert print_module(module, locations=True) == text
        for op in module.walk():
            if not isinstance(op, Module | structure.Func):  # which several places may share
                assert op.location.span is not None, (stage, op)
                assert op.location.producer or stage is not Stage.LOOP, op


def test_assembly_for_aarch64(program: Program) -> None:
    text = program.on("aarch64").ir(Stage.ASM)
    assert "fmla" in text or "fmul" in text
    assert "xmm" not in text
