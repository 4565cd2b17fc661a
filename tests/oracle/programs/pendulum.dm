# A damped pendulum by RK4, its misfit to observed angles, and a fit of its parameters.

struct Pendulum {
    g_over_l: f64
    damping: f64
}

fn field(p: Pendulum, y: f64[2]) -> f64[2] =
    [y[1], -p.g_over_l * sin(y[0]) - p.damping * y[1]]

fn rk4[N](f: (f64[N]) -> f64[N], y: f64[N], h: f64) -> f64[N] {
    let k1 = f(y)
    let k2 = f(y + 0.5 * h * k1)
    let k3 = f(y + 0.5 * h * k2)
    let k4 = f(y + h * k3)
    y + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
}

fn simulate[T](p: Pendulum, y0: f64[2], h: f64) -> f64[T, 2] {
    var y = y0
    for _ in 0..T {
        y = rk4(fn(s) => field(p, s), y, h)
        y
    }
}

fn misfit[T](p: Pendulum, y0: f64[2], h: f64, angle: f64[T]) -> f64 =
    mean((simulate[T](p, y0, h)[:, 0] - angle) ** 2)

fn fit[T](p0: Pendulum, y0: f64[2], h: f64, angle: f64[T], lr: f64, steps: i64) -> Pendulum {
    var p = p0
    for _ in 0..steps { p -= lr * grad(misfit)(p, y0, h, angle) }
    p
}
