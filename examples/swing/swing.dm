# A neural ODE (Chen et al., 2018): what drives a system, learned from where it went.

import ode
import optim
from nn import Linear

model Field[H] {
    l1: Linear[2, H, f64](std = 1.0)
    l2: Linear[H, 2, f64](std = 0.1)

    fn forward(t: f64, y: f64[2]) -> f64[2] = l2(tanh(l1(y)))
}

## What is to be learned: a pendulum with friction; y is its angle and its speed.
fn truth(t: f64, y: f64[2]) -> f64[2] = [y[1], -0.2 * y[1] - 4.0 * sin(y[0])]

fn path[N](y0: f64[2], h: f64) -> f64[N, 2] = ode.rk4[N](truth, y0, 0.0, h)

## The same steps, of Runge and Kutta, driven by a net.
fn learned_path[N](net: Field, y0: f64[2], h: f64) -> f64[N, 2] = ode.rk4[N](net, y0, 0.0, h)

## Mean squared distance from short pieces of the path, each from its own start.
fn loss[B, N](net: Field, start: f64[B, 2], seen: f64[B, N, 2], h: f64) -> f64 {
    let paths = [b] => learned_path[N](net, start[b], h)
    mean((paths - seen) ** 2)
}

fn start(net: Field) -> optim.Adam[Field] = optim.adam_init(net)

fn step[B, N](net: Field, opt: optim.Adam[Field], start: f64[B, 2], seen: f64[B, N, 2], h: f64,
              rate: f64) -> (f64, Field, optim.Adam[Field]) {
    let (l, g) = value_and_grad(loss)(net, start, seen, h)
    let (net2, opt2) = optim.adam_update(net, g, opt, rate)
    (l, net2, opt2)
}
