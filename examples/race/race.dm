# Three optimizers on a hilly valley: ten times as steep across as along, with a bump in the way.

import optim

struct Hills {
    height: f64
    width: f64
    at: f64[2]
}

struct Place { p: f64[2] }

## A valley of slopes 0.05 and 0.5 around the origin, and a Gaussian bump.
fn ground(p: f64[2], h: Hills) -> f64 {
    let d = (p - h.at) / h.width
    0.05 * p[0] ** 2 + 0.5 * p[1] ** 2 + h.height * exp(-0.5 * (d @ d))
}

## The places of gradient descent with noise[t] added to the gradients.
fn descent[T](start: f64[2], noise: f64[T, 2], h: Hills, rate: f64) -> f64[T, 2] {
    var p = start
    for t in 0..T {
        p -= rate * (grad(ground)(p, h) + noise[t])
        p
    }
}

## Heavy-ball momentum.
fn momentum[T](start: f64[2], noise: f64[T, 2], h: Hills, rate: f64, beta: f64) -> f64[T, 2] {
    var p = start
    var v: f64[2] = zeros
    for t in 0..T {
        v = beta * v + grad(ground)(p, h) + noise[t]
        p -= rate * v
        p
    }
}

## Adam of the library.
fn adam[T](start: f64[2], noise: f64[T, 2], h: Hills, rate: f64) -> f64[T, 2] {
    var at = Place(p = start)
    var state = optim.adam_init(at)
    for t in 0..T {
        let slope = Place(p = grad(ground)(at.p, h) + noise[t])
        let (next, after) = optim.adam_update(at, slope, state, rate)
        at = next
        state = after
        at.p
    }
}

## The ground at each of many places.
fn heights[R, C](places: f64[R, C, 2], h: Hills) -> f64[R, C] =
    [r, c] => ground(places[r, c], h)
