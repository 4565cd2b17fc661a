"""Arguments that are indexes are checked before a function runs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dmc

program = dmc.loads("""
fn element[N](x: f64[N], k: i64) -> f64 = x[k]
fn gathered[N, K](x: f64[N], ids: i32[K]) -> f64[K] = x[ids]
fn built[N, K](x: f64[N], ids: i32[K]) -> f64[K] = [k] => x[ids[k]]
fn part[N](x: f64[N], n: i64) -> f64[2] requires N >= 2 = x[n : n + 2]
fn rows[V, D, B, T](w: f64[V, D], ids: i32[B, T + 1]) -> f64[B, T, D] = w[ids[:, :-1]]
fn picked[N, K](x: f64[N, K], y: i32[N]) -> f64[N] = pick[-1](x, y)
fn written[N](x: f64[N], k: i64) -> f64[N] {
    var y = x
    y[k] = 1.0
    y
}
fn summed[V, D, T](w: f64[V, D], ids: i32[T]) -> f64[D] {
    var s: f64[D] = zeros
    for i in ids { s += w[i] }
    s
}
fn guarded[N, K](x: f64[N], ids: i32[K]) -> f64[K] =
    [k] => if ids[k] < N and ids[k] >= 0 { x[ids[k]] } else { 0.0 }
fn masked[N, K](x: f64[N], ids: i32[K]) -> f64 =
    sum[k](if ids[k] >= 0 and ids[k] < N { x[ids[k]] ** 2 } else { 0.0 })
