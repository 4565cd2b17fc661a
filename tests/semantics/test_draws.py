"""Draws under conversions, and draws of whole records."""

from __future__ import annotations

import numpy as np
import pytest

from dmc.diagnostics.errors import Error
from dmc.semantics.modules import check_text
from tests.semantics.running import given, module, record, run

KEY = np.int64(7)
P = "struct P[N] {\n    w: f64[N]\n    v: f64[N]\n    b: f64\n}\n\n"


def test_a_conversion_does_not_change_what_is_drawn() -> None:
    source = (
        "fn draw(k: Key) -> f64 = normal(k)\n"
        "fn whole(k: Key) -> i32 = i32(100.0 * normal(k))\n"
        "fn digit(k: Key) -> i64 = i64(floor(10.0 * uniform(k)))\n"
        "fn share(k: Key) -> f64 = uniform(k)\n"
        "fn narrow(k: Key) -> f32 = f32(normal(k))\n"
        "fn positive(k: Key) -> bool = bool(floor(1.0 + uniform(k)))\n"
    )
    values = {
        name: run(source, name, k=KEY)[0]
        for name in ("draw", "whole", "digit", "share", "narrow", "positive")
    }
    assert values["whole"] == np.int32(100.0 * values["draw"])
    assert values["whole"].dtype == np.int32
    assert values["digit"] == np.floor(10.0 * values["share"])
    assert values["narrow"] == np.float32(values["draw"])
    assert values["positive"]


def test_a_conversion_passes_the_shape_on() -> None:
    source = (
        "fn draw(k: Key) -> f64[3] = normal(k)\n"
        "fn outer(k: Key) -> i64[3] = i64(f32(100.0 * normal(k)))\n"
        "fn inner(k: Key) -> (f64[3], i64[3]) {\n"
        "    let z = 100.0 * normal(k)\n    let n = i64(z)\n    (z, n)\n}\n"
        "fn filled() -> f32[3] = f32(2.0 * ones)\n"
        "fn added(x: i32[3], k: Key) -> i32[3] = x + i32(100.0 * normal(k))\n"
    )
    (drawn,) = run(source, "draw", k=KEY)
    np.testing.assert_array_equal(run(source, "outer", k=KEY)[0], np.int64(100.0 * drawn))
    np.testing.assert_array_equal(run(source, "inner", k=KEY)[1], np.int64(100.0 * drawn))
    np.testing.assert_array_equal(run(source, "filled")[0], np.full(3, 2, np.float32))
    (added,) = run(source, "added", x=np.ones(3, np.int32), k=KEY)
    np.testing.assert_array_equal(added, 1 + np.int32(100.0 * drawn))


def test_two_shapes_of_one_conversion_are_refused() -> None:
    with pytest.raises(Error, match=r"f64\[2\] is not converted to i64\[3\]"):
        check_text(
            "fn f(k: Key) -> (f64[2], i64[3]) {\n"
            "    let z = normal(k)\n    let n = i64(z)\n    (z, n)\n}\n"
        )


def test_every_part_of_a_record_is_drawn_from_a_key_of_its_own() -> None:
    source = (
        P + "fn f[N](p: P[N], k: Key) -> P[N] {\n    let d: P[N] = normal(k)\n    p + d\n}\n\n"
        "fn draw[N](p: P[N], k: Key) -> (P[N], f64[2]) = uniform(k)\n"
    )
    program = check_text(source)
    p = record(program, "P", w=np.zeros(4), v=np.zeros(4), b=np.zeros(()))
    w, v, b = run(program, "f", p=p, k=KEY)
    numbers = [*w, *v, float(b)]
    assert len(set(numbers)) == 9
    assert np.abs(numbers).max() < 6
    *_, second = run(program, "draw", p=p, k=KEY)
    assert second.shape == (2,)
    assert ((second > 0) & (second < 1)).all()


def test_any_record_is_drawn() -> None:
    source = (
        P + "fn noisy[M: record](m: M, k: Key) -> M {\n    let d: M = normal(k)\n    m + d\n}\n\n"
        "fn f[N](p: P[N], k: Key) -> P[N] = noisy(p, k)\n\n"
        "struct Q {\n    w: f64\n    count: i64\n}\n\n"
        "fn g(q: Q, k: Key) -> Q = noisy(q, k)\n"
    )
    program = check_text(source)
    p = record(program, "P", w=np.zeros(4), v=np.zeros(4), b=np.zeros(()))
    assert all(np.all(part != 0) for part in run(program, "f", p=p, k=KEY))
    q = record(program, "Q", w=np.zeros(()), count=np.int64(3))
    assert given(q)
    with pytest.raises(Error, match="`normal` draws floats, and Q holds i64"):
        module(program, "g", q=q, k=KEY)
