"""Axes without elements: nothing is read from them, and of nothing there is nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dmc

program = dmc.loads("""
fn at[N](x: f64[N], i: i64) -> f64 = x[i]
fn helped[N](x: f64[N], i: i64) -> f64 = at(x, i) + 1.0
fn guarded[N](x: f64[N], i: i64) -> f64 = if i < N { at(x, i) } else { -1.0 }
fn gathered[N, M](x: f64[N], i: i64[M]) -> f64[M] = x[i]
fn added[N, M](x: f64[N], i: i64[M]) -> f64 = sum[j in 0..M](x[i[j]])
fn rows[N, D](x: f64[N, D], i: i64) -> f64[D] = x[i]
fn written[N](x: f64[N], i: i64) -> f64[N] {
    var y = x
    y[i] = 1.0
    y
}
fn scattered[N, M](x: f64[N], i: i64[M]) -> f64[N] {
    var y = x
    y[i] += 1.0
    y
}
fn slope[N](x: f64[N], i: i64) -> f64[N] = grad(at)(x, i)
fn picked[B, K](x: f64[B, K], i: i32[B]) -> f64[B] = pick[-1](x, i)
fn soft[B, K](x: f64[B, K]) -> f64[B, K] = softmax[-1](x)
fn soft_slope[B, K](x: f64[B, K]) -> f64[B, K] = grad(fn(u) => sum(softmax[-1](u)))(x)
fn top[B, K](x: f64[B, K]) -> f64[B] = max[-1](x)
fn place[B, K](x: f64[B, K]) -> i32[B] = argmax[-1](x)
""")

NONE = np.zeros(0)
INTS, ONE_INT = np.zeros(0, np.int64), np.zeros(1, np.int64)

REFUSED: dict[str, Callable[[], Any]] = {
    "element": lambda: program.at(NONE, 0),
    "in a function that is called": lambda: program.helped(NONE, 0),
    "gather": lambda: program.gathered(NONE, ONE_INT),
    "in a sum": lambda: program.added(NONE, ONE_INT),
    "row": lambda: program.rows(np.zeros((0, 3)), 0),
    "assignment": lambda: program.written(NONE, 0),
    "scatter": lambda: program.scattered(NONE, ONE_INT),
    "gradient": lambda: dmc.grad(program.at)(NONE, 0),
    "gradient inside": lambda: program.slope(NONE, 0),
    "pick": lambda: program.picked(np.zeros((2, 0)), np.zeros(2, np.int32)),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED.keys())
def test_nothing_is_read_from_an_empty_axis(call: Callable[[], Any]) -> None:
    with pytest.raises(dmc.IndexError, match="this index is outside an axis of 0"):
        call()


def test_what_does_not_run_reads_nothing() -> None:
    assert program.guarded(NONE, 0) == -1.0
    assert program.guarded(np.full(1, 3.0), 0) == 3.0
    assert program.added(NONE, INTS) == 0.0
    assert program.gathered(NONE, INTS).shape == (0,)
    assert program.scattered(NONE, INTS).shape == (0,)
    assert program.picked(np.zeros((0, 0)), np.zeros(0, np.int32)).shape == (0,)


@pytest.mark.parametrize("shape", [(2, 0), (0, 3), (0, 0)])
def test_softmax_of_nothing_is_nothing(shape: tuple[int, int]) -> None:
    assert program.soft(np.zeros(shape)).shape == shape
    assert program.soft_slope(np.zeros(shape)).shape == shape


@pytest.mark.parametrize("name", ["top", "place"])
def test_there_is_no_largest_of_nothing(name: str) -> None:
    function = getattr(program, name)
    assert function(np.zeros((0, 0))).shape == (0,)
    with pytest.raises(dmc.ShapeError, match="of no elements"):
        function(np.zeros((2, 0)))


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
@pytest.mark.parametrize("dtype", ["f64", "f32", "i64"])
def test_sums_of_nothing(shape: tuple[int, int], dtype: str) -> None:
    sums = dmc.loads(
        f"fn whole[N, M](x: {dtype}[N, M]) -> {dtype} = sum(x)\n"
        f"fn rows[N, M](x: {dtype}[N, M]) -> {dtype}[N] = sum[1](x)\n"
        f"fn columns[N, M](x: {dtype}[N, M]) -> {dtype}[M] = sum[0](x)\n"
    )
    kind = {"f64": np.float64, "f32": np.float32, "i64": np.int64}[dtype]
    x = np.zeros(shape, kind)
    assert sums.whole(x) == 0
    assert np.array_equal(sums.rows(x), x.sum(1))
    assert np.array_equal(sums.columns(x), x.sum(0))
