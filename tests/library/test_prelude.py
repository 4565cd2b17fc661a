"""Functions of the prelude against NumPy."""

import numpy as np
import pytest

import dmc

PROGRAM = """
fn logs[N](x: f64[N]) -> (f64[N], f64[N]) = (log2(x), log10(x))

fn kinds[N](x: f32[N]) -> (bool[N], bool[N], bool[N]) = (isnan(x), isinf(x), isfinite(x))

fn spreads[B, N](x: f64[B, N]) -> (f64, f64[B], f64[N]) = (variance(x), std[N](x), variance[0](x))

fn questions[B, N](x: f64[B, N]) -> (bool, bool[B], bool, bool[B], bool) = (
    any(x > 2.0), any[N](x > 1.0), all(x > -4.0), all[1](x > -1.0),
    any[b, n](isnan(x[b, n]) or x[b, n] > 1e9)
)

fn within[N](x: f64[N], n: i64) -> (bool, bool) =
    (any[i in 0..n](x[i] > 0.5), all[i in 0..n](x[i] < 0.5))

fn slope[N](x: f64[N]) -> f64[N] = grad(fn(z: f64[N]) => std(z) + variance(log2(z)))(x)
"""


@pytest.fixture(scope="module")
def prelude():
    return dmc.loads(PROGRAM)


def test_values(prelude):
    rng = np.random.default_rng(0)
    x = rng.random(40) * 10.0 ** rng.integers(-9, 9, 40)
    two, ten = prelude.logs(x)
    assert np.allclose(two, np.log2(x), rtol=1e-15)
    assert np.allclose(ten, np.log10(x), rtol=1e-15)
    wide = np.array([1e308, 1.7e308, 1e-308, 1e300, 2.0**-1022, 2.0**1023])
    for got, wanted in zip(prelude.logs(wide), (np.log2(wide), np.log10(wide)), strict=True):
        assert np.allclose(got, wanted, rtol=1e-15)
    powers = np.array([float(f"1e{k}") for k in range(-300, 300)])
    assert np.array_equal(prelude.logs(powers)[1], np.arange(-300.0, 300.0))
    assert np.array_equal(prelude.logs(2.0 ** np.arange(-99, 99))[0], np.arange(-99.0, 99.0))
    for ends in prelude.logs(np.array([0.0, np.inf, -1.0])):
        assert np.array_equal(ends, [-np.inf, np.inf, np.nan], equal_nan=True)
    odd = np.array([np.nan, np.inf, -np.inf, 0, 1e38, -3], np.float32)
    for found, function in zip(prelude.kinds(odd), (np.isnan, np.isinf, np.isfinite), strict=True):
        assert np.array_equal(found, function(odd))
    y = rng.standard_normal((5, 7))
    for found, wanted in zip(prelude.spreads(y), (y.var(), y.std(1), y.var(0)), strict=True):
        assert np.allclose(found, wanted, rtol=1e-13)
    wanted = ((y > 2).any(), (y > 1).any(1), (y > -4).all(), (y > -1).all(1), False)
    for found, answer in zip(prelude.questions(y), wanted, strict=True):
        assert np.array_equal(found, answer)
    for n in (0, 3, 7):
        assert prelude.within(y[0], n) == ((y[0, :n] > 0.5).any(), (y[0, :n] < 0.5).all())


def test_gradients(prelude):
    x = np.random.default_rng(1).random(6) + 0.5
    logs, scale = np.log2(x), np.log(2)
    of_variance = 2 * (logs - logs.mean()) / 6 / (x * scale)
    assert np.allclose(prelude.slope(x), (x - x.mean()) / 6 / x.std() + of_variance, rtol=1e-12)


def test_questions_are_asked_of_conditions():
    with pytest.raises(dmc.Error, match="`any` needs bool"):
        dmc.loads("fn f[N](x: f64[N]) -> bool = any(x)\n")
