"""Gradients of programs written by their subscripts cost what the programs state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dmc
from dmc.dialects import arith
from dmc.dialects.elementwise import splat_of
from dmc.driver import Compilation
from dmc.ir import DType, TensorType
from dmc.lowering.to_loops import LoopProgram
from tests.growth.measure import compiled, cost_of, measure, operations, slope

RNG = np.random.default_rng(0)


def u(*shape: int) -> Any:
    return RNG.uniform(0.3, 1.2, shape)


@dataclass(frozen=True)
class Growth:
    """Arguments at a size, and the exponents with which operations and memory may grow."""

    arguments: Callable[[int], Sequence[Any]]
    operations: float
    memory: float
    times: float = 8.0
    """The arena takes at most so many times the bytes of the arguments and a page."""


PROGRAMS = {
    "conv": Growth(lambda n: [u(n, n, 2), u(3, 3, 2, 3)], 2, 2),
    "edges": Growth(lambda n: [u(n, n, 4), u(3, 3, 4, 8)], 2, 2),
    "heat": Growth(lambda n: [u(n, n)], 2, 2),
    "attention": Growth(lambda n: [u(n, 4), u(n, 4), u(n, 4)], 2, 2, 128),
    "lagged": Growth(lambda n: [u(n)], 1, 1),
    "windows": Growth(lambda n: [u(n), u(8)], 1, 1),
    "periodic": Growth(lambda n: [u(n)], 1, 1),
    "upsampled": Growth(lambda n: [u(n)], 1, 1),
    "pairs": Growth(lambda n: [u(n)], 2, 1),
    "triangle": Growth(lambda n: [u(n, n), u(n)], 2, 1),
    "kmeans": Growth(lambda n: [u(n, 2), u(4, 2)], 1, 1, 16),
    "mixture": Growth(lambda n: [u(4, 3), u(4, 6), u(n, 3)], 1, 1, 32),
}


@pytest.fixture(scope="module")
def program() -> dmc.Module:
    return dmc.load(Path(__file__).parent / "structure.dm")


def gradient(program: dmc.Module, name: str) -> Any:
    return dmc.value_and_grad(getattr(program, name))


@pytest.mark.parametrize("name", PROGRAMS)
def test_cost_without_tables_of_indexes(program: dmc.Module, name: str) -> None:
    growth = PROGRAMS[name]
    sizes = (64, 256) if growth.operations == 1 else (16, 64)
    function = gradient(program, name)
    small, large = (compiled(function, growth.arguments(size)) for size in sizes)
    costs = [cost_of(*pair) for pair in zip(sizes, (small, large), strict=True)]
    assert slope(sizes, [cost.operations for cost in costs]) < growth.operations + 0.15
    assert slope(sizes, [cost.arena for cost in costs]) < growth.memory + 0.15
    named = sum(np.asarray(value).nbytes for value in growth.arguments(sizes[-1]))
    assert costs[-1].arena <= growth.times * named + 4096
    assert_no_table_of_indexes(small)


def assert_no_table_of_indexes(compilation: Compilation) -> None:
    for module in (compilation.expanded, compilation.optimized, compilation.kernels):
        for op in module.walk():
            if not isinstance(op, arith.Constant):
                continue
            type_ = op.result.type
            assert isinstance(type_, TensorType)
            whole = type_.dtype in (DType.I32, DType.I64)
            assert not whole or splat_of(op.result) is not None


def test_a_band_is_linear(program: dmc.Module) -> None:
    sizes = (64, 256)
    costs = measure(program.band, lambda n: [u(n, n), u(n)], sizes)
    assert slope(sizes, [cost.operations for cost in costs]) < 1.05


BANDED = """
fn factor[N, W](a: f64[N, W]) -> f64[N, W] {
    var l: f64[N, W] = zeros
    for i in 0..N {
        for j in maximum(0, i - W + 1)..i + 1 {
            var s = a[i, i - j]
            for k in maximum(0, i - W + 1)..j {
                if j - k < W { s -= l[i, i - k] * l[j, j - k] }
            }
            if i == j { l[i, 0] = sqrt(s) } else { l[i, i - j] = s / l[j, 0] }
        }
    }
    l
}
fn loss[N, W](a: f64[N, W]) -> f64 = sum(factor(a) ** 2) + sum(log(factor(a)[:, 0]))
"""


def test_the_factor_of_a_band_is_linear() -> None:
    """Loops from `maximum(0, i - W + 1)` to `i` run W times at most, whatever N is."""
    loss = dmc.loads(BANDED).loss
    x = u(7, 3) + 3.0 * (np.arange(3) == 0)
    whole = np.diag(x[:, 0])
    for d in (1, 2):
        whole += np.diag(x[d:, d], -d) + np.diag(x[d:, d], d)
    factor = np.linalg.cholesky(whole)
    expected = np.sum(factor**2) + np.sum(np.log(np.diag(factor)))
    np.testing.assert_allclose(loss(x), expected, rtol=1e-12)
    dmc.check_grads(loss, x)
    sizes = (64, 256)
    costs = measure(dmc.value_and_grad(loss), lambda n: [u(n, 3)], sizes)
    assert slope(sizes, [cost.operations for cost in costs]) < 1.1
    assert slope(sizes, [cost.arena for cost in costs]) < 1.1


def test_clamped_windows_have_the_derivatives_of_what_they_read(program: dmc.Module) -> None:
    dmc.check_grads(program.edges, u(5, 5, 4), u(3, 3, 4, 8), wrt=("x", "k"))


CAUSAL = """
fn loss[T](q: f32[T, 64], k: f32[T, 64], v: f32[T, 64]) -> f32 {
    let s = [t, u] => if u <= t { sum[e](q[t, e] * k[u, e]) } else { -inf }
    let o = softmax[-1](s) @ v
    sum(o * o)
}
"""


def test_a_causal_mask_saves_work() -> None:
    """All products are computed in the triangle only, to whole tiles."""
    arrays = [u(256, 64).astype(np.float32) for _ in range(3)]
    texts = (CAUSAL, CAUSAL.replace("u <= t", "u <= t + T"))
    causal, full = (dmc.value_and_grad(dmc.loads(text).loss, wrt=("q", "k", "v")) for text in texts)
    counts = [operations(compiled(function, arrays).loops) for function in (causal, full)]
    assert counts[0] < 0.7 * counts[1], counts[0] / counts[1]


def test_attention_keeps_rows_of_scores() -> None:
    """Memory beside arguments and results: some tiles of rows, not the square of the length."""
    function = dmc.value_and_grad(dmc.loads(CAUSAL).loss, wrt=("q", "k", "v"))

    def program_for(length: int) -> LoopProgram:
        return compiled(function, [u(length, 64).astype(np.float32) for _ in range(3)]).loops

    small, middle, large = map(program_for, (512, 1024, 2048))
    assert slope((1024, 2048), [middle.arena_bytes, large.arena_bytes]) < 1.2
    assert large.arena_bytes < 2048**2
    assert slope((512, 1024), [operations(small), operations(middle)]) < 2.1


LAYERS = """
from nn import LayerNorm, Linear

