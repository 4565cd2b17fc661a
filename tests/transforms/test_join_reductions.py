"""Sums of what is computed point by point are computed in the same pass over memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import dmc
from dmc.api.function import Function
from dmc.dialects import func, kernel
from dmc.ir import Module, VerifyError, verify
from dmc.ir.passes import PassManager
from dmc.jit.target import Target, host, named
from dmc.transforms import pipeline
from dmc.transforms.join_reductions import JoinReductions
from tests.growth.measure import compiled
from tests.lowering.native import check, compile_native

PROGRAM = dmc.loads("""
fn chain[N](x: f32[N], a: f32, b: f32) -> f32 = sum(tanh(a * x + b) * x + exp(x))
fn along[N, M](x: f64[N, M]) -> (f64[N, M], f64[N]) {
    let e = exp(x)
    (e, sum[1](e))
}
fn across[N, M](x: f64[N, M]) -> (f64[N, M], f64[M], f64[M]) {
    let e = exp(x)
    (e, sum[0](e), sum[0](e * x))
}
fn all[N, M](x: f64[N, M]) -> (f64[N, M], f64) {
    let e = exp(x)
    (e, sum(e))
}
fn part[N](x: f64[N]) -> (f64[N], f64) {
    let e = exp(x)
    (e, sum(e[:3]))
}
fn largest[N, M](x: f64[N, M]) -> (f64[N, M], f64[N]) {
    let e = tanh(x) * x
    (e, max[1](e))
}
""")
TARGETS = [t for t in (host(), named("x86-64-v3"), named("x86-64-v2")) if t.is_host]
SHAPES = [(0, 3), (2, 0), (1, 7), (7, 1), (3, 70), (70, 3), (33, 17), (2, 150), (64, 32)]


def generics(module: Module) -> list[kernel.Generic]:
    return [op for op in module.walk() if isinstance(op, kernel.Generic)]


def kernels(function: Function, *arguments: Any, without: Sequence[str] = ()) -> Module:
    """A function at the kernel level, before its memory is planned, as `main`."""
    module = function.specialize(*arguments).compilation.expanded.copy()
    passes = pipeline.optimize() + pipeline.to_kernels({"plan-memory", *without})
    PassManager(passes).run(module)
    (entry,) = func.functions(module)
    entry.attributes["sym_name"] = "main"
    return module


@pytest.mark.parametrize("n", [*range(2, 12), 31, 32, 33, 63, 64, 70, 5000])
def test_the_gradient_of_a_chain_is_one_pass(n: int) -> None:
    """However long it is, nothing is kept but the results."""
    x = np.linspace(-1, 1, n, dtype=np.float32)
    arguments = (x, np.float32(0.7), np.float32(0.2))
    f = dmc.value_and_grad(PROGRAM.chain, wrt=("x", "a", "b"))
    compilation = compiled(f, arguments)
    (op,) = generics(compilation.kernels)
    assert len(op.reduced) == 3
    assert len(op.stored) == 1
    assert compilation.loops.arena_bytes == 0
    value, (x_bar, a_bar, b_bar) = f(*arguments)
    z = x.astype(np.float64)
    t = np.tanh(0.7 * z + 0.2)
    slope = (1 - t * t) * z
    np.testing.assert_allclose(value, (t * z + np.exp(z)).sum(), rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(x_bar, 0.7 * slope + t + np.exp(z), rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(a_bar, (slope * z).sum(), rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(b_bar, slope.sum(), rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("target", TARGETS, ids=[t.cpu for t in TARGETS])
@pytest.mark.parametrize("name", ["along", "across", "all", "largest"])
def test_schedules(name: str, target: Target) -> None:
    """Sums along the lanes and of outputs in lanes, of rows too short for a vector."""
    for shape in SHAPES:
        x = np.random.default_rng(0).normal(size=shape)
        if name == "largest" and 0 in shape:
            continue  # which has none
        module = kernels(getattr(PROGRAM, name), x)
        if min(shape) > 1:
            assert [len(op.stored) for op in generics(module)] == [1]
        check(module, [x], target, rtol=1e-12)


@pytest.mark.parametrize("n", range(71))
def test_sizes(n: int) -> None:
    x = np.random.default_rng(n).normal(size=(1, n))
    check(kernels(PROGRAM.all, x), [x], rtol=1e-12, plans=[True])


@pytest.mark.parametrize("name", ["along", "across", "all"])
@pytest.mark.parametrize("shape", [(37, 45), (3, 5000), (5000, 3), (400, 500)])
def test_the_bits_of_sums_stay(name: str, shape: tuple[int, int]) -> None:
    x = np.random.default_rng(1).normal(size=shape)
    function = getattr(PROGRAM, name)
    together, apart = (
        compile_native(kernels(function, x, without=without), planned=True)(x)
        for without in ((), (JoinReductions.name,))
    )
    assert [a.tobytes() for a in together] == [a.tobytes() for a in apart]


def test_sums_of_nothing_in_two_dimensions() -> None:
    program = dmc.loads("""
fn none[N, M](x: f64[M, N]) -> f64 {
    var table: i64[N, M - 1] = i64(zeros[N, M - 1])
    for t in 0..N { table[1] = i64(ones[M - 1]) }
    sum(f64(table))
}
""")
    assert program.none(np.ones((1, 2))) == 0.0


def test_a_sum_of_a_part_stays_apart() -> None:
    x = np.random.default_rng(0).normal(size=20)
    e, total = PROGRAM.part(x)
    np.testing.assert_allclose(e, np.exp(x), rtol=1e-13)
    np.testing.assert_allclose(total, np.exp(x[:3]).sum(), rtol=1e-13)


def refused(change: Callable[[kernel.Generic], object]) -> None:
    module = kernels(PROGRAM.along, np.ones((3, 5)))
    (op,) = generics(module)
    change(op)
    with pytest.raises(VerifyError):
        verify(module)


def test_what_is_stored_is_stored_at_every_point() -> None:
    def shifted(op: kernel.Generic) -> None:
        maps = list(op.maps.items)
        maps[-1] = maps[-2]
        op.attributes["maps"] = type(op.maps)(tuple(maps))

    refused(shifted)


TRANSPOSED = """
fn f[B, N](x: f64[N, B, 2], w: f64[B, N, 2]) -> (f64, f64[N, B, 2]) {
    let d = ([b, n, k] => x[n, b, k]) - w
    (sum(d * d), [n, b, k] => 2.0 * d[b, n, k])
}
"""


@pytest.mark.parametrize("shape", [(3, 3), (8, 8), (37, 5)])
def test_what_is_stored_across_the_sum_is_not_joined(shape: tuple[int, int]) -> None:
    b, n = shape
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((n, b, 2)), rng.standard_normal((b, n, 2))
    total, twice = dmc.loads(TRANSPOSED).f(x, w)
    off = x - w.transpose(1, 0, 2)
    np.testing.assert_allclose(total, np.sum(off * off), rtol=1e-13)
    np.testing.assert_array_equal(twice, 2.0 * off)
