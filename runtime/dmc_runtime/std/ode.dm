# ode: y' = f(t, y) for arrays y of any shape, and Hamiltonian systems. The steps are a loop of the
# language, so a gradient through them is the discrete adjoint; `adjoint` is the continuous one.

## N steps of size h by Euler's method, of order 1; y after each.
fn euler[N, F: float, *S](f: (F, F[*S]) -> F[*S], y0: F[*S], t0: F, h: F) -> F[N, *S] {
    var y = y0
    for i in 0..N {
        y = y + h * f(t0 + h * F(i), y)
        y
    }
}

## By the midpoint method, of order 2.
fn midpoint[N, F: float, *S](f: (F, F[*S]) -> F[*S], y0: F[*S], t0: F, h: F) -> F[N, *S] {
    var y = y0
    for i in 0..N {
        let t = t0 + h * F(i)
        let half = y + 0.5 * h * f(t, y)
        y = y + h * f(t + 0.5 * h, half)
        y
    }
}

## By the classical method of Runge (1895) and Kutta (1901), of order 4.
fn rk4[N, F: float, *S](f: (F, F[*S]) -> F[*S], y0: F[*S], t0: F, h: F) -> F[N, *S] {
    var y = y0
    for i in 0..N {
        let t = t0 + h * F(i)
        let a = f(t, y)
        let b = f(t + 0.5 * h, y + 0.5 * h * a)
        let c = f(t + 0.5 * h, y + 0.5 * h * b)
        let d = f(t + h, y + h * c)
        y = y + h / 6.0 * (a + 2.0 * b + 2.0 * c + d)
        y
    }
}

## One step of size h of the pair of Dormand and Prince (1980): y of order 5, and what it differs from
## the y of order 4.
fn dopri_step[F: float, *S](f: (F, F[*S]) -> F[*S], t: F, y: F[*S], h: F) -> (F[*S], F[*S]) {
    let k1 = f(t, y)
    let k2 = f(t + h / 5.0, y + h * (k1 / 5.0))
    let k3 = f(t + 0.3 * h, y + h * (3.0 / 40.0 * k1 + 9.0 / 40.0 * k2))
    let y4 = y + h * (44.0 / 45.0 * k1 - 56.0 / 15.0 * k2 + 32.0 / 9.0 * k3)
    let k4 = f(t + 0.8 * h, y4)
    let y5 = y + h * (19372.0 / 6561.0 * k1 - 25360.0 / 2187.0 * k2 + 64448.0 / 6561.0 * k3
                      - 212.0 / 729.0 * k4)
    let k5 = f(t + 8.0 / 9.0 * h, y5)
    let y6 = y + h * (9017.0 / 3168.0 * k1 - 355.0 / 33.0 * k2 + 46732.0 / 5247.0 * k3
                      + 49.0 / 176.0 * k4 - 5103.0 / 18656.0 * k5)
    let k6 = f(t + h, y6)
    let new = y + h * (35.0 / 384.0 * k1 + 500.0 / 1113.0 * k3 + 125.0 / 192.0 * k4
                       - 2187.0 / 6784.0 * k5 + 11.0 / 84.0 * k6)
    let k7 = f(t + h, new)
    let off = h * (71.0 / 57600.0 * k1 - 71.0 / 16695.0 * k3 + 71.0 / 1920.0 * k4
                   - 17253.0 / 339200.0 * k5 + 22.0 / 525.0 * k6 - 1.0 / 40.0 * k7)
    (new, off)
}

## y at t1 by steps whose error is held to atol + rtol * |y| (Hairer et al., 1993), and the number of
## steps tried, at most `most`. Reverse mode keeps what it needs of those that were taken.
fn dopri[F: float, *S](f: (F, F[*S]) -> F[*S], y0: F[*S], t0: F, t1: F, rtol: F = 1e-6,
                       atol: F = 1e-9, most: i64 = 10000) -> (F[*S], i64) {
    var t = t0
    var y = y0
    var h = 0.01 * (t1 - t0)
    var tried = 0
    while (t1 - t) * (t1 - t0) > 0.0 and tried < most {
        let step = if abs(h) > abs(t1 - t) { t1 - t } else { h }
        let last = step == t1 - t
        let (new, off) = dopri_step(f, t, y, step)
        let scaled = off / (atol + rtol * maximum(abs(y), abs(new)))
        let size = sqrt(mean(scaled * scaled))
        let good = size <= 1.0
        y = where(good, new, y)
        t = if good { if last { t1 } else { t + step } } else { t }
        h = step * clamp(0.9 * maximum(size, 1e-10) ** -0.2, 0.2, 5.0)
        tried += 1
    }
    (y, tried)
}

## N steps of the trapezoidal rule, implicit and of order 2, for stiff systems of D numbers: each
## solves for the new y by `iterations` of Newton's method.
fn trapezoidal[N, F: float, D](f: (F, F[D]) -> F[D], y0: F[D], t0: F, h: F, iterations: i64 = 4)
        -> F[N, D] requires D >= 1 {
    var y = y0
    for i in 0..N {
        let t = t0 + h * F(i)
        let old = y + 0.5 * h * f(t, y)
        var z = y
        for _ in 0..iterations {
            let rest = z - 0.5 * h * f(t + h, z) - old
            let slope = jacobian(fn(at: F[D]) => f(t + h, at))(z)
            let matrix = eye[D]() - 0.5 * h * slope
            z = z - solve(matrix, rest)
        }
        y = z
        y
    }
}

