# A charge is steered to the origin by the place of one of two others. The functions are named after
# the modes of the descent and of the force in the path.
from descent import argmin_forward, argmin_reverse, forward, reverse

fn distance(a: f64[2], b: f64[2]) -> f64 {
    let d = a - b
    sqrt(d @ d)
}

fn potential(at: f64[2], w: f64) -> f64 =
    1.0 / distance(at, [10.0, 10.0 - w]) + 1.0 / distance(at, [10.0, 0.0])

## The square of where the path, integrated by Euler's method, meets the first axis.
fn miss(slope: (f64[2]) -> f64[2]) -> f64 {
    let dt = 0.1
    var at: f64[2] = [0.0, 8.0]
    var speed: f64[2] = [0.75, 0.0]
    while at[1] + dt * speed[1] > 0.0 {
        let force = -slope(at)
        at += dt * speed
        speed += dt * force
    }
    (at[0] - at[1] / speed[1] * speed[0]) ** 2
}

fn miss_forward(w: f64) -> f64 = miss(fn(at) => forward(fn(p) => potential(p, w), at))

fn miss_reverse(w: f64) -> f64 = miss(fn(at) => reverse(fn(p) => potential(p, w), at))

fn ff(w: f64) -> f64 = argmin_forward(fn(v) => miss_forward(v[0]), [w])[0]

fn fr(w: f64) -> f64 = argmin_forward(fn(v) => miss_reverse(v[0]), [w])[0]

fn rf(w: f64) -> f64 = argmin_reverse(fn(v) => miss_forward(v[0]), [w])[0]

fn rr(w: f64) -> f64 = argmin_reverse(fn(v) => miss_reverse(v[0]), [w])[0]
