"""Linear algebra of the prelude: values against NumPy, derivatives against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import linalg

import dmc

Array = npt.NDArray[Any]

PROGRAM = dmc.loads("""
fn systems[N, K](a: f64[N, N], s: f64[N, N], b: f64[N], c: f64[N, K])
        -> (f64[N], f64[N, K], f64[N], f64[N, K], f64[N, N], f64[N], f64[N, N],
            f64, f64, f64, f64) {
    let l = cholesky(s)
    let (sign, size) = slogdet(a)
    (solve(a, b), solve(a, c), solve_lower(a, b), solve_upper(a, c), l, cholesky_solve(l, b),
     inv(a), det(a), sign, size, logdet(s))
}

fn each[B, N](a: f32[B, N, N], b: f32[B, N]) -> (f32[B, N], f32[B, N], f32[B, N, N], f32[B]) {
    let s = a @ a.T + eye[N]()
    ([n] => solve(a[n], b[n]), [n] => solve_lower(a[0], b[n]), cholesky(s), logdet(s))
}

fn loss[N](a: f64[N, N], b: f64[N]) -> f64 {
    let s: f64[N, N] = a @ a.T + eye[N]()
    let l = cholesky(s)
    let (sign, size) = slogdet(a)
    let x = solve(a, b)
    x @ sin(x) + sum(inv(a) ** 2) + size + logdet(s) + b @ cholesky_solve(l, b)
        + sum(solve_upper(a, b)) + sum(l[:, 0] ** 3)
}

fn slope[N](a: f64[N, N], b: f64[N]) -> f64[N, N] = grad(fn(m) => logdet(m) * (b @ solve(m, b)))(a)

fn twice[N](a: f64[N, N], b: f64[N]) -> f64 = sum(slope(a, b) ** 2)

fn factors[N, M](a: f64[N, M], s: f64[M, M], b: f64[N])
        -> (f64[M], f64[N, M], f64[M, M], f64[M], f64[M, M], f64[N, M], f64[M], f64[M, M],
            f64[M, M]) {
    let (q, r) = qr(a)
    let (w, v) = eigh(s)
    let (u, z, t) = svd(a)
    (lstsq(a, b), q, r, w, v, u, z, t, expm(s))
}

fn wide[N, M, K](a: f64[N, M], b: f64[N, K]) -> f64[M, K] = lstsq(a, b)

fn spectra[B, N](a: f32[B, N, N]) -> (f32[B, N, N], f32[B, N, N]) {
    let (w, v) = eigh(a)
    let (u, z, t) = svd(a)
    ([n, i, j] => sum[k](w[n, k] * v[n, i, k] * v[n, j, k]), [n] => (u[n] * z[n]) @ t[n])
}

fn exponentials[B, N](a: f64[B, N, N]) -> f64[B, N, N] = [n] => expm(a[n])

fn factored[N, M](a: f64[N, M], b: f64[N]) -> f64 {
    let (q, r) = qr(a)
    let (w, v) = eigh(a.T @ a)
    let (u, z, t) = svd(a)
    sum(lstsq(a, b) ** 3) + sum(q[:, 0] ** 3) + r[0, 1] + sum(w ** 2) + sum(v[:, 0] ** 3)
        + sum(u[:, 1] ** 3) + z[0] * z[1] + sum(t[0] ** 3)
}

fn thin[N, M](a: f64[N, M]) -> (f64[N, N], f64[N, M], f64[N, N], f64[N], f64[N, M])
        requires N <= M {
    let (q, r) = qr(a)
    let (u, z, t) = svd(a)
    (q, r, u, z, t)
}

fn of_wide[N, M](a: f64[N, M]) -> f64 requires M >= N, N >= 2 {
    let (q, r, u, z, t) = thin(a)
    sum(sin(q)) + sum(r[:, M - 1] ** 3) + sum(u[:, 1] ** 3) + z[0] * z[1] + sum(t[0] ** 3)
}

fn nuclear[B](a: f32[B, 2, 5]) -> f32[B] {
    let (u, z, t) = svd(a)
    sum[1](z)
}

fn largest[N](a: f64[N, N]) -> f64 requires N >= 1 {
    let (w, v) = eigh(a)
    w[N - 1]
}

fn turned[N](a: f64[N, N]) -> f64 requires N >= 1 {
    let (w, v) = eigh(a)
    sum(v[0])
}

fn polar[N](a: f64[N, N]) -> f64[N, N] {
    let (u, z, t) = svd(a)
    u @ t
}

fn cubes[N](a: f64[N, N]) -> f64 {
    let (u, z, t) = svd(a)
    sum(z ** 3)
}

fn chosen(a: f64[2, 2], c: bool) -> f64 =
    if c { logdet(a) + sum(solve(a, [1.0, 2.0])) } else { a[0, 0] }