## y at t1, for stiff systems of D numbers, by steps of order 2 whose error is held to
## atol + rtol * |y|, and the number of steps tried, at most `most`: the Rosenbrock method of Shampine
## and Reichelt (1997), which solves three linear systems a step and damps what decays fast.
fn rosenbrock[F: float, D](f: (F, F[D]) -> F[D], y0: F[D], t0: F, t1: F, rtol: F = 1e-4,
                           atol: F = 1e-7, most: i64 = 10000) -> (F[D], i64) requires D >= 1 {
    var t = t0
    var y = y0
    var h = 0.001 * (t1 - t0)
    var tried = 0
    while (t1 - t) * (t1 - t0) > 0.0 and tried < most {
        let step = if abs(h) > abs(t1 - t) { t1 - t } else { h }
        let last = step == t1 - t
        let (new, off) = rosenbrock_step(f, t, y, step)
        let scaled = off / (atol + rtol * maximum(abs(y), abs(new)))
        let size = sqrt(mean(scaled * scaled))
        let good = size <= 1.0
        y = where(good, new, y)
        t = if good { if last { t1 } else { t + step } } else { t }
        let grown = clamp(0.8 * maximum(size, 1e-6) ** (-1.0 / 3.0), 0.2, 5.0)
        h = step * (if isfinite(size) { grown } else { 0.2 })
        tried += 1
    }
    (y, tried)
}

## One step of size h of `rosenbrock`: y of order 2, and an estimate of its error.
fn rosenbrock_step[F: float, D](f: (F, F[D]) -> F[D], t: F, y: F[D], h: F) -> (F[D], F[D])
        requires D >= 1 {
    let d = 0.2928932188134525  # 1 / (2 + sqrt(2))
    let matrix = eye[D]() - h * d * jacobian(fn(z: F[D]) => f(t, z))(y)
    let (k0, slope) = jvp(fn(s: F) => f(s, y), along = F(1.0))(t)
    let drift = h * d * slope
    let k1 = solve(matrix, k0 + drift)
    let middle = f(t + 0.5 * h, y + 0.5 * h * k1)
    let k2 = solve(matrix, middle - k1) + k1
    let new = y + h * k2
    let e = 7.414213562373095  # 6 + sqrt(2)
    let k3 = solve(matrix, f(t + h, new) - e * (k2 - middle) - 2.0 * (k1 - k0) + drift)
    (new, h / 6.0 * (k1 - 2.0 * k2 + k3))
}

## N leapfrog steps of size h for a particle of mass 1 under the force -grad of `potential`: places and
## velocities, which keep energy over long times (Verlet, 1967).
fn leapfrog[N, F: float, *S](potential: (F[*S]) -> F, q0: F[*S], p0: F[*S], h: F)
        -> (F[N, *S], F[N, *S]) {
    var q = q0
    var p = p0
    for _ in 0..N {
        p = p - 0.5 * h * grad(potential)(q)
        q = q + h * p
        p = p - 0.5 * h * grad(potential)(q)
        (q, p)
    }
}

# ---- the continuous adjoint ---------------------------------------------------------------------

## Where y' = f(p, t, y) ended in y1 at t1, and a loss has the gradient `slope` in y1: its gradients in
## the start y0, at t1 - N * h, and in the parameters p. N steps of `rk4` of size h backwards follow y,
## the adjoint a' = -a df/dy and a df/dp (Pontryagin et al., 1962; Chen et al., 2018), so nothing
## is kept of the way there, and the gradient is that of the exact solution as far as h is small.
## As the `vjp` of a function it gives that a gradient whose memory is that of one step.
fn adjoint[N, P: record, F: float, *S](f: (P, F, F[*S]) -> F[*S], p: P, y1: F[*S], slope: F[*S],
                                       t1: F, h: F) -> (F[*S], Grad[P]) {
    var y = y1
    var a = slope
    var g: Grad[P] = zeros
    for i in 0..N {
        let t = t1 - h * F(i)
        let (y_a, a_a, g_a) = _backwards(f, p, t, y, a)
        let (y_b, a_b, g_b) = _backwards(f, p, t - 0.5 * h, y - 0.5 * h * y_a, a + 0.5 * h * a_a)
        let (y_c, a_c, g_c) = _backwards(f, p, t - 0.5 * h, y - 0.5 * h * y_b, a + 0.5 * h * a_b)
        let (y_d, a_d, g_d) = _backwards(f, p, t - h, y - h * y_c, a + h * a_c)
        y = y - h / 6.0 * (y_a + 2.0 * y_b + 2.0 * y_c + y_d)
        a = a + h / 6.0 * (a_a + 2.0 * a_b + 2.0 * a_c + a_d)
        g = g + h / 6.0 * (g_a + 2.0 * g_b + 2.0 * g_c + g_d)
    }
    (a, g)
}

## f at a place, with a df/dy and a df/dp.
fn _backwards[P: record, F: float, *S](f: (P, F, F[*S]) -> F[*S], p: P, t: F, y: F[*S], a: F[*S])
        -> (F[*S], F[*S], Grad[P]) {
    let (value, pull) = vjp(fn(q: P, z: F[*S]) => f(q, t, z), wrt = (q, z))(p, y)
    let (of_p, of_y) = pull(a)
    (value, of_y, of_p)
}
