"""Statistics, equations, integrals and differential equations against NumPy and SciPy."""

import numpy as np
import pytest
from scipy import integrate, interpolate, linalg

import dmc

PROGRAM = """
import linalg
import ode
import roots
import stats

fn middles[N](x: f64[N], y: f64[N + 1]) -> (f64, f64, f64[3]) requires N >= 1 =
    (stats.median(x), stats.median(y),
     [stats.quantile(x, 0.0), stats.quantile(x, 0.3), stats.quantile(x, 1.0)])

fn places[N, M](x: f64[N], y: f64[N], at: f64[M]) -> (i64[M], f64[M]) requires N >= 2 =
    (stats.searchsorted(x, at), stats.interp(at, x, y))

fn tables[N](x: f64[N, 3], ids: i32[N]) -> (f64[3, 3], f64[3, 3], f64[4], f64[4], f64[4], i64[5])
        requires N >= 2 =
    (stats.covariance(x), stats.correlation(x), stats.segment_sum[4](x[:, 0], ids),
     stats.segment_mean[4](x[:, 0], ids), stats.segment_max[4](x[:, 0], ids),
     stats.histogram[5](x[:, 0], -1.0, 1.0))

fn systems[N](a: f64[N, N], s: f64[N, N], b: f64[N], d: f64[N])
        -> (f64[N], f64[N]) requires N >= 1 =
    (linalg.tridiagonal(b, d, 0.5 * b, a[0]),
     linalg.conjugate_gradient[50](fn(x) => s @ x, b, 1e-14))

fn root(a: f64) -> f64 = roots.newton(fn(x) => x * exp(x) - a, 1.0)

fn half(a: f64) -> f64 = roots.bisect(fn(x) => x * exp(x) - a, 0.0, 10.0)

fn fixed() -> f64[1] = roots.fixed_point[200](fn(x) => cos(x), [1.0])

fn integrals(h: f64, y: f64[9]) -> (f64, f64, f64) =
    (roots.trapezoid(y, h), roots.simpson(y, h),
     roots.gauss_legendre[7, f64](fn(x) => x ** 13 + exp(-x), -1.0, 2.0))

fn swing(t: f64, y: f64[2]) -> f64[2] = [y[1], -sin(y[0])]

fn paths[N](y0: f64[2], h: f64) -> f64[4, N, 2] = [
    ode.euler[N](swing, y0, 0.0, h), ode.midpoint[N](swing, y0, 0.0, h),
    ode.rk4[N](swing, y0, 0.0, h), ode.trapezoidal[N](swing, y0, 0.0, h)
]

fn adaptive(y0: f64[2], t: f64) -> (f64[2], i64) =
    ode.dopri(swing, y0, 0.0, t, rtol = 1e-10, atol = 1e-12)

fn last[N](y0: f64[2], h: f64) -> f64 requires N >= 1 {
    let path = ode.rk4[N](swing, y0, 0.0, h)
    path[N - 1, 0]
}

fn orbit[N](q: f64[2], p: f64[2]) -> (f64[N, 2], f64[N, 2]) =
    ode.leapfrog[N](fn(x) => -1.0 / sqrt(sum(x * x)), q, p, 0.01)

fn stiff[N](h: f64) -> f64[N, 1] =
    ode.trapezoidal[N](fn(t, y) => -1000.0 * (y - cos(t)), [0.0], 0.0, h)

fn between(at: f64[2], x: f64[3], y: f64[3]) -> f64 = sum(stats.interp(at, x, y))
"""


@pytest.fixture(scope="module")
def library():
    return dmc.loads(PROGRAM)


