# LeNet (LeCun et al., 1998) with batch norm, which keeps running statistics as state; images are
# moved a little while it learns.

import optim
import random
import schedule
from nn import accuracy, BatchNorm, Conv2, cross_entropy, Linear, max_pool, relu

model LeNet[V] {
    conv1: Conv2[3, 1, 1, 1, 24]
    norm1: BatchNorm[24]
    conv2: Conv2[3, 1, 1, 24, 48]
    norm2: BatchNorm[48]
    hidden: Linear[192, 96](std = sqrt(2.0 / 192))
    norm3: BatchNorm[96]
    last: Linear[96, V]

    mut fn forward[B](x: f32[B, 8, 8, 1]) -> f32[B, V] {
        let a = x |> conv1 |> norm1 |> relu |> max_pool[2]
        let b = a |> conv2 |> norm2 |> relu |> max_pool[2]
        reshape[B, 192](b) |> hidden |> norm3 |> relu |> last
    }

    ## By the running statistics, one image at a time.
    fn infer[B](x: f32[B, 8, 8, 1]) -> f32[B, V] {
        let a = norm1.infer(conv1(x)) |> relu |> max_pool[2]
        let b = norm2.infer(conv2(a)) |> relu |> max_pool[2]
        norm3.infer(hidden(reshape[B, 192](b))) |> relu |> last
    }
}

## Each image moved by up to a pixel down and to the right, with nothing outside.
fn moved[B](x: f32[B, 8, 8, 1], key: Key) -> f32[B, 8, 8, 1] {
    let (a, b) = split(key)
    let down = random.randint[B](a, -1, 2)
    let right = random.randint[B](b, -1, 2)
    [n, r in 0..8, c in 0..8, k] => {
        let i = r - down[n]
        let j = c - right[n]
        if i >= 0 and i < 8 and j >= 0 and j < 8 { x[n, i, j, k] } else { 0.0 }
    }
}

## The updated model rides along.
fn loss[B](var net: LeNet, x: f32[B, 8, 8, 1], y: i32[B]) -> (f32, LeNet) {
    let logits = net(x)
    (cross_entropy(logits, y, smoothing = 0.05), net)
}

struct Score {
    loss: f32
    accuracy: f32
}

fn evaluate[B](net: LeNet, x: f32[B, 8, 8, 1], y: i32[B]) -> Score {
    let logits = net.infer(x)
    Score(loss = cross_entropy(logits, y), accuracy = accuracy(logits, y))
}

fn guesses[B](net: LeNet, x: f32[B, 8, 8, 1]) -> i32[B] = argmax[-1](net.infer(x))

fn start(net: LeNet) -> optim.AdamW[LeNet] = optim.adamw_init(net)

fn step[B](net: LeNet, opt: optim.AdamW[LeNet], x: f32[B, 8, 8, 1], y: i32[B], key: Key,
           peak: f32, total: i64) -> (f32, LeNet, optim.AdamW[LeNet]) {
    let ((l, seen), g) = value_and_grad(loss)(net, moved(x, key), y)
    let rate = schedule.warmup_cosine(opt.t, peak, 50, total)
    let (net2, opt2) = optim.adamw_update(seen, g, opt, rate, wd = 0.05)
    (l, net2, opt2)
}
