"""Floating point at its edges: zeros and their signs, infinities, NaN, ties, the ends of the range.

The contract is docs/language/numbers.md.
"""

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest

import dmc

Floats = npt.NDArray[np.floating]
NAN, INF = math.nan, math.inf


def same_bits(got: Floats, wanted: Floats) -> None:
    """The same numbers and signs of zeros; NaN is NaN."""
    np.testing.assert_array_equal(got, wanted)
    known = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(got)[known], np.signbit(wanted)[known])


# Powers

powers = dmc.loads("""
fn power(x: f64, n: f64) -> f64 = x ** n
fn whole(x: f64, n: i64) -> f64 = x ** n
fn each[N](x: f64[N], n: f64[N]) -> f64 = sum(x ** n)
fn slope(x: f64, n: f64) -> f64 = grad(power)(x, n)
fn curvature(x: f64, n: f64) -> f64 = grad(slope)(x, n)
fn slope_in_n(x: f64, n: f64) -> f64 = grad(power, wrt = n)(x, n)
fn poly[N](x: f64, c: f64[N]) -> f64 = sum[k](c[k] * x ** f64(k))
fn hill(x: f64, n: f64) -> f64 = x ** n / (1.0 + x ** n)
fn root(x: f64) -> f64 = x ** 0.5
fn inverse_root(x: f64) -> f64 = x ** -0.5
""")

MONOMIALS = ((0, 0, 0, 0), (1, 1, 0, 0), (2, 0, 2, 0), (3, 0, 0, 6), (4, 0, 0, 0))
"""An exponent, and the first three derivatives at 0."""


@pytest.mark.parametrize(("n", "first", "second", "third"), MONOMIALS)
def test_powers_at_zero(n: int, first: float, second: float, third: float) -> None:
    for zero in (0.0, -0.0):
        for f, exponent in ((powers.power, float(n)), (powers.whole, n)):
            assert dmc.grad(f)(zero, exponent) == first
            assert dmc.jvp(f, along=1.0)(zero, exponent)[1] == first
            assert dmc.hvp(f, along=1.0)(zero, exponent) == second
        assert dmc.grad(powers.slope)(zero, float(n)) == second
        assert dmc.jvp(powers.slope, along=1.0)(zero, float(n))[1] == second
        assert dmc.grad(powers.curvature)(zero, float(n)) == third
        assert dmc.hvp(powers.slope, along=1.0)(zero, float(n)) == third


def test_powers_at_zero_element_by_element() -> None:
    n = np.arange(9.0)
    assert dmc.grad(powers.each)(np.zeros(9), n).tolist() == np.eye(9)[1].tolist()
    assert (
        dmc.hvp(powers.each, along=np.ones(9))(np.zeros(9), n).tolist()
        == (2 * np.eye(9)[2]).tolist()
    )


def test_polynomials_of_powers_at_zero() -> None:
    c = np.array([1.0, 2.0, 3.0, 4.0])
    assert dmc.grad(powers.poly)(0.0, c) == 2.0
    assert dmc.hvp(powers.poly, along=1.0)(0.0, c) == 6.0
    assert dmc.hvp(powers.hill, along=1.0)(0.0, 1.0) == -2.0


def test_derivatives_in_the_exponent() -> None:
    assert dmc.grad(powers.power, wrt="n")(0.0, 2.0) == 0.0
    assert dmc.grad(powers.slope, wrt="n")(0.0, 2.0) == 0.0
    assert dmc.grad(powers.slope_in_n)(0.0, 2.0) == 0.0
    assert powers.slope_in_n(2.0, INF) == dmc.grad(powers.slope_in_n)(2.0, INF) == INF
    x, n = 1.7, 2.3
    mixed = x ** (n - 1) * (1 + n * math.log(x))
    assert dmc.grad(powers.slope, wrt="n")(x, n) == pytest.approx(mixed, rel=1e-14)
    assert dmc.grad(powers.slope_in_n)(x, n) == pytest.approx(mixed, rel=1e-14)
    third = x ** (n - 2) * (2 * n - 1 + n * (n - 1) * math.log(x))
    assert dmc.grad(powers.curvature, wrt="n")(x, n) == pytest.approx(third, rel=1e-14)


@pytest.mark.parametrize("x", [0.0, -0.0, INF, -INF, NAN, 4.0, -4.0, 5e-324])
def test_roots_are_powers(x: float) -> None:
    with np.errstate(all="ignore"):
        for f, n in ((powers.root, 0.5), (powers.inverse_root, -0.5)):
            got, wanted = f(x), float(np.power(np.array([x, x]), np.array([n, n]))[0])
            np.testing.assert_allclose(got, wanted, rtol=1e-15)
            assert math.copysign(1.0, got) == math.copysign(1.0, wanted) or math.isnan(wanted)


