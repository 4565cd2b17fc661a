"""What must not be taken for one another: elements of two widths in one place, and names."""

from __future__ import annotations

import numpy as np
import pytest

import dmc

WIDTHS = dmc.loads(
    """
fn winners[T, K](x: f64[T, K]) -> i32[T] requires K >= 1 {
    var b: i32[T] = zeros
    for t in 0..T { b[t] = argmax(x[t]) }
    b
}

fn totals[T, K](x: f64[T, K]) -> f32[T] requires K >= 1 {
    var b: f32[T] = zeros
    for t in 0..T { b[t] = f32(cumsum[0](x[t])[K - 1]) }
    b
}

fn medians[T, K](x: f32[T, K]) -> f64[T] requires K >= 1 {
    var b: f64[T] = zeros
    for t in 0..T { b[t] = f64(sort[0](x[t])[K // 2]) }
    b
}

fn best[T, K](x: f64[T, K]) -> i32[T] requires K >= 2 {
    var b: i32[T] = zeros
    for t in 0..T {
        let (_, places) = top_k[2](x[t])
        b[t] = places[1]
    }
    b
}

fn above[T, K](x: f64[T, K]) -> bool[T] requires K >= 1 {
    var b = [t in 0..T] => false
    for t in 0..T { b[t] = sum(x[t]) > 0.0 }
    b
}
"""
)


@pytest.mark.parametrize("shape", [(1, 2), (4, 3), (3, 16), (16, 5), (17, 17), (40, 3)], ids=str)
def test_arrays_of_two_element_widths_in_one_loop(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).integers(-9, 9, shape).astype(np.float64)
    np.testing.assert_array_equal(WIDTHS.winners(x), x.argmax(axis=1))
    np.testing.assert_array_equal(WIDTHS.totals(x), x.sum(axis=1))
    middle = np.sort(x, axis=1)[:, shape[1] // 2]
    np.testing.assert_array_equal(WIDTHS.medians(x.astype(np.float32)), middle)
    second = np.argsort(-x, axis=1, kind="stable")[:, 1]
    np.testing.assert_array_equal(WIDTHS.best(x), second)
    np.testing.assert_array_equal(WIDTHS.above(x), x.sum(axis=1) > 0)


NAMES = dmc.loads(
    """
fn scan(x: f64[8]) -> f64[8] = cumsum[0](x)
fn concatenate(x: f64[8]) -> f64[8] = concat[0](x[4:8], x[0:4])
fn map_8(x: f64[8]) -> f64[8] = sin(x)
fn reduce_8(x: f64[8]) -> f64[8] = x + sum(x)
fn sort_8(x: f64[8]) -> f64[8] = sort[0](x)
fn memcpy(x: f64[8]) -> f64[8] = concat[0](x, x)[1:9]
fn dmc_parallel_for(x: f64[8]) -> f64[8] = 2.0 * x
fn all_of_them(x: f64[8]) -> f64[8] = map_8(scan(sort_8(reduce_8(concatenate(memcpy(x))))))

model kernel {
    param w: f64[8] = zeros
    fn scan(x: f64[8]) -> f64[8] = cumsum[0](x + w)
}

fn picked[A, B, C, D](a: f64[A], b: f64[B], c: f64[C], d: f64[D], i: i64, ids: i64[2]) -> f64 =
    a[i] ** 2 + b[i] ** 2 + c[i] ** 2 + sum(d[ids] ** 2)
"""
)


def rolled(x: np.ndarray) -> np.ndarray:
    return np.roll(x, -1)


def test_functions_may_be_called_as_kernels_and_library_functions_are() -> None:
    x = np.random.default_rng(0).random(8)
    meant = {
        "scan": np.cumsum,
        "concatenate": lambda x: np.concatenate([x[4:], x[:4]]),
        "map_8": np.sin,
        "reduce_8": lambda x: x + x.sum(),
        "sort_8": np.sort,
        "memcpy": rolled,
        "dmc_parallel_for": lambda x: 2 * x,
    }
    for name, function in meant.items():
        np.testing.assert_allclose(getattr(NAMES, name)(x), function(x), rtol=1e-12, err_msg=name)
    y = x
    for name in ("memcpy", "concatenate", "reduce_8", "sort_8", "scan", "map_8"):
        y = meant[name](y)
    np.testing.assert_allclose(NAMES.all_of_them(x), y, rtol=1e-12)
    named = NAMES.kernel.init(dmc.key(0))
    np.testing.assert_allclose(named.scan(x), np.cumsum(x), rtol=1e-12)


def test_numbers_of_kernels_are_not_taken_for_sizes() -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.random(n) for n in (3, 4, 5, 6)]
    ids = np.array([1, 2])
    slopes = dmc.grad(NAMES.picked, wrt=("a", "b", "c", "d"))(*arrays, 1, ids)
    for slope, x, at in zip(slopes, arrays, ([1], [1], [1], [1, 2]), strict=True):
        wanted = np.zeros_like(x)
        wanted[at] = 2 * x[at]
        np.testing.assert_allclose(slope, wanted, rtol=1e-12)
