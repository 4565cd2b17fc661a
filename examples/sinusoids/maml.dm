# Learning to learn (Finn, Abbeel and Levine, 2017): weights from which a few gradient steps on ten
# points of a sine wave give the wave. The gradient goes through the gradient steps.

import optim
from nn import Linear, mse

model Net {
    l1: Linear[1, 40](std = 1.0)
    l2: Linear[40, 40]
    l3: Linear[40, 1]

    fn forward[B](x: f32[B]) -> f32[B] =
        (reshape[B, 1](x) |> l1 |> tanh |> l2 |> tanh |> l3)[:, 0]
}

fn loss[B](net: Net, x: f32[B], y: f32[B]) -> f32 = mse(net(x), y)

## The net after gradient steps on one wave.
fn adapted[B](net: Net, x: f32[B], y: f32[B], steps: i64, rate: f32) -> Net {
    var n = net
    for _ in 0..steps { n = n - rate * grad(loss)(n, x, y) }
    n
}

## One step of Adam on the loss at new points of many waves, after a gradient step on each.
fn step[T, B](net: Net, opt: optim.Adam[Net], x: f32[T, 2, B], y: f32[T, 2, B], rate: f32,
              inner: f32) -> (f32, Net, optim.Adam[Net]) {
    let (l, g) = value_and_grad(meta)(net, x, y, inner)
    let (net2, opt2) = optim.adam_update(net, g, opt, rate)
    (l, net2, opt2)
}

fn meta[T, B](net: Net, x: f32[T, 2, B], y: f32[T, 2, B], inner: f32) -> f32 =
    mean[t in 0..T](loss(adapted(net, x[t, 0], y[t, 0], 1, inner), x[t, 1], y[t, 1]))

fn start(net: Net) -> optim.Adam[Net] = optim.adam_init(net)
