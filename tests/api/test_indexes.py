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
    with pytest.raises(dmc.IndexOutOfRange) as caught:
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
    assert program.wrapped(x, 4) == 1.0
    assert program.wrapped(x, -1) == 2.0
