"""Machine code of other targets, determinism, and the memory of entry functions."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest

import dmc
from dmc.diagnostics.errors import CompilerBug
from dmc.dialects import arith, kernel, math
from dmc.driver import Compilation
from dmc.ir import AffineMap, Builder, DType, Module, TensorType, Value, tensor, verify
from dmc.jit.engine import Engine
from dmc.jit.pool import get_num_threads, set_num_threads
from dmc.jit.target import host, named
from dmc.lowering.machine import Machine
from dmc.lowering.to_llvm import lower_module
from dmc.lowering.to_llvm.lower import SMALLEST
from dmc.lowering.to_loops import lower_to_loops
from dmc.transforms.generics import Read, make_generic
from dmc.transforms.plan_memory import PlanMemory
from tests.lowering.native import compile_native, program, random

F32 = DType.F32
IDENTITY = AffineMap.identity(2)


def product(b: Builder, a: list[Value]) -> list[Value]:
    return [arith.multiply(b, a[0], a[1])]


def contraction(m: int, n: int, k: int, dtype: DType = F32) -> Module:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        reads = [
            Read(args[0], AffineMap.select(3, [0, 2])),
            Read(args[1], AffineMap.select(3, [2, 1])),
        ]
        return make_generic(
            b, (m, n, k), reads, product, [AffineMap.select(3, [0, 1])], ["add"], 1
        ).results

    return program([tensor(dtype, m, k), tensor(dtype, k, n)], write)


def everything() -> Module:
    """A map, a reduction, a contraction, a scatter, a sort and a gather."""

    def write(b: Builder, args: list[Value]) -> list[Value]:
        x, w, at = args

        def looked_up(inner: Builder, a: list[Value]) -> list[Value]:
            column = inner.insert(kernel.Index([], {"dim": 1})).output
            found = inner.insert(kernel.Load([x, a[0], column])).output
            return [math.tanh(inner, found)]

        reads = [Read(at, AffineMap.select(2, [0]))]
        mapped = make_generic(b, (7, 19), reads, looked_up, [IDENTITY]).results[0]
        reads = [Read(mapped, IDENTITY)]
        total = make_generic(
            b, (7, 19), reads, lambda _, a: a, [AffineMap.select(2, [0])], ["add"], 1
        ).results[0]
        reads = [Read(mapped, AffineMap.select(3, [0, 2])), Read(w, AffineMap.select(3, [2, 1]))]
        y = make_generic(
            b, (7, 35, 19), reads, product, [AffineMap.select(3, [0, 1])], ["add"], 1
        ).results[0]
        order = b.insert(kernel.Sort([total], {"axis": 0})).permutation
        return [y, total, order]

    return program([tensor(F32, 9, 19), tensor(F32, 19, 35), tensor(DType.I64, 7)], write)


@pytest.mark.parametrize("name", ["x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64"])
def test_every_target_gets_assembly(name: str) -> None:
    target = named(name)
    loops = lower_to_loops(everything(), "main", target.machine)
    verify(loops.module)
    lowered = lower_module(loops.module, target.machine)
    lowered.module.triple = target.triple
    assembly = Engine(target).assembly(str(lowered.module))
    fused = {"x86-64-v2": None, "aarch64": r"\bfmla\b"}.get(name, r"\bvfn?madd\w+ps\b")
    if fused is None:
        assert "vfmadd" not in assembly
        assert "ymm" not in assembly
    else:
        assert re.search(fused, assembly)
    assert ("zmm" in assembly) == (name == "x86-64-v4")


@pytest.mark.skipif(host().machine.vector_bytes < 64, reason="looks at AVX-512 code")
def test_the_micro_kernel_does_not_spill() -> None:
    target = host()
    loops = lower_to_loops(contraction(96, 128, 64), "main", target.machine)
    lowered = lower_module(loops.module, target.machine)
    lowered.module.triple = target.triple
    assembly = Engine(target).assembly(str(lowered.module))
    inner = [part for part in re.split(r"^\.LBB\w+:", assembly, flags=re.M) if "vfmadd" in part]
    hot = [re.split(r"^\s*j\w+\s", part, maxsplit=1, flags=re.M)[0] for part in inner]
    widest = max(hot, key=lambda part: part.count("vfmadd"))
    assert widest.count("vfmadd") == 24
    assert "(%rsp)" not in widest


def reduction(n: int) -> Module:
    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        reads = [Read(args[0], AffineMap.select(1, [0]))]

        def code(inner: Builder, a: list[Value]) -> list[Value]:
            return [math.exp(inner, a[0]), a[0]]

        return make_generic(
            b, (n,), reads, code, [AffineMap.select(1, [])] * 2, ["add", "add"], 1
        ).results

    return program([tensor(F32, n)], write)


def batch(count: int) -> Module:
    """Many small products: tasks of several."""

    def write(b: Builder, args: list[Value]) -> Sequence[Value]:
        reads = [
            Read(args[0], AffineMap.select(4, [0, 1, 3])),
            Read(args[1], AffineMap.select(4, [0, 3, 2])),
        ]
        writes = [AffineMap.select(4, [0, 1, 2])]
        return make_generic(b, (count, 13, 17, 9), reads, product, writes, ["add"], 1).results

    return program([tensor(F32, count, 13, 9), tensor(F32, count, 9, 17)], write)


def test_a_batch_of_small_products() -> None:
    module = batch(1000)
    arrays = [random(tensor(F32, 1000, 13, 9)), random(tensor(F32, 1000, 9, 17), 1)]
    (out,) = compile_native(module)(*arrays)
    np.testing.assert_allclose(out, arrays[0] @ arrays[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "module",
    [batch(1000), contraction(130, 200, 300), reduction(300_001), contraction(64, 64, 5000)],
    ids=["batch", "contraction", "reduction", "long sum"],
)
def test_results_do_not_depend_on_the_number_of_threads(module: Module) -> None:
    compiled = compile_native(module)
    types = [v.type for v in module.lookup("main").regions[0].block.args]
    arrays = [random(t, i) for i, t in enumerate(types) if isinstance(t, TensorType)]
    before = get_num_threads()
    try:
        outputs: list[list[bytes]] = []
        for threads in (1, 2, 3):
            set_num_threads(threads)
            outputs += [[a.tobytes() for a in compiled(*arrays)] for _ in range(3)]
    finally:
        set_num_threads(before)
    assert all(output == outputs[0] for output in outputs)
    assert any(op.name == "loop.parallel" for op in compiled.loops.module.walk())


def test_equal_kernels_share_a_function() -> None:
    def write(b: Builder, args: list[Value]) -> list[Value]:
        def twice(x: Value, y: Value, factor: float) -> Value:
            def code(inner: Builder, a: list[Value]) -> list[Value]:
                half = arith.scalar(inner, factor, F32)
                return [arith.multiply(inner, arith.add(inner, a[0], a[1]), half)]

            return make_generic(
                b, (4, 5), [Read(x, IDENTITY), Read(y, IDENTITY)], code, [IDENTITY]
            ).results[0]

        x, y = args
        first = twice(x, y, 0.5)
        return [twice(twice(first, x, 0.5), y, 0.5), twice(first, x, -0.5)]

    module = program([tensor(F32, 4, 5)] * 2, write)
    PlanMemory().run(module)
    loops = lower_to_loops(module, "main", host().machine).module
    assert sum(op.name == "loop.func" for op in loops.body) == 3
    assert sum(op.name == "loop.call" for op in loops.walk()) == 4


def test_numbers_that_are_computed_once_call_elementary_functions() -> None:
    """LLVM takes more than its share of time for one block of very many instructions."""

    def chain(length: int) -> str:
        def write(b: Builder, args: list[Value]) -> list[Value]:
            x = args[0]
            for _ in range(length):
                x = math.tanh(b, x)
            return [x]

        machine = host().machine
        loops = lower_to_loops(program([tensor(F32)], write), "main", machine)
        return str(lower_module(loops.module, machine).module)

    short, long = chain(10), chain(50)
    assert len(re.findall(r"^define", short, re.MULTILINE)) == 2
    assert len(long.splitlines()) - len(short.splitlines()) == 40


def test_a_sine_and_a_cosine_of_one_value_are_computed_together() -> None:
    text = """