""")

RNG = np.random.default_rng(0)


def regular(*shape: int) -> Array:
    return RNG.standard_normal(shape) + 2 * np.eye(shape[-1])


@pytest.mark.parametrize("n", [1, 5, 150])
def test_systems(n: int) -> None:
    """Small ones, and some of several blocks whose last one is not whole."""
    a, b, c = regular(n, n), RNG.standard_normal(n), RNG.standard_normal((n, 3))
    s = a @ a.T + np.eye(n)
    x, many, lower, upper, l, positive, inverse, det, sign, size, log = PROGRAM.systems(a, s, b, c)
    np.testing.assert_allclose(x, np.linalg.solve(a, b), rtol=1e-7)
    np.testing.assert_allclose(many, np.linalg.solve(a, c), rtol=1e-7)
    np.testing.assert_allclose(np.tril(a) @ lower, b, rtol=1e-6, atol=1e-9 * np.abs(lower).max())
    np.testing.assert_allclose(np.triu(a) @ upper, c, rtol=1e-6, atol=1e-9 * np.abs(upper).max())
    np.testing.assert_allclose(l, np.linalg.cholesky(s), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(positive, np.linalg.solve(s, b), rtol=1e-7)
    np.testing.assert_allclose(inverse, np.linalg.inv(a), rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose((sign, size), np.linalg.slogdet(a), rtol=1e-10)
    np.testing.assert_allclose((det, log), (np.linalg.det(a), np.linalg.slogdet(s)[1]), rtol=1e-9)


def test_many_at_once() -> None:
    a = regular(200, 4, 4).astype(np.float32)
    b = RNG.standard_normal((200, 4)).astype(np.float32)
    x, lower, l, log = PROGRAM.each(a, b)
    s = a @ np.swapaxes(a, 1, 2) + np.eye(4)
    np.testing.assert_allclose(np.einsum("nij,nj->ni", a, x), b, atol=1e-3 * np.abs(x).max())
    np.testing.assert_allclose(lower @ np.tril(a[0]).T, b, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(l @ np.swapaxes(l, 1, 2), s, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(log, np.linalg.slogdet(s)[1], rtol=1e-4, atol=1e-4)


def test_derivatives() -> None:
    """Both modes and differences agree; so does the derivative of the gradient."""
    a, b = regular(4, 4), RNG.standard_normal(4)
    a = a if np.linalg.det(a) > 0 else a[::-1].copy()
    dmc.check_grads(PROGRAM.loss, a, b)
    dmc.check_grads(PROGRAM.twice, a, b)


def orthonormal(columns: Array) -> bool:
    product = columns.T @ columns
    return np.allclose(product, np.eye(len(product)), atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (6, 4), (40, 40)])
def test_factors(shape: tuple[int, int]) -> None:
    rows, columns = shape
    a, b = RNG.standard_normal(shape), RNG.standard_normal(rows)
    s = RNG.standard_normal((columns, columns))
    x, q, r, w, v, u, z, t, exponential = PROGRAM.factors(a, s, b)
    np.testing.assert_allclose(x, np.linalg.lstsq(a, b)[0], rtol=1e-7)
    np.testing.assert_allclose(q, np.linalg.qr(a)[0], atol=1e-12)
    np.testing.assert_allclose(r, np.linalg.qr(a)[1], atol=1e-11)
    np.testing.assert_allclose(w, np.linalg.eigvalsh((s + s.T) / 2), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(v * w @ v.T, (s + s.T) / 2, atol=1e-11)
    np.testing.assert_allclose(z, np.linalg.svd(a)[1], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(u * z @ t, a, atol=1e-11)
    np.testing.assert_allclose(exponential, linalg.expm(s), rtol=1e-9, atol=1e-9)
    assert orthonormal(v)
    assert orthonormal(u)
    assert orthonormal(t.T)


@pytest.mark.parametrize("shape", [(1, 4), (4, 6), (5, 5), (30, 41)])
def test_factors_of_wide_matrices(shape: tuple[int, int]) -> None:
    a = RNG.standard_normal(shape)
    q, r, u, z, t = PROGRAM.thin(a)
    np.testing.assert_allclose(q, np.linalg.qr(a)[0], atol=1e-12)
    np.testing.assert_allclose(r, np.linalg.qr(a)[1], atol=1e-11)
    np.testing.assert_allclose(z, np.linalg.svd(a)[1], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(u * z @ t, a, atol=1e-11)
    assert orthonormal(u)
    assert orthonormal(t.T)
    many = RNG.standard_normal((9, 2, 5)).astype(np.float32)
    np.testing.assert_allclose(PROGRAM.nuclear(many), np.linalg.svd(many)[1].sum(1), rtol=1e-5)


def test_matrices_that_are_no_random_ones() -> None:
    """Repeated and zero values, ranks that are not full, extremes of the range."""
    cases = [np.zeros((4, 4)), np.eye(4), np.ones((4, 4)), np.diag([2.0, 0.0, 2.0, -1.0])]
    cases += [1e200 * RNG.standard_normal((4, 4)), 1e-200 * RNG.standard_normal((4, 4))]
    cases += [np.eye(4, k=1), np.triu(np.ones((4, 4))), np.outer([1.0, 2, 3, 4], [0.0, 1, 1, 0])]
    for a in cases:
        s, size = (a + a.T) / 2, np.abs(a).max() or 1.0
        _, q, r, w, v, u, z, t, _ = PROGRAM.factors(a, s, np.ones(4))
        np.testing.assert_allclose(q @ r / size, a / size, atol=1e-13)
        np.testing.assert_allclose(v * (w / size) @ v.T, s / size, atol=1e-13)
        np.testing.assert_allclose(u * (z / size) @ t, a / size, atol=1e-13)
        assert all(map(orthonormal, (q, v, u, t.T)))
    infinite = np.full((4, 4), np.inf)
    _, _, _, w, v, u, z, t, _ = PROGRAM.factors(np.full((4, 4), np.nan), infinite, np.ones(4))
    assert all(np.isnan(array).all() for array in (w, v, u, z, t))


def test_many_factors_at_once() -> None:
    a = RNG.standard_normal((100, 5, 5)).astype(np.float32)
    of_values, of_singular = PROGRAM.spectra(a)
    np.testing.assert_allclose(of_values, (a + np.swapaxes(a, 1, 2)) / 2, atol=1e-5)
    np.testing.assert_allclose(of_singular, a, atol=1e-5)
    a = RNG.standard_normal((3, 4, 4)) * np.array([0.1, 1.0, 20.0])[:, None, None]
    wanted = linalg.expm(a)
    sizes = np.abs(wanted).max((1, 2), keepdims=True)
    np.testing.assert_allclose(PROGRAM.exponentials(a) / sizes, wanted / sizes, atol=1e-11)


def test_derivatives_of_factors() -> None:
    a, b = RNG.standard_normal((4, 3)), RNG.standard_normal(4)
    dmc.check_grads(PROGRAM.factored, a, b)
    c, d = a.T, RNG.standard_normal((3, 2))
    dmc.check_grads(PROGRAM.of_wide, c)
    np.testing.assert_allclose(PROGRAM.wide(c, d), np.linalg.lstsq(c, d)[0], rtol=1e-9)


def test_equal_eigenvalues() -> None:
    """Their derivatives exist; those of eigenvectors do not."""
    largest = dmc.grad(PROGRAM.largest)(np.diag([1.0, 1.0, 2.0]))
    assert largest.tolist() == np.diag([0.0, 0.0, 1.0]).tolist()
    assert not np.isfinite(dmc.grad(PROGRAM.turned)(np.eye(3))).all()


def test_equal_singular_values() -> None:
    """Turning an orthogonal matrix turns its polar factor, although all its values are equal."""
    direction = np.array([[0.0, 1.0, 2.0], [-1.0, 0.0, 3.0], [-2.0, -3.0, 0.0]])
    polar, turned = dmc.jvp(PROGRAM.polar, direction)(np.eye(3))
    np.testing.assert_array_equal(polar, np.eye(3))
    np.testing.assert_allclose(turned, direction, rtol=1e-15)
    assert not np.isfinite(dmc.hessian(PROGRAM.cubes)(np.eye(2))).all()


def test_what_has_no_solution() -> None:
    """Infinite or not a number; and no derivative of it reaches what does not use it."""
    singular = np.ones((2, 2))
    *_, det, sign, size, log = PROGRAM.systems(singular, -singular, np.ones(2), np.ones((2, 1)))
    assert (det, sign, size, log) == (0.0, 0.0, -np.inf, -np.inf)
    assert not np.isfinite(
        PROGRAM.systems(singular, singular, np.arange(2.0), np.ones((2, 1)))[0]
    ).any()
    assert np.isnan(PROGRAM.systems(singular, -singular, np.ones(2), np.ones((2, 1)))[4]).any()
    gradient = dmc.grad(PROGRAM.chosen)
    assert gradient(singular, False).tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert not np.isfinite(gradient(singular, True)).all()


def test_shapes_are_checked() -> None:
    with pytest.raises(dmc.Error, match="square matrix"):
        dmc.loads("fn f[N, M](a: f64[N, M], b: f64[N]) -> f64[N] = solve(a, b)")
    with pytest.raises(dmc.Error, match="right side"):
        dmc.loads("fn f[N, M](a: f64[N, N], b: f64[M]) -> f64[N] = solve(a, b)")
    with pytest.raises(dmc.Error, match=r"no fewer rows[\s\S]*`requires N <= M`"):
        PROGRAM.factors(np.ones((2, 3)), np.ones((3, 3)), np.ones(2))
    with pytest.raises(dmc.Error, match="N <= M"):
        PROGRAM.thin(np.ones((3, 2)))
    with pytest.raises(dmc.Error, match="floats"):
        dmc.loads("fn f[N](a: i64[N, N]) -> i64 = logdet(a)")