fn wrapped[N](x: f64[N], k: i64) -> f64 = x[k % N]
""")

x = np.arange(3.0)
w = np.arange(6.0).reshape(3, 2)


def ids(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int32)


OUTSIDE: dict[str, tuple[str, Callable[[], Any]]] = {
    "past the end": ("element: k is 3, which is outside 0..3", lambda: program.element(x, 3)),
    "negative": ("element: k is -1, which is outside 0..3", lambda: program.element(x, -1)),
    "gather": ("gathered: ids holds 5", lambda: program.gathered(x, ids(0, 5))),
    "negative gather": ("gathered: ids holds -2", lambda: program.gathered(x, ids(0, 5, -2))),
    "builder": ("built: ids holds 3", lambda: program.built(x, ids(3, 0))),
    "slice": ("part: n is 2, which is outside 0..2", lambda: program.part(x, 2)),
    "part of an array": ("rows: ids holds 3", lambda: program.rows(w, ids(0, 3, 1)[None])),
    "pick": ("picked: y holds 2", lambda: program.picked(w, ids(0, 2, 1))),
    "assignment": ("written: k is 3", lambda: program.written(x, 3)),
    "loop": ("summed: ids holds 9", lambda: program.summed(w, ids(0, 9))),
    "gradient": ("element: k is 3", lambda: dmc.grad(program.element)(x, 3)),
}


@pytest.mark.parametrize(("message", "call"), OUTSIDE.values(), ids=OUTSIDE.keys())
def test_indexes_outside(message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(dmc.IndexError) as caught:
        call()
    (problem,) = caught.value.diagnostics
    assert problem.code == "index.bounds"
    assert problem.title.startswith(message)
    assert problem.primary is not None
    assert problem.primary.span.file.name == "m.dm"


def test_indexes_inside() -> None:
    assert program.element(x, 2) == 2.0
    assert program.gathered(x, ids(2, 0)).tolist() == [2.0, 0.0]
    assert program.gathered(x, ids()).shape == (0,)
    assert program.built(x, ids(2, 0)).tolist() == [2.0, 0.0]
    assert program.part(x, 1).tolist() == [1.0, 2.0]
    assert program.picked(w, ids(0, 1, 1)).tolist() == [0.0, 3.0, 5.0]
    assert program.summed(w, ids(0, 2)).tolist() == [4.0, 6.0]


def test_what_is_not_read_may_be_anything() -> None:
    assert program.rows(w, ids(0, 2, 99)[None])[0].tolist() == [[0.0, 1.0], [4.0, 5.0]]
    assert program.guarded(x, ids(1, 99, -7)).tolist() == [1.0, 0.0, 0.0]
    assert dmc.grad(program.masked, wrt="x")(x, ids(1, 99, -7)).tolist() == [0.0, 2.0, 0.0]
    assert program.wrapped(x, 4) == 1.0
    assert program.wrapped(x, -1) == 2.0


# ---- computed at run time -----------------------------------------------------------------------

COMPUTED = """
fn gathered[N, M](x: f64[N], i: i64[M]) -> f64[M] = x[2 * i - 1]
fn written[N, M](x: f64[N], i: i64[M], v: f64[M]) -> f64[N] {
    var y = x
    for k in 0..M { y[i[k] + 1] = v[k] }
    y
}
fn summed[N, M](x: f64[N], i: i64[M]) -> f64 = sum[k](x[i[k] + 1] ** 2)
fn half[N, M](x: f64[N], i: i64[M]) -> f64[M] = [k] => if i[k] < N { x[i[k]] } else { 0.0 }
fn called[N](x: f64[N], i: i64) -> f64 = inner(x, i + 1)
fn inner[N](x: f64[N], i: i64) -> f64 = if x[0] > 0.5 { x[i] } else { 0.0 }
fn until(x: f64[5], n: i64) -> f64 {
    var i = 0
    var s = 0.0
    while i < n {
        s = s + x[i]
        i = i + 1
    }
    s
}
fn found(x: f64[5], y: f64) -> i64 {
    var i = 0
    while x[i] < y { i = i + 1 }
    i
}
fn part[N](x: f64[N], i: i64) -> f64[2] requires N >= 2 = x[i + 1 : i + 3]
fn rows[V, D, M](w: f32[V, D], i: i32[M]) -> f32[M, D] = w[i + 1]
fn steep(x: f64) -> f64 = x * x
derivative steep(x) -> y {
    jvp(dx) = 3.0 * x * dx + 0.0 * y * dx
}
fn slope[N, M](x: f64[N], i: i64[M]) -> f64[N] = grad(summed, wrt = x)(x, i)
fn ruled[N](x: f64[N], i: i64) -> f64 = steep(x[i + 1])
fn both(x: f64[5], i: i64[5]) -> bool[5] = [k in 0..5] => i[k] + 1 < 5 and x[i[k] + 1] > 1.5
fn either(x: f64[5], i: i64[5]) -> bool[5] = [k in 0..5] => i[k] > 3 or x[i[k] + 1] > 1.5
fn long(x: f64[5], y: f64) -> i64 {
    var i = 0
    while i < 5 and x[i] < y { i = i + 1 }
    i
}
fn same[N](k: i64, x: f64[N]) -> f64 = sum(x) * ones[N + 1][k + 1]
fn set[N](x: f64[N], k: i64) -> f64[N] {
    var y = x
    y[k + 1] = 3.0
    y
}
"""
computed = dmc.loads(COMPUTED)
clamped = dmc.loads(COMPUTED, checks=False)
five = np.arange(5.0)


def i64(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


TRAPPED: dict[str, tuple[int, int, Callable[[dmc.Module], Any]]] = {
    "gather": (2, 5, lambda p: p.gathered(five, i64(1, 3, 2))),
    "negative": (2, -1, lambda p: p.gathered(five, i64(1, 0, 2))),
    "assignment": (5, 7, lambda p: p.written(five, i64(1, 6), np.ones(2))),
    "sum": (8, 5, lambda p: p.summed(five, i64(*range(5)))),
    "gradient": (8, 5, lambda p: dmc.grad(p.summed)(five, i64(*range(5)))),
    "forward mode": (8, 5, lambda p: dmc.jvp(p.summed, along=five)(five, i64(*range(5)))),
    "second order": (8, 5, lambda p: dmc.jacobian(p.slope)(five, i64(4))),
    "branch": (9, -1, lambda p: p.half(five, i64(1, -1, 9))),
    "function": (11, 6, lambda p: p.called(five + 1.0, 5)),
    "while": (16, 5, lambda p: p.until(five, 7)),
    "condition": (23, 5, lambda p: p.found(five, 9.0)),
    "slice": (26, 4, lambda p: p.part(five, 3)),
    "rows": (27, 3, lambda p: p.rows(np.ones((3, 2), np.float32), np.array([1, 2], np.int32))),
    "rule": (33, 9, lambda p: dmc.grad(p.ruled)(five, 8)),
    "both sides": (34, -1, lambda p: p.both(five, i64(0, -2, 9, 1, 3))),
    "a constant": (41, 2, lambda p: p.same(1, five[:1])),
    "all there is": (44, 1, lambda p: p.set(five[:1], 0)),
    "far": (2, 2**42, lambda p: p.gathered(five, i64(2**61))),
}


@pytest.mark.parametrize(("line", "index", "call"), TRAPPED.values(), ids=TRAPPED.keys())
def test_computed_indexes_outside(line: int, index: int, call: Callable[[dmc.Module], Any]) -> None:
    with pytest.raises(dmc.IndexError, match=f"index {index} is outside 0") as caught:
        call(computed)
    label = caught.value.diagnostics[0].primary
    assert label is not None
    assert label.span.start_line == line


def test_without_checks_indexes_are_clamped() -> None:
    assert clamped.gathered(five, i64(1, 9, -3)).tolist() == [1.0, 4.0, 0.0]
    assert clamped.written(five, i64(6), np.ones(1)).tolist() == [0.0, 1.0, 2.0, 3.0, 1.0]
    assert clamped.until(five, 7) == 18.0


def test_computed_indexes_inside() -> None:
    assert computed.gathered(five, i64(1, 2)).tolist() == [1.0, 3.0]
    assert computed.written(five, i64(-1, 3), np.ones(2)).tolist() == [1.0, 1.0, 2.0, 3.0, 1.0]
    assert dmc.grad(computed.summed)(five, i64(0, 0, 3)).tolist() == [0.0, 4.0, 0.0, 0.0, 8.0]
    assert computed.until(five, 5) == 10.0
    assert computed.found(five, 3.5) == 4
    assert computed.part(five, 2).tolist() == [3.0, 4.0]
    assert dmc.grad(computed.ruled)(five, 1).tolist() == [0.0, 0.0, 6.0, 0.0, 0.0]


def test_computed_indexes_that_are_not_used() -> None:
    assert computed.half(five, i64(1, 9)).tolist() == [1.0, 0.0]
    assert computed.called(five, 99) == 0.0
    assert computed.gathered(five, i64()).shape == (0,)


def test_the_side_that_is_not_asked() -> None:
    assert computed.both(five, i64(0, -1, 9, 1, 4)).tolist() == [False, False, False, True, False]
    assert computed.either(five, i64(0, -1, 9, 1, 4)).tolist() == [False, False, True, True, True]
    assert computed.long(five, 2.5) == 3
    assert computed.long(five, 99.0) == 5
    assert not computed.long.specialize().compilation.index_uses  # the left side proves it


def test_many_threads_tell_of_the_same_index() -> None:
    many = np.zeros(100_000, np.int64) + 1
    many[[777, 50_000, 99_999]] = 4, 6, 5
    for _ in range(3):
        with pytest.raises(dmc.IndexError, match="index 11 is outside 0"):
            computed.gathered(five, many)
    many[50_000] = 1
    with pytest.raises(dmc.IndexError, match="index 9 is outside 0"):
        computed.gathered(five, many)
