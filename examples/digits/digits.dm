# Handwritten digits: a multilayer perceptron, and one whole training step as one function.

import optim
import schedule
from nn import Linear, accuracy, cross_entropy, relu

model MLP[I, H, O] {
    l1: Linear[I, H](std = sqrt(2.0 / I))
    l2: Linear[H, H](std = sqrt(2.0 / H))
    l3: Linear[H, O]

    fn forward[B](x: f32[B, I]) -> f32[B, O] = x |> l1 |> relu |> l2 |> relu |> l3
}

## Mean cross-entropy, which is differentiated; the accuracy rides along.
fn loss[B](net: MLP, x: f32[B, net.I], y: i32[B]) -> (f32, f32) {
    let logits = net(x)
    (cross_entropy(logits, y), accuracy(logits, y))
}

struct Score {
    loss: f32
    accuracy: f32
}

## Loss and accuracy on held-out data.
fn evaluate[B](net: MLP, x: f32[B, net.I], y: i32[B]) -> Score {
    let (l, hits) = loss(net, x, y)
    Score(loss = l, accuracy = hits)
}

## What a step reports beside its loss.
struct Metrics {
    accuracy: f32
    learning_rate: f32
    gradient_norm: f32
}

## The optimizer's state before the first step.
fn start(net: MLP) -> optim.AdamW[MLP] = optim.adamw_init(net)

## Loss, backward pass, clipping, schedule and AdamW: one compiled function.
fn step[B](net: MLP, opt: optim.AdamW[MLP], x: f32[B, net.I], y: i32[B],
           peak: f32, warmup: i64, total: i64, clip: f32, decay: f32)
        -> (f32, MLP, optim.AdamW[MLP], Metrics) {
    let ((l, hits), g) = value_and_grad(loss)(net, x, y)
    let rate = schedule.warmup_cosine(opt.t, peak, warmup, total)
    let (net2, opt2) = optim.adamw_update(net, optim.clip_norm(g, clip), opt, rate, decay)
    let norm = optim.global_norm(g)
    (l, net2, opt2, Metrics(accuracy = hits, learning_rate = rate, gradient_norm = norm))
}
