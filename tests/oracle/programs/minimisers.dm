# Where minimisers by curvature are after each of T steps, for comparison with PyTorch and NumPy.

import optim

fn outputs[F: float, N](p: F[28], x: F[N, 6]) -> F[N, 4] =
    tanh(x @ reshape[6, 4](p[: 24]) + p[24 :])

fn loss[F: float, N](p: F[28], x: F[N, 6], y: F[N, 4]) -> F = 100000.0 * sum((outputs(p, x) - y) ** 2)

fn residuals[F: float, N](p: F[28], x: F[N, 6], y: F[N, 4]) -> F[N * 4] =
    reshape[N * 4](outputs(p, x) - y)

fn lbfgs[T, F: float, N](p: F[28], x: F[N, 6], y: F[N, 4]) -> F[T, 28] =
    for t in 0..T { optim.lbfgs[5](fn(q) => loss(q, x, y), p, t + 1, 0.0) }

fn newton_cg[T, F: float, N](p: F[28], x: F[N, 6], y: F[N, 4]) -> F[T, 28] =
    for t in 0..T { optim.newton_cg[20](fn(q) => loss(q, x, y), p, t + 1, 0.0) }

fn gauss_newton[T, F: float, N](p: F[28], x: F[N, 6], y: F[N, 4]) -> F[T, 28] requires 4 * N >= 28 =
    for t in 0..T { optim.gauss_newton(fn(q) => residuals(q, x, y), p, t + 1, 0.0) }

fn levenberg_marquardt[T, F: float, N](p: F[28], x: F[N, 6], y: F[N, 4]) -> F[T, 28] =
    for t in 0..T {
        optim.levenberg_marquardt(fn(q) => residuals(q, x, y), p, t + 1, tolerance = 0.0)
    }
