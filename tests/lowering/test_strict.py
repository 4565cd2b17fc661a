"""A strict program takes its sums as they are written, whatever is fused into them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import dmc
from dmc.driver import Compilation
from dmc.ir import Array
from dmc.ir.passes import PassManager
from dmc.transforms import pipeline

SOURCE = """
fn along[N, M, K](p: f32[N, M, K]) -> f32[N, M] = sum[2](p)
fn products[N, M, K](a: f32[N, K], b: f32[K, M]) -> f32[N, M, K] = [i, j, k] => a[i, k] * b[k, j]
fn product[N, M, K](a: f32[N, K], b: f32[K, M]) -> f32[N, M] = [i, j] => sum[k](a[i, k] * b[k, j])
fn all[N](x: f32[N]) -> f32 = sum(x)
fn dot[N](x: f32[N], y: f32[N]) -> f32 = sum(x * y)
fn loss[N, M, K](a: f32[N, K], b: f32[K, M], c: f32[N, M]) -> f32 {
    let d = tanh(product(a, b)) - c
    sum(d * d)
}
"""


def drawn(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def differing(strict: bool) -> list[str]:
    """The sums that are not, in every bit, those of what is in memory."""
    program = dmc.loads(SOURCE, strict=strict)
    a, b, x, y = drawn(37, 301), drawn(301, 45), drawn(1001), drawn(1002)[:1001]
    wanted = program.along(program.products(a, b))
    found = [] if np.array_equal(program.product(a, b), wanted) else ["product"]
    return found if program.dot(x, y) == program.all(x * y) else [*found, "dot"]


def test_sums_of_products_are_those_of_products_in_memory() -> None:
    assert differing(strict=True) == []
    assert differing(strict=False) == ["product", "dot"]


@pytest.mark.parametrize("name", ["fuse", "canonicalize", "plan-memory"])
def test_no_pass_changes_a_bit(name: str) -> None:
    program = dmc.loads(SOURCE, strict=True)
    arguments = [drawn(9, 130), drawn(130, 21), drawn(9, 21)]
    compilation = dmc.value_and_grad(program.loss).specialize(N=9, M=21, K=130).compilation
    module = compilation.tensor.copy()
    for stage in (pipeline.derivatives, pipeline.optimize, pipeline.to_kernels):
        PassManager(stage([*pipeline.ROUNDING, name])).run(module)
    without = Compilation(compilation.tensor, compilation.entry, strict=True)
    vars(without)["kernels"] = module
    results = [np.array(each) for each in without.executable(*arguments)]
    wanted = [np.array(each) for each in compilation.executable(*arguments)]
    assert [each.tobytes() for each in results] == [each.tobytes() for each in wanted]


def test_a_strict_program_stays_so(tmp_path: Path) -> None:
    """Also where it is unpickled, and where the cache has the program compiled the other way."""
    path = tmp_path / "sums.dm"
    path.write_text(SOURCE)
    x, y = drawn(1001), drawn(1002)[:1001]
    strict, free = dmc.load(path, strict=True), dmc.load(path)
    assert strict.dot(x, y) != free.dot(x, y)
    again = pickle.loads(pickle.dumps(strict.dot))
    assert again(x, y) == strict.dot(x, y)


def test_what_is_no_flag_is_refused() -> None:
    with pytest.raises(dmc.Error, match=r"`dmc\.loads`: `strict`"):
        dmc.loads(SOURCE, strict="yes")  # pyright: ignore[reportArgumentType]