# Remainders

division = dmc.loads("""
fn rest[F: float, N](x: F[N], y: F[N]) -> F[N] = x % y
fn whole[F: float, N](x: F[N], y: F[N]) -> F[N] = x // y
fn moved(x: f64, y: f64) -> f64 = x % y
""")

PAIRS = [(1.0, 0.1), (0.5, 0.1), (6.0, 0.2), (1e17, 3.0), (2.0**53 + 2, 3.0), (1.0, 1 / 3)]
PAIRS += [(5.0, INF), (-5.0, INF), (-0.0, 3.0), (6.0, -3.0), (1e308, 5e-324), (1.0, 0.0)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n", [1, 9])
def test_remainders_are_numpys(dtype: type, n: int) -> None:
    with np.errstate(all="ignore"):
        for signs in itertools.product((1.0, -1.0), repeat=2):
            for pair in PAIRS:
                x, y = (np.full(n, s * v, dtype) for s, v in zip(signs, pair, strict=True))
                for f, numpy in ((division.rest, np.remainder), (division.whole, np.floor_divide)):
                    same_bits(f(x, y), numpy(x, y))


def test_the_derivative_of_a_remainder_counts_the_divisors() -> None:
    assert dmc.grad(division.moved, wrt=("x", "y"))(1.0, 0.1) == (1.0, -9.0)
    assert dmc.grad(division.moved, wrt=("x", "y"))(5.0, INF) == (1.0, 0.0)


# Folded constants are what runs

OPERATORS = ("+", "-", "*", "/", "//", "%", "**")
FUNCTIONS = ("maximum", "minimum", "hypot", "atan2")
SPECIAL = ("0.0", "-0.0", "1.0", "-1.5", "0.1", "3.0", "inf", "-inf", "nan", "5e-324")
LARGE = {"f64": "1e308", "f32": "3e38"}


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("function", [*OPERATORS, *FUNCTIONS])
def test_constants_are_folded_as_they_run(function: str, dtype: str) -> None:
    numpy = np.dtype(dtype.replace("f", "float"))
    pairs = list(itertools.product((*SPECIAL, LARGE[dtype]), repeat=2))
    form = "({x}) {f} ({y})" if function in OPERATORS else "{f}({x}, {y})"
    lines = [f"fn run(x: {dtype}, y: {dtype}) -> {dtype} = {form.format(f=function, x='x', y='y')}"]
    folded = ", ".join(form.format(f=function, x=x, y=y) for x, y in pairs)
    lines.append(f"fn folded() -> {dtype}[{len(pairs)}] = [{folded}]")
    program = dmc.loads("\n".join(lines))
    got = program.folded()
    with np.errstate(all="ignore"):
        numbers = [(numpy.type(x), numpy.type(y)) for x, y in pairs]
    wanted = np.array([program.run(x, y) for x, y in numbers])
    rtol = 0 if function not in ("**", "hypot", "atan2") else 4 * np.finfo(numpy).eps
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=0, equal_nan=True)
    known = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(got)[known], np.signbit(wanted)[known])


signs = dmc.loads("""
fn minus(x: f64) -> f64 = 0.0 - x
fn plus(x: f64) -> f64 = x + 0.0
fn plus_first(x: f64) -> f64 = 0.0 + x
fn less(x: f64) -> f64 = x - 0.0
fn chain() -> f32 = 0.1 + 0.2 - 0.3
fn chain_run(a: f32, b: f32, c: f32) -> f32 = a + b - c
fn to_int() -> i32 = i32(1e20) + i32(nan)
fn to_int_run(a: f64, b: f64) -> i32 = i32(a) + i32(b)
""")


def test_zeros_keep_their_signs() -> None:
    for x in (0.0, -0.0):
        assert math.copysign(1.0, signs.minus(x)) == math.copysign(1.0, 0.0 - x)
        assert math.copysign(1.0, signs.plus(x)) == 1.0
        assert math.copysign(1.0, signs.plus_first(x)) == 1.0
        assert math.copysign(1.0, signs.less(x)) == math.copysign(1.0, x)


def test_constants_round_in_their_element_type() -> None:
    a, b, c = (np.float32(x) for x in (0.1, 0.2, 0.3))
    assert signs.chain() == signs.chain_run(a, b, c) == a + b - c
    assert signs.to_int() == signs.to_int_run(1e20, NAN) == 2**31 - 1


# Ties