model Attention[D, H] requires D % H == 0 {
    norm: LayerNorm[D]
    qkv: Linear[D, 3 * D]
    out: Linear[D, D]
    fn forward[B, T](x: f32[B, T, D]) -> f32[B, T, D] {
        let z = reshape[B, T, 3, H, D / H](qkv(norm(x)))
        let s = [b, h, t, u] =>
            if u <= t { sum[e](z[b, t, 0, h, e] * z[b, u, 1, h, e]) / sqrt(D / H) } else { -inf }
        let p = softmax[-1](s)
        out(reshape[B, T, D]([b, t, h, e] => sum[u](p[b, h, t, u] * z[b, u, 2, h, e])))
    }
}

model Deep[D, H, L] requires D % H == 0 { layers: L * Attention[D, H] }

fn loss[B, T](net: Deep, x: f32[B, T, net.D]) -> f32 {
    var y = x
    for layer in net.layers { y = y + layer(y) }
    mean(y * y)
}
"""


@pytest.mark.parametrize("batch", [1, 2])
def test_layers_in_a_loop_keep_no_scores(batch: int) -> None:
    """Nor do they keep the mask: the backward pass makes both again, in tiles."""
    function = dmc.value_and_grad(dmc.loads(LAYERS).loss)
    sizes = {"B": batch, "net.D": 128, "net.H": 2, "net.L": 3}
    arenas = [function.specialize(T=t, **sizes).memory().arena for t in (1024, 2048)]
    assert slope((1024, 2048), arenas) < 1.2
    assert arenas[-1] < 4 * 2048**2 * batch * sizes["net.H"]
