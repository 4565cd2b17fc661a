# A normalizing flow (Dinh et al., 2017): a density of points in the plane, learned as a map to a
# normal one that can be turned round. Each layer moves one coordinate as the other says.

import optim
from nn import Linear

model Shift[H] {
    l1: Linear[1, H](std = 1.0)
    l2: Linear[H, 2](std = 0.01)

    ## Logarithm of the scale, and shift, that the other coordinate asks for.
    fn forward[B](x: f32[B]) -> (f32[B], f32[B]) {
        let out = reshape[B, 1](x) |> l1 |> tanh |> l2
        (2.0 * tanh(out[:, 0]), out[:, 1])
    }
}

model Layer[H] {
    first: Shift[H]
    second: Shift[H]
}

model Flow[L, H] {
    layers: L * Layer[H]

    ## The normal point of each point, and the logarithm of how much the map stretches there.
    fn forward[B](x: f32[B, 2]) -> (f32[B, 2], f32[B]) {
        var a = x[:, 0]
        var b = x[:, 1]
        var stretch: f32[B] = zeros
        for layer in layers {
            let (s, m) = layer.first(b)
            a = a * exp(s) + m
            let (t, n) = layer.second(a)
            b = b * exp(t) + n
            stretch += s + t
        }
        (concat[1](reshape[B, 1](a), reshape[B, 1](b)), stretch)
    }

    ## The points of normal points: the same layers backwards.
    fn inverse[B](z: f32[B, 2]) -> f32[B, 2] {
        var a = z[:, 0]
        var b = z[:, 1]
        for i in 0..L {
            let layer = layers[L - 1 - i]
            let (t, n) = layer.second(a)
            b = (b - n) * exp(-t)
            let (s, m) = layer.first(b)
            a = (a - m) * exp(-s)
        }
        concat[1](reshape[B, 1](a), reshape[B, 1](b))
    }
}

## The negative logarithm of the density at x, on average.
fn loss[B](net: Flow, x: f32[B, 2]) -> f32 {
    let (z, stretch) = net(x)
    mean[n](0.5 * (z[n] @ z[n]) + log(2.0 * pi) - stretch[n])
}

fn start(net: Flow) -> optim.Adam[Flow] = optim.adam_init(net)

fn step[B](net: Flow, opt: optim.Adam[Flow], x: f32[B, 2], rate: f32)
        -> (f32, Flow, optim.Adam[Flow]) {
    let (l, g) = value_and_grad(loss)(net, x)
    let (net2, opt2) = optim.adam_update(net, optim.clip_norm(g, 1.0), opt, rate)
    (l, net2, opt2)
}

fn samples[N](net: Flow, key: Key) -> f32[N, 2] = net.inverse(normal[N, 2](key))

fn evaluate[B](net: Flow, x: f32[B, 2]) -> f32 = loss(net, x)