TIES = {
    "maximum(x, 0.0)": 0.0,
    "maximum(0.0, x)": 0.0,
    "maximum(x, 0)": 0.0,
    "maximum(x, -0.0)": 0.0,
    "maximum(x, zero())": 0.0,
    "maximum(x, z)": 0.0,
    "maximum(x, z * 1.0)": 0.0,
    "minimum(x, 0.0)": 0.0,
    "minimum(x, z)": 0.0,
    "maximum(z, x)": 1.0,
    "maximum(x, x)": 1.0,
}


@pytest.mark.parametrize(("text", "slope"), TIES.items())
@pytest.mark.parametrize("x", [0.0, -0.0])
def test_one_derivative_at_ties(text: str, slope: float, x: float) -> None:
    program = dmc.loads(
        f"fn zero() -> f64 = 0.0\nfn f(x: f64, z: f64) -> f64 = {text}\n"
        f"fn each[N](x: f64[N], z: f64) -> f64 = sum[i](f(x[i], z))"
    )
    assert dmc.grad(program.f)(x, 0.0) == slope
    assert dmc.jvp(program.f, along=1.0)(x, 0.0)[1] == slope
    assert dmc.grad(program.each)(np.full(5, x), 0.0).tolist() == [slope] * 5


def test_the_first_of_equal_elements_of_a_loop() -> None:
    program = dmc.loads("""
fn fixed[N](x: f64[N]) -> f64 = max[i](x[i])
""")
    assert dmc.grad(program.fixed)(np.ones(3)).tolist() == [1.0, 0.0, 0.0]


# The ends of the range

lengths = dmc.loads("""
fn length[F: float, N](x: F[N], y: F[N]) -> F[N] = hypot(x, y)
fn lengths[F: float, N](x: F[N], y: F[N]) -> F = sum(hypot(x, y))
fn angles[F: float, N](y: F[N], x: F[N]) -> F = sum(atan2(y, x))
fn lse[N](x: f64[N]) -> f64 = logsumexp(x)
""")

SCALES = [(np.float64, s) for s in (1.0, 1e-160, 1e-200, 1e160, 1e200, 1e-300, 1e300)]
SCALES += [(np.float32, s) for s in (1.0, 1e-30, 1e30)]


@pytest.mark.parametrize("n", [1, 9])
@pytest.mark.parametrize(("dtype", "scale"), SCALES)
def test_lengths_and_angles_at_every_scale(dtype: type, scale: float, n: int) -> None:
    x, y = np.full(n, 3 * scale, dtype), np.full(n, 4 * scale, dtype)
    rtol = 4 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(lengths.length(x, y), 5 * scale, rtol)
    np.testing.assert_allclose(dmc.grad(lengths.lengths)(x, y), np.full(n, 0.6), rtol)
    np.testing.assert_allclose(dmc.grad(lengths.angles)(x, y), np.full(n, 0.16 / scale), rtol)


def test_lengths_at_the_edges() -> None:
    one = np.ones(1)
    assert lengths.length(INF * one, NAN * one)[0] == INF
    assert math.isnan(lengths.length(one, NAN * one)[0])
    assert lengths.length(5e-324 * one, 0.0 * one)[0] == 5e-324
    assert lengths.length(1e308 * one, 1.7e308 * one)[0] == INF
    assert dmc.grad(lengths.lengths, wrt=("x", "y"))(0.0 * one, 0.0 * one) == (0.0, 0.0)


def test_curvature_of_a_length() -> None:
    for scale in (1.0, 1e-100, 1e100):
        x, y = np.array([3 * scale]), np.array([4 * scale])
        curvature = dmc.hvp(lengths.lengths, along=np.ones(1))(x, y)
        np.testing.assert_allclose(curvature, [16 / 125 / scale], rtol=1e-14)


def test_logsumexp_of_infinities() -> None:
    assert lengths.lse(np.array([INF, 1.0])) == INF
    assert lengths.lse(np.array([-INF, -INF])) == -INF
    assert lengths.lse(np.array([-INF, 1.0])) == 1.0
    assert lengths.lse(np.array([1000.0, 1000.0])) == pytest.approx(1000 + math.log(2))


# Sums keep their terms


def test_no_factor_is_taken_out_of_a_sum() -> None:
    program = dmc.loads("""
fn scaled[N, M](a: f64[N], b: f64[M]) -> f64[N] = [i] => sum[j](a[i] * b[j])
fn inside[N, M, K](a: f64[N, M], b: f64[M, K], s: f64[N]) -> f64[N, K] =
    [i, k] => sum[j](s[i] * a[i, j] * b[j, k])
fn behind[N, M, K](a: f64[N, M], b: f64[M, K], s: f64[N]) -> f64[N, K] =
    [i, k] => sum[j](a[i, j] * b[j, k] * s[i])
fn total[N, M](a: f64[N], b: f64[M]) -> f64 = sum[i, j](a[i] * b[j])
""")
    a, large = np.array([1e-200, 0.0]), np.array([1e308, 1e308])
    np.testing.assert_allclose(program.scaled(a, large), [2e108, 0.0], rtol=1e-15)
    np.testing.assert_allclose(program.total(a, large), 2e108, rtol=1e-15)
    small, huge, scale = np.full((2, 2), 1e-200), np.full((2, 2), 1e300), np.full(2, 1e-200)
    np.testing.assert_allclose(program.behind(small, huge, scale), np.full((2, 2), 2e-100), 1e-14)
    assert program.inside(small, huge, scale).tolist() == [[0.0, 0.0], [0.0, 0.0]]


