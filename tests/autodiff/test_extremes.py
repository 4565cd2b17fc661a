"""Derivatives at the ends of the range: what overflows inside must not show outside."""

from __future__ import annotations

import math

import numpy as np
import pytest

import dmc

DTYPES = {"f32": np.float32, "f64": np.float64}

LIMITS: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    # the slopes towards -inf and inf, the curvatures there
    "tanh": ((0, 0), (0, 0)),
    "atan": ((0, 0), (0, 0)),
    "erf": ((0, 0), (0, 0)),
    "erfc": ((0, 0), (0, 0)),
    "sigmoid": ((0, 0), (0, 0)),
    "softplus": ((0, 1), (0, 0)),
    "gelu": ((0, 1), (0, 0)),
    "silu": ((0, 1), (0, 0)),
    "abs": ((-1, 1), (0, 0)),
    "sign": ((0, 0), (0, 0)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LIMITS)
def test_slopes_and_curvatures_far_out(name: str, dtype: str) -> None:
    kind = DTYPES[dtype]
    f = dmc.loads(f"fn f[N](x: {dtype}[N]) -> {dtype} = sum({name}(x))").f
    largest = float(np.finfo(kind).max)
    x = np.array([1e19, math.sqrt(largest), 1e37, largest / 2, largest, math.inf], kind)
    for side, points in enumerate((-x, x)):
        slopes = dmc.grad(f)(points)
        curvatures = dmc.hvp(f, np.ones_like(points))(points)
        np.testing.assert_allclose(slopes, np.full_like(x, LIMITS[name][0][side]), atol=1e-37)
        np.testing.assert_allclose(curvatures, np.full_like(x, LIMITS[name][1][side]), atol=1e-37)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LIMITS)
def test_nan_stays_nan(name: str, dtype: str) -> None:
    f = dmc.loads(f"fn f(x: {dtype}) -> {dtype} = {name}(x)").f
    nan = DTYPES[dtype](math.nan)
    assert math.isnan(f(nan)) or name == "sign"


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_at_the_ends(dtype: str) -> None:
    program = dmc.loads(
        f"fn gated(x: {dtype}) -> {dtype} = gelu(x)\nfn silent(x: {dtype}) -> {dtype} = silu(x)"
    )
    kind = DTYPES[dtype]
    for f in (program.gated, program.silent):
        assert f(kind(-math.inf)) == 0
        assert f(kind(math.inf)) == math.inf
        assert f(np.finfo(kind).max) == np.finfo(kind).max


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_inverse_error_function_at_its_ends(dtype: str) -> None:
    f = dmc.loads(f"fn f[N](x: {dtype}[N]) -> {dtype} = sum(erfinv(x))").f
    slopes = dmc.grad(f)(np.array([-1, 1, -1.5, 1.5], DTYPES[dtype]))
    np.testing.assert_array_equal(slopes, [math.inf, math.inf, math.nan, math.nan])


@pytest.mark.parametrize("dtype", DTYPES)
def test_slopes_of_arctangents_where_squares_overflow(dtype: str) -> None:
    kind = DTYPES[dtype]
    f = dmc.loads(f"fn f[N](x: {dtype}[N]) -> {dtype} = sum(atan(x))").f
    x = np.array([0.0, 1e-30, 0.5, 1.0, 2.0, 1e5, 1e18], kind)
    wide = x.astype(np.longdouble)
    rtol = 4 * np.finfo(kind).eps
    np.testing.assert_allclose(dmc.grad(f)(x), (1 / (1 + wide**2)).astype(kind), rtol=rtol)
    curvature = (-2 * wide / (1 + wide**2) ** 2).astype(kind)
    found = dmc.hvp(f, np.ones_like(x))(x)
    np.testing.assert_allclose(found, curvature, rtol=4 * rtol, atol=np.finfo(kind).tiny)


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_infinite_side(dtype: str) -> None:
    kind = DTYPES[dtype]
    program = dmc.loads(
        f"fn length(x: {dtype}, y: {dtype}) -> {dtype} = hypot(x, y)\n"
        f"fn angle(x: {dtype}, y: {dtype}) -> {dtype} = atan2(x, y)"
    )
    length = dmc.grad(program.length, wrt=("x", "y"))
    angle = dmc.grad(program.angle, wrt=("x", "y"))
    for other in (0.0, 1.0, float(np.finfo(kind).max)):
        for infinite in (math.inf, -math.inf):
            sign = math.copysign(1, infinite)
            assert length(kind(infinite), kind(other)) == (sign, 0)
            assert length(kind(other), kind(infinite)) == (0, sign)
            assert angle(kind(infinite), kind(other)) == (0, 0)
            assert angle(kind(other), kind(infinite)) == (0, 0)


