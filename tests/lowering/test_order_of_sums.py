"""Sums of floats: their error does not grow with their length, nor their order with what is fused.

The order follows from the sizes of what is summed, its element type and the target.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

import dmc
from dmc.driver import Compilation
from dmc.ir import Array
from dmc.jit.engine import Engine
from dmc.jit.target import Target, host, named
from dmc.lowering.schedules import reduction_plan

Floats = npt.NDArray[np.floating]
EPSILON = float(np.finfo(np.float32).eps)


def drawn(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).uniform(0.5, 1.5, shape).astype(np.float32)


# Length

sums = dmc.loads("""
fn gram[K, N, M](a: f32[K, N], b: f32[K, M]) -> f32[N, M] = a.T @ b
fn across[N, M](x: f32[N, M]) -> f32[M] = sum[0](x)
fn along[N, M](x: f32[N, M]) -> f32[N] = sum[1](x)
fn all[N, M](x: f32[N, M]) -> f32 = sum(x)
fn dot[N](x: f32[N], y: f32[N]) -> f32 = x @ y
fn rows[N, M](x: f32[N, M], y: f32[N]) -> f32[M] = x.T @ y
fn bias[N, M](b: f32[M], x: f32[N, M]) -> f32 = sum(x * (x + b))
""")


@pytest.mark.parametrize("k", [2049, 131_073, 400_001])
def test_long_contractions(k: int) -> None:
    a, b = drawn(k, 16), drawn(k, 20, seed=1)
    wanted = a.astype(np.float64).T @ b.astype(np.float64)
    np.testing.assert_allclose(sums.gram(a, b), wanted, rtol=20 * EPSILON)


@pytest.mark.parametrize("shape", [(1_000_000, 1), (1_000_000, 2), (300_000, 33), (3, 2_000_000)])
def test_long_sums(shape: tuple[int, int]) -> None:
    x = drawn(*shape)
    wide = x.astype(np.float64)
    for f, axis in ((sums.across, 0), (sums.along, 1), (sums.all, None)):
        np.testing.assert_allclose(f(x), wide.sum(axis), rtol=20 * EPSILON)
    y = drawn(shape[0], seed=1)
    np.testing.assert_allclose(sums.rows(x, y), wide.T @ y.astype(np.float64), rtol=20 * EPSILON)
    gradient = dmc.grad(sums.bias)(np.zeros(shape[1], np.float32), x)
    np.testing.assert_allclose(gradient, wide.sum(0), rtol=20 * EPSILON)


@pytest.mark.parametrize("value", [0.1, 0.3, 1e-3])
def test_sums_of_equal_numbers(value: float) -> None:
    """Each of them rounds the same way."""
    x = np.full((2, 1_000_003), value, np.float32)
    wanted = 1_000_003 * float(x[0, 0])
    for found in (sums.along(x), sums.across(np.ascontiguousarray(x.T)), sums.all(x) / 2):
        np.testing.assert_allclose(found, wanted, rtol=8 * EPSILON)


def test_a_sum_of_ones_is_exact() -> None:
    """Beyond 2^24 one accumulator would stay where it is."""
    x = np.ones((17_000_000, 1), np.float32)
    assert sums.across(x).tolist() == [17_000_000.0]
    assert sums.dot(x[:, 0], x[:, 0]) == 17_000_000.0


def test_one_accumulator_would_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from dmc.lowering.schedules import reduction

    monkeypatch.setattr(reduction, "MOST_TERMS", 1 << 40)
    x = np.full((1_000_001, 2), 1.1, np.float32)
    program = dmc.loads("fn f[N, M](x: f32[N, M]) -> f32[M] = sum[0](x)")
    error = program.f(x) / x.sum(0, np.float64) - 1
    assert abs(error).max() > 20 * EPSILON


def test_long_sums_around_a_window() -> None:
    """The cotangent of a kernel is summed over images, rows and columns."""
    program = dmc.loads("""
