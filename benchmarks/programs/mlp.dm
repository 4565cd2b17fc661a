# A multilayer perceptron with softmax cross-entropy, and one AdamW step on it.

import optim
from nn import Linear, relu, cross_entropy

model MLP[I, H, O] {
    l0: Linear[I, H]
    l1: Linear[H, H]
    l2: Linear[H, O]

    fn forward[B](x: f32[B, I]) -> f32[B, O] = x |> l0 |> relu |> l1 |> relu |> l2
}

fn loss[B](net: MLP, x: f32[B, net.I], y: i32[B]) -> f32 = cross_entropy(net(x), y)

fn start(net: MLP) -> optim.AdamW[MLP] = optim.adamw_init(net)

fn step[B](net: MLP, opt: optim.AdamW[MLP], x: f32[B, net.I], y: i32[B], lr: f32)
        -> (f32, MLP, optim.AdamW[MLP]) {
    let (l, g) = value_and_grad(loss)(net, x, y)
    let (net2, opt2) = optim.adamw_update(net, g, opt, lr)
    (l, net2, opt2)
}
