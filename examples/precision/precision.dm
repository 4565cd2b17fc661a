# A net whose weights are f32 and which computes in f32, in bf16 or in f16 (Micikevicius et al., 2018).

import optim
import training
from nn import cross_entropy, Linear

model Net[I, H, O, F: float = f32] {
    hidden: Linear[I, H, F]
    last: Linear[H, O, F]

    fn forward[B](x: F[B, I]) -> F[B, O] = last(tanh(hidden(x)))
}

fn loss_f32[B](net: Net, x: f32[B, net.I], y: i32[B]) -> f32 = cross_entropy(net(x), y)

fn loss_bf16[B](net: Net, x: f32[B, net.I], y: i32[B]) -> f32 =
    cross_entropy(f32(cast[bf16](net)(bf16(x))), y)

fn loss_f16[B](net: Net, x: f32[B, net.I], y: i32[B]) -> f32 =
    cross_entropy(f32(cast[f16](net)(f16(x))), y)

fn start(net: Net) -> optim.Adam[Net] = optim.adam_init(net)

fn update(net: Net, g: Grad[Net], opt: optim.Adam[Net]) -> (Net, optim.Adam[Net]) =
    optim.adam_update(net, g, opt, 0.01)

fn step_f32[B](net: Net, opt: optim.Adam[Net], x: f32[B, net.I], y: i32[B])
        -> (f32, Net, optim.Adam[Net]) {
    let (l, g) = value_and_grad(loss_f32)(net, x, y)
    let (net2, opt2) = update(net, g, opt)
    (l, net2, opt2)
}

fn step_bf16[B](net: Net, opt: optim.Adam[Net], x: f32[B, net.I], y: i32[B])
        -> (f32, Net, optim.Adam[Net]) {
    let (l, g) = value_and_grad(loss_bf16)(net, x, y)
    let (net2, opt2) = update(net, g, opt)
    (l, net2, opt2)
}

## Small gradients would be 0 in f16: the loss is multiplied by a scale before it is differentiated.
fn step_f16[B](
    net: Net, opt: optim.Adam[Net], s: training.LossScale, x: f32[B, net.I], y: i32[B],
) -> (f32, Net, optim.Adam[Net], training.LossScale) =
    training.mixed_step(fn(q) => loss_f16(q, x, y), update, net, opt, s)

fn right[B](net: Net, x: f32[B, net.I], y: i32[B]) -> f32 = mean(f32(argmax[-1](net(x)) == y))