fn both[N](x: f64[N]) -> (f64[N], f64[N]) = (sin(x), cos(x))
fn sine[N](x: f64[N]) -> f64[N] = sin(x)
fn cosine[N](x: f64[N]) -> f64[N] = cos(x)
fn one(x: f64) -> (f64, f64) = (cos(x), sin(x))
"""
    m = dmc.loads(text)
    x = np.array([0.0, -0.0, 0.5, -2.0, 3e5, 1e30, np.inf, np.nan, 1e-320])
    alone = m.sine(x), m.cosine(x)
    np.testing.assert_array_equal(np.array(m.both(x)).view("i8"), np.array(alone).view("i8"))
    for at, sine, cosine in zip(x, *alone, strict=True):
        np.testing.assert_array_equal(m.one(at), (cosine, sine))
    code = m.one.specialize(1.0).ir("llvm")
    assert code.count("call {double, double}") == 1


def test_an_exponential_and_a_sigmoid_of_one_value_share_it() -> None:
    text = """
fn both[N](x: f64[N]) -> (f64[N], f64[N]) = (exp(x), sigmoid(x))
fn exponential[N](x: f64[N]) -> f64[N] = exp(x)
fn sigmoids[N](x: f64[N]) -> f64[N] = sigmoid(x)
fn one(x: f64) -> (f64, f64) = (sigmoid(x), exp(x))
"""
    m = dmc.loads(text)
    x = np.array([0.0, -0.0, 0.5, -2.0, 709.0, 800.0, -740.0, np.inf, -np.inf, np.nan, 1e-320])
    alone = m.exponential(x), m.sigmoids(x)
    np.testing.assert_array_equal(np.array(m.both(x)).view("i8"), np.array(alone).view("i8"))
    for at, exponential, sigmoid in zip(x, *alone, strict=True):
        np.testing.assert_array_equal(m.one(at), (sigmoid, exponential))
    code = m.one.specialize(1.0).ir("llvm")
    assert re.findall(r'call double @"dmc\.(\w+)', code) == ["exp"]


def test_tensor_operations_that_no_pass_lowered_are_a_bug() -> None:
    module = program([tensor(F32, 3)], lambda b, args: [arith.negate(b, args[0])])
    with pytest.raises(CompilerBug, match=r"arith\.negate has no form at loop level"):
        lower_to_loops(module, "main", host().machine)


def test_machines() -> None:
    assert Machine.of("x86_64", {"avx2", "fma"}).lanes(F32) == 8
    assert Machine.of("x86_64", {"avx512f", "avx512dq", "avx512vl"}).lanes(DType.F64) == 8
    assert Machine.of("aarch64", {"neon"}).lanes(F32) == 4
    assert not Machine.of("riscv64", set()).has_fma


def test_private_memory_is_counted_once_for_each_thread() -> None:
    compiled = compile_native(contraction(130, 200, 300))
    executable = compiled.executable
    assert executable.scratch_bytes % 64 == 0
    assert (
        executable.memory == executable.arena_bytes + get_num_threads() * executable.scratch_bytes
    )
    assert np.isfinite(
        compiled(*(random(tensor(F32, *s)) for s in ((130, 300), (300, 200))))[0]
    ).all()


def test_the_division_into_modules_does_not_show() -> None:
    """However many modules a program becomes, it computes the same bits."""
    source = """
fn f[N](x: f64[N], w: f64[N, N]) -> f64 {
    let a = w @ tanh(x)
    let b = sort[-1](a) + cumsum[-1](exp(a))
    sum(b * (w.T @ a)) + sum(sin(w))
}
"""
    function = dmc.value_and_grad(dmc.loads(source).f, wrt=("x", "w")).specialize(N=37)
    rng = np.random.default_rng(0)
    arguments = rng.standard_normal(37), rng.standard_normal((37, 37))
    compilation = function.compilation
    made: list[list[bytes]] = []
    for parts in (1, 2, 3, 50):
        engine = Engine(host(), parts=parts)
        program = Compilation(compilation.tensor, compilation.entry, engine=engine)
        functions = [function for _, function in program.loops.module.symbols()]
        repaid = sum(1 for function in functions for _ in function.walk()) // SMALLEST
        assert len(program.llvm.modules) == min(parts, repaid, len(functions)) > 1 or parts == 1
        made.append([np.asarray(r).tobytes() for r in program.executable(*arguments)])
    assert made[1:] == made[:-1]