# Conventions at whole vectors and at tails

edges = dmc.loads("""
fn ordered[N](x: f64[N]) -> (f64[N], i32[N], i32, i32, f64) requires N >= 1 =
    (sort[-1](x), argsort[-1](x), argmax(x), argmin(x), max(x))
fn whole[N](x: f32[N]) -> (i32[N], i64[N]) = (i32(x), i64(x))
fn weights[N](x: f32[N], seen: bool[N]) -> (f32, f32[N], f32) requires N >= 1 =
    (logsumexp(x), softmax[-1](x), sum[i](if seen[i] { exp(-x[i]) } else { 0.0 }))
fn products[N](x: f64[N]) -> (f64[N], f64[N], f64[N]) =
    (cumprod[-1](x), grad(fn(y) => sum(cumprod[-1](y)))(x), grad(fn(y) => prod(y))(x))
fn far_off[N](x: f32[N]) -> (f32, f32, f32[N]) = (mean(x), variance(x), softmax[-1](x))
fn grid[N, F: float](a: F, b: F) -> F[N] = linspace[N](a, b)
""")


@pytest.mark.parametrize("n", [1, 17])
def test_conventions(n: int) -> None:
    x = np.tile([2.0, NAN, 3.0, 3.0, -INF, INF, -0.0, 0.0], 3)[:n]
    for got, wanted in zip(
        edges.ordered(x),
        (np.sort(x), np.argsort(x, kind="stable"), np.argmax(x), np.argmin(x), np.max(x)),
        strict=True,
    ):
        np.testing.assert_array_equal(got, wanted)
    far = np.tile([3e38, -INF, 2.5, -2.5, NAN, INF, -3e9, -3e38], 3)[:n].astype(np.float32)
    for got, kind in zip(edges.whole(far), (np.int32, np.int64), strict=True):
        ends = np.iinfo(kind)
        small = np.nan_to_num(far.astype(np.float64), nan=0.0, posinf=1e30, neginf=-1e30)
        limits = np.where(small > 1e19, ends.max, ends.min)
        inside = np.abs(small) < (2**31 if kind is np.int32 else 2**62)
        wanted = np.where(inside, np.where(inside, small, 0).astype(kind), limits)
        np.testing.assert_array_equal(got, wanted)
    total, weights, nothing = edges.weights(np.full(n, -INF, np.float32), np.zeros(n, bool))
    assert (total, weights.tolist(), nothing) == (-INF, [0.0] * n, 0.0)
    for zeros in (1, 2):
        x = np.arange(1.0, n + 1) / 4
        x[np.arange(zeros) * n // 2] = 0.0
        each = np.array([np.cumprod(np.where(np.arange(n) == i, 1.0, x)) for i in range(n)])
        got, of_sums, of_product = edges.products(x)
        np.testing.assert_allclose(got, np.cumprod(x), rtol=1e-14)
        np.testing.assert_allclose(of_sums, np.triu(each).sum(1), rtol=1e-14)
        np.testing.assert_allclose(of_product, each[:, -1], rtol=1e-14)
    x = (1e6 + np.arange(n)).astype(np.float32)
    e = np.exp(np.arange(n) - n + 1.0)
    wanted = (x.astype(float).mean(), x.astype(float).var(), e / e.sum())
    for got, right in zip(edges.far_off(x), wanted, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-6)


def test_a_grid_ends_where_it_says() -> None:
    for dtype in (np.float64, np.float32):
        for a, b in ((1, 1 / 3), (0.1, 0.1), (1e6, 1e6 + 1), (-np.finfo(dtype).max, 1e30)):
            first, last = dtype(a), dtype(b)
            got = edges.grid[33](first, last)
            assert (got[0], got[-1]) == (first, last)
            assert (np.diff(got) * np.sign(b - a) >= 0).all()
            wanted = np.linspace(float(first), float(last), 33)
            slack = 4 * float(np.finfo(dtype).eps)
            np.testing.assert_allclose(got, wanted, rtol=slack, atol=slack * np.abs(wanted).max())