DIGITS: dict[str, tuple[tuple[float, ...], ...]] = {
    # a place, and of mpmath the value, the slope and the curvature there
    "asin": ((1e-9, 1e-9, 1.0, 1e-9),),
    "acos": ((-1e-9, math.pi / 2 + 1e-9, -1.0, 1e-9),),
    "gelu": (
        (-5.0, -2.291796196629506e-07, -1.5463619875325946e-06, -9.934132224996203e-06),
        (-8.0, -3.1077829375011112e-21, -4.7147845041068414e-20, -7.0458213960972915e-19),
    ),
    "erfc": ((6.0, 2.1519736712498913e-17, -2.6173012392492648e-16, 3.1407614870991178e-15),),
    "erfinv": (
        (1e-300, 8.86226925452758e-301, 0.886226925452758, 1.392081999207927e-300),
        (-0.5, -0.4769362762044699, 1.1125848189719498, -1.1807463499934),
        (0.999, 2.3267537655135246, 198.93951776442475, 184171.54985278228),
    ),
    "lgamma": (
        (-1e-30, 69.07755278982137, 1e30, 1e60),
        (-0.99999, 11.512929692950378, -99999.57718967069, 10000000002.73595),
    ),
    "digamma": ((-1e-9, 999999999.4227843, 9.999999999999999e17, 2e27),),
}


@pytest.mark.parametrize("name", DIGITS)
def test_digits_where_functions_are_small_or_have_poles(name: str) -> None:
    """Relative to what is there, in value and two derivatives."""
    f = dmc.loads(
        f"fn f[N](x: f64[N]) -> f64[N] = {name}(x)\nfn g[N](x: f64[N]) -> f64 = sum(f(x))"
    )
    x, *wanted = map(np.array, zip(*DIGITS[name], strict=True))
    np.testing.assert_allclose(f.f(x), wanted[0], rtol=4e-15)
    np.testing.assert_allclose(dmc.grad(f.g)(x), wanted[1], rtol=4e-15)
    np.testing.assert_allclose(dmc.hvp(f.g, np.ones_like(x))(x), wanted[2], rtol=1e-14)


def test_lgamma_has_derivatives_of_every_order() -> None:
    """The fifth and the sixth, which are polygammas of order 4 and 5, by mpmath."""
    f = dmc.loads("""
fn second(x: f64) -> f64 = grad(grad(lgamma))(x)
fn fourth(x: f64) -> f64 = grad(grad(second))(x)
fn sum_of_fifths[N](x: f64[N]) -> f64 = sum[n](grad(fourth)(x[n]))
""")
    x = np.array([0.25, 12.5, -2.4, 1e-9, -1e-9, np.inf, -3.0])
    fifths = [-24584.375388637935, -0.00028769142258538706, 2037.3211026197182]
    sixths = [491552.5137676813, 9.562271597107644e-05, 31893.07207851037]
    sixths += [1.2e56, 1.2e56, 0.0, np.inf]
    assert f.sum_of_fifths(x[:3]) == pytest.approx(sum(fifths), rel=1e-14)
    np.testing.assert_allclose(dmc.grad(f.sum_of_fifths)(x), sixths, rtol=1e-14)


def test_slopes_of_what_is_not_finite() -> None:
    """NaN is not taken for a bound; powers below 0 have the slopes of reciprocals everywhere."""
    f = dmc.loads("""
fn bend(x: f32) -> f32 = grad(erf)(x) + grad(erfc)(x)
fn of_silu(x: f32) -> f32 = grad(silu)(x)
fn of_gelu(x: f32) -> f32 = grad(gelu)(x)
fn eighth(x: f32) -> f32 = x ** -8
fn square(x: f32) -> f32 = x ** -2
fn of_square(x: f32) -> f32 = grad(square)(x)
fn of_eighth(x: f32) -> f32 = grad(eighth)(x)
fn all[N](x: f32[N]) -> (f32[N], f32[N], f32[N], f32[N], f32[N]) =
    ([n] => grad(bend)(x[n]), [n] => of_silu(x[n]), [n] => of_gelu(x[n]), [n] => of_square(x[n]),
     [n] => grad(of_eighth)(x[n]))
""")
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 3e38, 1e5] * 3, np.float32)
    bend, silu, gelu, square, eighth = (each.reshape(3, 7)[2] for each in f.all(x))
    np.testing.assert_array_equal(bend, [np.nan, *[0.0] * 6])
    np.testing.assert_array_equal(silu, [np.nan, 1.0, 0.0, 0.5, 0.5, 1.0, 1.0])
    np.testing.assert_array_equal(gelu, [np.nan, 1.0, 0.0, 0.5, 0.5, 1.0, 1.0])
    np.testing.assert_array_equal(square[:6], [np.nan, 0.0, 0.0, -np.inf, np.inf, 0.0])
    np.testing.assert_array_equal(eighth, [np.nan, 0.0, 0.0, np.inf, np.inf, 0.0, 0.0])
