"""What Python holds are values: nobody changes them from outside."""

from __future__ import annotations

import numpy as np
import pytest

import dmc

SOURCE = """\
struct S { a: f64[3] }
fn f[N](x: f64[N]) -> f64 = sum(x ** 3)
fn g(s: S) -> f64 = sum(s.a ** 3)
fn both[N](p: (f64[N], f64), y: f64[N]) -> f64 {
    let (x, factor) = p
    sum(x ** 3) * factor + sum(y)
}
fn scaled[N](x: f64[N]) -> f64[N] = 2.0 * x
"""
program = dmc.loads(SOURCE)
SLOPE = 3 * np.arange(3.0) ** 2


def test_a_pullback_is_that_of_the_point() -> None:
    x = np.arange(3.0)
    _, pull = dmc.vjp(program.f)(x)
    x[:] = 100.0
    np.testing.assert_array_equal(pull(1.0), SLOPE)
    x = np.arange(3.0)
    _, pull = dmc.vjp(program.both)((x, 2.0), y=x)
    x[:] = 100.0
    slope, factor = pull(1.0)
    np.testing.assert_array_equal(slope, 2.0 * SLOPE)
    assert factor == 9.0


def test_a_pullback_of_what_is_donated() -> None:
    x = np.arange(3.0)
    _, pull = dmc.vjp(program.scaled)(x, donate="x")
    for _ in range(2):
        np.testing.assert_array_equal(pull(np.ones(3)), [2.0, 2.0, 2.0])
    with pytest.raises(dmc.CallError, match="x was donated"):
        program.f(x)


def test_a_direction_is_that_given() -> None:
    x, along = np.arange(3.0), np.ones(3)
    forward, product = dmc.jvp(program.f, along), dmc.hvp(program.f, along)
    along[:] = 100.0
    assert forward(x)[1] == SLOPE.sum()
    np.testing.assert_array_equal(product(x), 6.0 * x)


def test_a_record_does_not_change_with_what_it_was_built_from() -> None:
    x = np.arange(3.0)
    s = program.S(a=x)
    _, pull = dmc.vjp(program.g)(s)
    x[:] = 100.0
    assert program.g(s) == 9.0
    np.testing.assert_array_equal(pull(1.0).a, SLOPE)
    assert program.g(s.replace(a=2.0 * s.a)) == 72.0


def test_fields_cannot_be_written_to() -> None:
    for s in (program.S(a=np.ones(3)), dmc.grad(program.g)(program.S(a=np.ones(3)))):
        with pytest.raises(ValueError, match="read-only"):
            s.a[0] = 2.0