def test_statistics(library):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(7), rng.standard_normal(8)
    odd, even, quantiles = library.middles(x, y)
    assert (odd, even) == (np.median(x), np.median(y))
    assert np.allclose(quantiles, np.quantile(x, [0, 0.3, 1]), rtol=1e-14)
    x, at = np.sort(x), np.append(2 * rng.standard_normal(20), [x[2], -9.0, 9.0])
    where, between = library.places(x, y[:7], at)
    assert np.array_equal(where, np.searchsorted(x, at))
    assert np.allclose(between, np.interp(at, x, y[:7]), rtol=1e-13)
    x, ids = rng.standard_normal((30, 3)), rng.integers(0, 3, 30).astype(np.int32)
    covariance, correlation, total, mean, top, counts = library.tables(x, ids)
    assert np.allclose(covariance, np.cov(x.T))
    assert np.allclose(correlation, np.corrcoef(x.T))
    groups = [x[ids == k, 0] for k in range(3)]
    assert np.allclose(total, [g.sum() for g in groups] + [0])
    assert np.allclose(mean, [g.mean() for g in groups] + [0])
    assert top.tolist() == [g.max() for g in groups] + [-np.inf]
    assert np.array_equal(counts, np.histogram(x[:, 0], 5, (-1, 1))[0])


def test_linear_systems(library):
    rng = np.random.default_rng(1)
    a, b, d = rng.standard_normal((6, 6)), rng.standard_normal(6), 4 + rng.random(6)
    s = a @ a.T + np.eye(6)
    t, c = library.systems(a, s, b, d)
    bands = np.zeros((3, 6))
    bands[0, 1:], bands[1], bands[2, :-1] = 0.5 * b[:-1], d, b[1:]
    assert np.allclose(t, linalg.solve_banded((1, 1), bands, a[0]), rtol=1e-12)
    assert np.allclose(c, np.linalg.solve(s, b), rtol=1e-9)


def test_roots_and_integrals(library):
    omega = 0.5671432904097838
    assert library.root(1.0) == pytest.approx(omega, rel=1e-14)
    assert library.half(1.0) == pytest.approx(omega, rel=1e-14)
    slope = 1 / ((1 + omega) * np.exp(omega))
    assert dmc.grad(library.root)(1.0) == pytest.approx(slope, rel=1e-12)
    assert dmc.grad(library.half)(1.0) == pytest.approx(slope, rel=1e-12)
    assert library.fixed()[0] == pytest.approx(0.7390851332151607, rel=1e-13)
    y = np.random.default_rng(2).standard_normal(9)
    flat, curved, gauss = library.integrals(0.3, y)
    assert flat == pytest.approx(integrate.trapezoid(y, dx=0.3))
    assert curved == pytest.approx(integrate.simpson(y, dx=0.3))
    assert gauss == pytest.approx((2**14 - 1) / 14 + np.e - np.exp(-2), rel=1e-13)


def test_orders_of_convergence(library):
    """Half the step, 2^order less error."""
    y0 = np.array([1.0, 0.0])
    exact = integrate.solve_ivp(
        lambda t, y: [y[1], -np.sin(y[0])], (0, 2), y0, rtol=1e-13, atol=1e-13
    ).y[:, -1]
    coarse, fine = library.paths[20](y0, 0.1)[:, -1], library.paths[40](y0, 0.05)[:, -1]
    ratio = np.linalg.norm(coarse - exact, axis=1) / np.linalg.norm(fine - exact, axis=1)
    assert np.allclose(np.log2(ratio), [1, 2, 4, 2], atol=0.25)
    found, tried = library.adaptive(y0, 2.0)
    assert np.allclose(found, exact, rtol=1e-9)
    assert 10 < tried < 100


def test_a_gradient_through_time(library):
    dmc.check_grads(library.last[20], np.array([1.0, 0.2]), 0.1)


def test_energy_and_stiffness(library):
    q, p = library.orbit[2000](np.array([1.0, 0.0]), np.array([0.0, 1.2]))
    energy = 0.5 * (p**2).sum(1) - 1 / np.linalg.norm(q, axis=1)
    assert np.ptp(energy) < 1e-4
    t = 0.05 * np.arange(1, 201)
    assert np.abs(library.stiff[200](0.05)[-20:, 0] - np.cos(t[-20:])).max() < 0.05


def test_interpolation_has_the_slopes_of_its_lines(library):
    x, y = np.array([0.0, 1.0, 3.0]), np.array([1.0, 2.0, -2.0])
    line = interpolate.make_interp_spline(x, y, k=1)
    at = np.array([0.5, 2.0])
    assert np.allclose(dmc.grad(library.between)(at, x, y), line.derivative()(at))
