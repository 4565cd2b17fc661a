# A learned optimizer (Andrychowicz et al., 2016): what to do with a gradient is itself learned, by
# gradients through whole runs of it. Each coordinate of a problem is treated alike.

import optim
from nn import Linear

## A quadratic, 0.5 |a (x - c)|², of which a optimizer sees gradients only.
struct Bowl[D] {
    a: f64[D, D]
    c: f64[D]
}

fn height[D](x: f64[D], bowl: Bowl[D]) -> f64 {
    let r = bowl.a @ (x - bowl.c)
    0.5 * (r @ r)
}

## From gradients and their averages, at three rates, to a step, for each coordinate.
model Rule[H] {
    l1: Linear[4, H, f64]
    l2: Linear[H, 1, f64](std = 0.01)
    param rate: f64 = -2.0

    fn forward[D](seen: f64[D, 4]) -> f64[D] =
        exp(rate) * (seen[:, 1] + (seen |> l1 |> tanh |> l2)[:, 0])
}

## Heights after each of T steps from 0.
fn run[T, D](rule: Rule, bowl: Bowl[D]) -> f64[T] {
    var x: f64[D] = zeros
    var fast: f64[D] = zeros
    var middle: f64[D] = zeros
    var slow: f64[D] = zeros
    for _ in 0..T {
        let g = grad(height)(x, bowl)
        fast = 0.5 * fast + 0.5 * g
        middle = 0.8 * middle + 0.2 * g
        slow = 0.95 * slow + 0.05 * g
        x -= rule([d, k in 0..4] =>
            if k == 0 { g[d] } else if k == 1 { fast[d] } else if k == 2 { middle[d] } else { slow[d] })
        height(x, bowl)
    }
}

## Gradient descent, for comparison.
fn descent[T, D](rate: f64, bowl: Bowl[D]) -> f64[T] {
    var x: f64[D] = zeros
    for _ in 0..T {
        x -= rate * grad(height)(x, bowl)
        height(x, bowl)
    }
}

## The mean logarithm of the height along runs on many bowls.
fn loss[B, T, D](rule: Rule, bowls: B * Bowl[D]) -> f64 =
    mean[b in 0..B, t in 0..T](log(run[T](rule, bowls[b])[t] + 1e-9))

fn start(rule: Rule) -> optim.Adam[Rule] = optim.adam_init(rule)

fn step[T, B, D](rule: Rule, opt: optim.Adam[Rule], bowls: B * Bowl[D], rate: f64)
        -> (f64, Rule, optim.Adam[Rule]) {
    let (l, g) = value_and_grad(loss[B, T, D])(rule, bowls)
    let (rule2, opt2) = optim.adam_update(rule, optim.clip_norm(g, 1.0), opt, rate)
    (l, rule2, opt2)
}

fn ends[T, B, D](rule: Rule, bowls: B * Bowl[D]) -> f64[B] = [b] => run[T](rule, bowls[b])[T - 1]
fn descent_ends[T, B, D](rate: f64, bowls: B * Bowl[D]) -> f64[B] =
    [b] => descent[T](rate, bowls[b])[T - 1]
