# A pendulum with friction, and what it is like by how it swings.

import ode
import optim

## p: the square of its frequency, g / l, and its friction.
fn field(p: f64[2], t: f64, y: f64[2]) -> f64[2] = [y[1], -p[0] * sin(y[0]) - p[1] * y[1]]

## Angle and speed after each of N steps of size h.
fn swing[N](p: f64[2], y0: f64[2], h: f64) -> f64[N, 2] =
    ode.rk4[N](fn(t, y) => field(p, t, y), y0, 0.0, h)

## p and the start, for which the angles are nearest to those seen: four numbers, by the method of
## Levenberg and Marquardt, whose Jacobian goes through the steps.
fn fit[N](guess: f64[4], seen: f64[N], h: f64) -> f64[4] =
    optim.levenberg_marquardt(fn(q) => angles[N](q, h) - seen, guess)

fn angles[N](q: f64[4], h: f64) -> f64[N] {
    let path = swing[N](q[:2], q[2:], h)
    path[:, 0]
}
