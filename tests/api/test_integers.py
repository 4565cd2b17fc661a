"""Integers: their powers, and numbers that do not fit."""

import time
from typing import Any

import numpy as np
import pytest

import dmc
from dmc.diagnostics.errors import Error

program = dmc.loads("""
fn power(x: i64, n: i64) -> i64 = x ** n
fn narrow(x: i32, n: i64) -> i32 = x ** n
fn wide(x: i64, n: i32) -> i64 = x ** n
fn ninth(x: i64) -> i64 = x ** 9
fn fortieth(x: i64) -> i64 = x ** 40
fn twos(n: i32) -> i32 = 2 ** n
fn halves(n: i64) -> f64 = 0.5 ** n
fn powers[N](x: i64[N]) -> i64[N] = [i in 0..N] => x[i] ** i
fn each[N](x: i64[N], n: i64[N]) -> i64[N] = x ** n
fn total[N](x: i64[N]) -> i64 = sum[i in 0..N](x[i] ** 3 + 2 ** i)
fn float(x: f64, n: i64) -> f64 = x ** n
""")


def wrapped(number: int, bits: int = 64) -> int:
    half = 1 << (bits - 1)
    return (number + half) % (1 << bits) - half


@pytest.mark.parametrize(
    ("x", "n"),
    [(3, 5), (-3, 3), (2, 0), (0, 0), (0, 7), (7, 22), (2, 62), (2, 63), (2, 64), (3, 41), (-1, 99),
     (10, 30), (5, 2**40 + 3)],
)  # fmt: skip
def test_powers_are_exact_and_wrap_around(x: int, n: int) -> None:
    assert program.power(x, n) == wrapped(pow(x, n, 1 << 64))
    assert program.narrow(x, n) == wrapped(pow(x, n, 1 << 64), 32)
    if n < 1 << 31:
        assert program.wide(x, n) == wrapped(pow(x, n, 1 << 64))


@pytest.mark.parametrize(
    ("x", "n", "wanted"),
    [(1, -5, 1), (-1, -5, -1), (-1, -4, 1), (2, -1, 0), (-7, -3, 0), (0, -1, 0)],
)
def test_powers_below_zero(x: int, n: int, wanted: int) -> None:
    assert program.power(x, n) == wanted
    assert program.each(np.array([x]), np.array([n])) == [wanted]


def test_powers_with_parts_known_early() -> None:
    assert program.ninth(2) == 512
    assert program.fortieth(3) == wrapped(3**40)
    assert program.twos(5) == 32
    assert program.halves(3) == 0.125
    assert program.float(-3.0, 3) == -27.0
    np.testing.assert_array_equal(program.powers(np.full(9, 3)), 3 ** np.arange(9))
    np.testing.assert_array_equal(
        program.each(np.arange(1, 9), np.arange(8)), np.arange(1, 9) ** np.arange(8)
    )
    assert program.total(np.arange(4)) == 36 + 15


def value(source: str, *arguments: Any) -> Any:
    return dmc.loads(source + "\n").f(*arguments)


FITTING = {
    "fn f() -> i32 = -2_147_483_648": -(2**31),
    "fn f() -> i64 = -9_223_372_036_854_775_808": -(2**63),
    "fn f() -> i64 = 2 ** 63 - 1": 2**63 - 1,
    "fn f() -> i64 = 2 ** 62 + (-1) ** 100_000_001 + 0 ** 100_000_000": 2**62 - 1,
    "fn f() -> f64 = 3_000_000_000": 3e9,
    "fn f() -> f64 = 2 ** -2": 0.25,
    "fn f() -> i32 = i32(3e9)": 2**31 - 1,
    "fn f() -> i64 = i64(inf)": 2**63 - 1,
    "fn f() -> i32 = i32(-2_147_483_648)": -(2**31),
    "fn f() -> f32 = f32(-inf)": -np.inf,
    "fn f() -> f32 = f32(1e-300)": 0.0,
}

TOO_LARGE = {
    "fn f() -> i32 = 3_000_000_000": "`3_000_000_000` does not fit i32",
    "fn f() -> i32 = -2_147_483_649": "`-2_147_483_649` does not fit i32",
    "fn f() -> i64 = 9_223_372_036_854_775_808": "does not fit i64",
    "fn f() -> f32 = 1e39": "`1e39` does not fit f32",
    "fn f() -> bool = 3 < 9_223_372_036_854_775_808": "does not fit i64",
    "let big = 3_000_000_000\n\nfn f() -> i32 = big": "`3_000_000_000` does not fit i32",
    "fn f() -> i64 = 10_000_000_000 * 10_000_000_000": "`10_000_000_000 .* does not fit i64",
    "fn f() -> i64 = 9_223_372_036_854_775_807 + 1": "775_807 . 1` does not fit i64",
    "fn f() -> i64 = 2 ** 64": "`2 .. 64` does not fit i64",
    "fn f() -> i64 = 10 ** 100_000_000": "`10 .. 100_000_000` does not fit i64",
    "fn f() -> i32 = i32(2_147_483_648)": "`2_147_483_648` does not fit i32",
    "let big = 3_000_000_000\n\nfn f() -> i32 = i32(-big)": "`-big` does not fit i32",
    "fn f() -> i32 = i32(2 ** 31)": "`2 .. 31` does not fit i32",
    "fn f() -> f32 = f32(1e300)": "`1e300` does not fit f32",
    "fn f() -> f16 = f16(70_000)": "`70_000` does not fit f16",
    "fn f() -> f32 = f32(-10.0 ** 300)": "`-10.0 .. 300` does not fit f32",
}


@pytest.mark.parametrize(("source", "wanted"), FITTING.items())
def test_numbers_that_fit(source: str, wanted: float) -> None:
    assert value(source) == wanted


@pytest.mark.parametrize(("source", "message"), TOO_LARGE.items())
def test_numbers_that_do_not_fit(source: str, message: str) -> None:
    start = time.process_time()
    with pytest.raises(Error, match=message) as caught:
        value(source)
    assert time.process_time() - start < 10
    (found,) = caught.value.diagnostics
    assert found.code == "value.range"


def test_numbers_that_do_not_fit_the_type_of_an_argument() -> None:
    with pytest.raises(dmc.Error, match="`3_000_000_000` does not fit i32"):
        value("fn f(x: i32) -> bool = x < 3_000_000_000", 1)
    generic = "fn f[F: float](x: F) -> F = x * 1e300"
    assert value(generic, np.float64(2)) == 2e300
    with pytest.raises(dmc.Error, match="does not fit f32"):
        value(generic, np.float32(2))
    with pytest.raises(dmc.Error, match=r"`N \*\* 70` does not fit i64"):
        value("fn f[N](x: f64[N]) -> i64 = N ** 70", np.zeros(3))


@pytest.mark.parametrize("base", ["2", "x"])
def test_a_power_below_zero_that_is_written_is_refused(base: str) -> None:
    with pytest.raises(dmc.DTypeError, match="a power below 0 of i64 is no whole number"):
        value(f"fn f(x: i64) -> i64 = {base} ** -2", 3)