fn loss[B, H, W, I, O](k: f32[3, 3, I, O], x: f32[B, H, W, I], y: f32[B, H - 2, W - 2, O]) -> f32 {
    let z = [n, r in 0..H - 2, c in 0..W - 2, o] =>
        sum[i, j, q](x[n, r + i, c + j, q] * k[i, j, q, o])
    sum(z * y)
}
""")
    x, y = np.full((300, 34, 10, 8), 1.1, np.float32), np.full((300, 32, 8, 8), 0.9, np.float32)
    gradient = dmc.grad(program.loss)(np.zeros((3, 3, 8, 8), np.float32), x, y)
    wanted = 300 * 32 * 8 * float(np.float32(1.1)) * float(np.float32(0.9))
    np.testing.assert_allclose(gradient, wanted, rtol=40 * EPSILON)


# Fusion: every sum is compared with that of a matrix in memory that holds the same elements.

MADE = {
    "made": ("x: F[N, M]", "exp(0.1 * x) - 1.0"),
    "by_row": ("x: F[N, M], r: F[M]", "x + r"),
    "by_column": ("x: F[N, M], c: F[N]", "x + c[:, _]"),
    "outer": ("c: F[N], r: F[M]", "[i, j] => c[i] + r[j]"),
    "indexed": ("x: F[N, M]", "[i, j] => x[i, j] / (1.0 + F(i) + 2.0 * F(j))"),
    "reversed": ("x: F[N, M]", "[i in 0..N, j in 0..M] => x[N - 1 - i, M - 1 - j]"),
    "gathered": ("x: F[N, M], t: i32[N, M]", "[i, j] => x[t[i, j], j]"),
}
SUMS = {
    "across": ("F[M]", "sum[0](a)"),
    "along": ("F[N]", "sum[1](a)"),
    "all": ("F", "sum(a)"),
    "squares": ("F", "sum(a * a)"),
    "together": ("(F[M], F[M])", "(sum[0](a), sum[0](a + 1.0))"),
}
SHAPES = [(70_001, 1), (5001, 3), (257, 65), (300, 40)]
CASES = [
    *(("f32", shape, host()) for shape in SHAPES),
    ("f64", (5001, 3), host()),
    *(("f32", shape, named("x86-64-v2")) for shape in ((300, 40),)),
]
"""The last ones without masked memory."""


@cache
def fused(dtype: str) -> dmc.Module:
    """Each way to make a matrix, each sum of one in memory, and each sum of each of them."""
    lines = [
        f"fn {name}[N, M](a: F[N, M]) -> {type_} = {code}" for name, (type_, code) in SUMS.items()
    ]
    for made, (parameters, code) in MADE.items():
        arguments = ", ".join(re.findall(r"(\w+):", parameters))
        lines.append(f"fn {made}[N, M]({parameters}) -> F[N, M] = {code}")
        for name, (type_, of_a) in SUMS.items():
            body = f"{{\n    let a = {made}({arguments})\n    {of_a}\n}}"
            lines.append(f"fn {name}_{made}[N, M]({parameters}) -> {type_} {body}")
    return dmc.loads(re.sub(r"\bF\b", dtype, "\n".join(lines)))


def matrices(dtype: str, shape: tuple[int, int]) -> dict[str, Array]:
    """The arguments of the functions of `MADE`, by name."""
    n, m = shape
    sizes = {"x": (n, m), "r": (m,), "c": (n,), "y": (m, n)}
    arrays = {name: drawn(*size, seed=i) for i, (name, size) in enumerate(sizes.items())}
    kind = np.float32 if dtype == "f32" else np.float64
    indices = np.random.default_rng(9).integers(0, n, shape, np.int32)
    return {"t": indices, **{name: array.astype(kind) for name, array in arrays.items()}}


def differing(
    dtype: str, shape: tuple[int, int], target: Target, ways: Sequence[str] = tuple(MADE)
) -> list[str]:
    """The sums that are not, in every bit, those of the matrix in memory."""
    engine, program = Engine(target), fused(dtype)
    arrays = matrices(dtype, shape)

    def run(name: str, *arguments: Array) -> list[Array]:
        compiled = getattr(program, name).specialize(N=shape[0], M=shape[1]).compilation
        executable = Compilation(compiled.tensor, compiled.entry, engine=engine).executable
        return [np.array(result) for result in executable(*arguments)]

    found: list[str] = []
    for made in ways:
        arguments = [arrays[name] for name in re.findall(r"(\w+):", MADE[made][0])]
        (matrix,) = run(made, *arguments)
        for name in SUMS:
            wanted, got = run(name, matrix), run(f"{name}_{made}", *arguments)
            if [a.tobytes() for a in got] != [a.tobytes() for a in wanted]:
                found.append(f"{name}_{made}")
    return found


@pytest.mark.parametrize(
    ("dtype", "shape", "target"), CASES, ids=[f"{d}-{n}x{m}-{t.cpu}" for d, (n, m), t in CASES]
)
def test_the_order_does_not_depend_on_what_is_fused(
    dtype: str, shape: tuple[int, int], target: Target
) -> None:
    if not target.is_host:
        pytest.skip(f"this machine does not run {target.cpu}")
    assert not differing(dtype, shape, target)


def test_an_order_of_what_is_fused_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planned from the fused body, some of these sums differ."""
    monkeypatch.setattr(reduction_plan, "_plain", lambda nest: nest)
    assert differing("f32", (257, 65), host(), ["outer"])


@pytest.mark.parametrize("shape", [(5001, 3), (257, 65), (100_000, 2)])
def test_the_order_does_not_depend_on_threads(shape: tuple[int, int]) -> None:
    arrays = matrices("f32", shape)
    before = dmc.get_num_threads()
    results: list[list[bytes]] = []
    try:
        for threads in (1, 2, 3):
            dmc.set_num_threads(threads)
            results.append(
                [
                    getattr(fused("f32"), name)(arrays["x"]).tobytes()
                    for name in ("across", "along", "all")
                ]
            )
    finally:
        dmc.set_num_threads(before)
    assert results[0] == results[1] == results[2]


# Products with a vector

products = dmc.loads("""
fn made[*S](x: f32[*S]) -> f32[*S] = exp(0.1 * x) - 1.0
fn times[N, M](x: f32[N, M], y: f32[M]) -> f32[N] = x @ y
fn times_made[N, M](x: f32[N, M], y: f32[M]) -> f32[N] = x @ made(y)
fn turned[N, M](x: f32[N, M], y: f32[N]) -> f32[M] = x.T @ y
fn turned_made[N, M](x: f32[N, M], y: f32[N]) -> f32[M] = made(x).T @ y
""")


@pytest.mark.parametrize("shape", SHAPES)
def test_products_with_a_vector(shape: tuple[int, int]) -> None:
    x, row, column = drawn(*shape), drawn(shape[1], seed=1), drawn(shape[0], seed=2)
    wanted = products.times(x, products.made(row))
    np.testing.assert_array_equal(products.times_made(x, row), wanted)
    wanted = products.turned(products.made(x), column)
    np.testing.assert_array_equal(products.turned_made(x, column), wanted)
