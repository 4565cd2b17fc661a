"""Statistics, equations, integrals and differential equations against NumPy and SciPy."""

import numpy as np
import pytest
from scipy import integrate, interpolate, linalg
from scipy.sparse import linalg as sparse

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

fn banded[N](bands: f64[5, N], b: f64[N]) -> f64[N] requires N >= 1 =
    linalg.banded[3, 1](bands, b)

fn sum_of_banded[N](bands: f64[5, N], b: f64[N]) -> f64 requires N >= 1 = sum(banded(bands, b) ** 2)

fn residual[N](a: f64[N, N], b: f64[N], cycles: i64) -> f64[N] =
    linalg.gmres[4](fn(x) => a @ x, b, cycles)

fn half(a: f64) -> f64 = roots.bisect(fn(x) => x * exp(x) - a, 0.0, 10.0)

fn fixed(a: f64[2]) -> f64[2] = roots.fixed_point(fn(x) => a * cos(x), [1.0, 1.0])

## cubic and exponential; from far away, full steps would leave for infinity.
fn crossing(a: f64[2]) -> f64[2] =
    roots.root(fn(x) => [x[0] ** 3 + a[0] * x[1] - 1.0, x[1] * exp(x[0]) - a[1]], [1.0, 1.0])

fn single(a: f32[2]) -> (f32[2], f32[2], f32[2]) {
    let b = linalg.gmres[2](fn(x) => [2.0 * x[0] + a[0] * x[1], x[1] - x[0]], a)
    (roots.fixed_point(fn(x) => a * cos(x), [1.0, 1.0]),
     roots.root(fn(x) => x ** 3 - a, [1.0, 1.0]), b)
}

fn lambert_slope(a: f64) -> f64 = grad(root)(a)

fn crossing_slope(a: f64[2], w: f64[2]) -> f64 =
    sum(w * grad(fn(b: f64[2]) => sum(crossing(b) ** 3))(a))

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

fn oscillator(mu: f64, t: f64, y: f64[2]) -> f64[2] =
    [y[1], mu * (1.0 - y[0] ** 2) * y[1] - y[0] + 0.1 * sin(t)]

fn relaxed(mu: f64, end: f64, rtol: f64) -> (f64[2], i64) =
    ode.rosenbrock(fn(t, y) => oscillator(mu, t, y), [2.0, 0.0], 0.0, end, rtol)

fn adaptive_last(mu: f64) -> f64 {
    let (y, _) = ode.dopri(fn(t, y) => oscillator(mu, t, y), [2.0, 0.0], 0.0, 2.0)
    y[0] * y[1]
}

struct Field {
    w: f64[2, 3]
    v: f64[3, 2]
}

fn field(p: Field, t: f64, y: f64[2]) -> f64[2] = cos(t) * (tanh(y @ p.w) @ p.v)

fn flow[N](p: Field, y0: f64[2], h: f64) -> f64[2] requires N >= 1 {
    let path = ode.rk4[N](fn(t, y) => field(p, t, y), y0, 0.0, h)
    path[N - 1]
}

## The same, with the continuous adjoint for its derivative.
fn followed[N](p: Field, y0: f64[2], h: f64) -> f64[2] requires N >= 1 = flow[N](p, y0, h)

derivative followed(p, y0, h) -> y1 {
    vjp(dy) {
        let (of_start, of_field) = ode.adjoint[N](field, p, y1, dy, h * N, h)
        (of_field, of_start, 0.0)
    }
}

fn misses[N](p: Field, y0: f64[2], h: f64) -> (Field, f64[2], Field, f64[2]) requires N >= 1 {
    let kept = fn(q: Field, y: f64[2]) => sum(flow[N](q, y, h) ** 2)
    let solved = fn(q: Field, y: f64[2]) => sum(followed[N](q, y, h) ** 2)
    let (a, b) = grad(fn(q: Field, y: f64[2]) => kept(q, y), wrt = (q, y))(p, y0)
    let (c, d) = grad(fn(q: Field, y: f64[2]) => solved(q, y), wrt = (q, y))(p, y0)
    (a, b, c, d)
}

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
    assert dmc.grad(library.lambert_slope)(1.0) == pytest.approx(
        -(slope**2) * (2 + omega) / (1 + omega), rel=1e-12
    )
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


def test_many_equations(library):
    a = np.array([1.0, 0.3])
    x = library.fixed(a)
    assert x[0] == pytest.approx(0.7390851332151607, rel=1e-12)
    of_a = np.diag(np.cos(x) / (1 + a * np.sin(x)))
    assert np.allclose(dmc.jacobian(library.fixed)(a), of_a, rtol=1e-10)
    x = library.crossing(a)
    assert np.allclose([x[0] ** 3 + a[0] * x[1], x[1] * np.exp(x[0])], [1, a[1]], rtol=1e-13)
    dmc.check_grads(library.crossing_slope, a, x)


def test_single_precision_ends_where_it_rounds(library):
    a = np.array([1.0, 0.3], np.float32)
    fixed, root, solved = library.single(a)
    assert np.allclose(fixed, library.fixed(a.astype(np.float64)), rtol=1e-6)
    assert np.allclose(root**3, a, rtol=1e-6)
    assert np.allclose(np.linalg.solve([[2, a[0]], [-1, 1]], a), solved, rtol=1e-6)


def test_bands_with_pivoting(library):
    rng = np.random.default_rng(4)
    for n in (1, 9):
        bands, b = rng.standard_normal((5, n)), rng.standard_normal(n)
        wanted = linalg.solve_banded((3, 1), bands, b)
        assert np.allclose(library.banded(bands, b), wanted, rtol=1e-10)
    dmc.check_grads(library.sum_of_banded, bands, b)


def test_least_residuals(library):
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((12, 12)) + 9 * np.eye(12), rng.standard_normal(12)
    for cycles in (1, 3):
        wanted, _ = sparse.gmres(a, b, restart=4, maxiter=cycles, rtol=1e-30)
        assert np.allclose(library.residual(a, b, cycles), wanted, rtol=1e-9)
    few = rng.standard_normal((3, 3))  # whose basis is complete after three steps
    assert np.allclose(library.residual(few, b[:3], 2), np.linalg.solve(few, b[:3]), rtol=1e-10)
    assert not library.residual(few, 0 * b[:3], 1).any()


def test_stiff_steps_of_their_own_size(library):
    wanted = integrate.solve_ivp(
        lambda t, y: [y[1], 100 * (1 - y[0] ** 2) * y[1] - y[0] + 0.1 * np.sin(t)],
        (0, 50), [2.0, 0.0], method="Radau", rtol=1e-9, atol=1e-11,
    ).y[:, -1]  # fmt: skip
    found, tried = library.relaxed(100.0, 50.0, 1e-5)
    assert np.allclose(found, wanted, rtol=1e-3)
    assert tried < 3000
    dmc.check_grads(library.adaptive_last, 3.0)


def test_the_continuous_adjoint_comes_near_the_discrete_one(library):
    rng = np.random.default_rng(6)
    p = library.Field(w=rng.standard_normal((2, 3)), v=rng.standard_normal((3, 2)))
    a, b, c, d = library.misses[40](p, np.array([0.1, 0.2]), 0.02)
    for kept, followed in ((a.w, c.w), (a.v, c.v), (b, d)):
        assert np.allclose(kept, followed, rtol=1e-6)
        assert not np.array_equal(kept, followed)
