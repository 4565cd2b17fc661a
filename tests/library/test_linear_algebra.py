"""Linear algebra of the prelude: values against NumPy, derivatives against differences."""

from __future__ import annotations

import numpy as np
import pytest

import dmc

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

fn chosen(a: f64[2, 2], c: bool) -> f64 =
    if c { logdet(a) + sum(solve(a, [1.0, 2.0])) } else { a[0, 0] }
""")

RNG = np.random.default_rng(0)


def regular(*shape: int) -> np.ndarray:
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
    with pytest.raises(dmc.Error, match="floats"):
        dmc.loads("fn f[N](a: i64[N, N]) -> i64 = logdet(a)")
