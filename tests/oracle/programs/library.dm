# Calls of the standard library in f32, for comparison with PyTorch's.

import optim
from nn import Conv, Embed, LayerNorm, Linear, max_pool

# ---- layers, differentiated through a weighted sum ------------------------------------------------

fn linear[B, I, O](layer: Linear[I, O], x: f32[B, I], w: f32[B, O]) -> f32 = sum(w * layer(x))

fn embed[B, V, D](layer: Embed[V, D], ids: i32[B], w: f32[B, D]) -> f32 = sum(w * layer(ids))

fn layer_norm[B, D](layer: LayerNorm[D], x: f32[B, D], w: f32[B, D]) -> f32 = sum(w * layer(x))

fn conv[B, H, W, K, I, O](layer: Conv[K, I, O], x: f32[B, H, W, I],
                          w: f32[B, H - K + 1, W - K + 1, O]) -> f32 = sum(w * layer(x))

fn pool[B, C](x: f32[B, 6, 8, C], w: f32[B, 3, 4, C]) -> f32 = sum(w * max_pool[2](x))

# ---- optimizers -----------------------------------------------------------------------------------

struct Weights[I, O] {
    w: f32[I, O]
    b: f32[O]
}

fn fit_loss[B, I, O](p: Weights[I, O], x: f32[B, I], y: f32[B, O]) -> f32 =
    mean((tanh(x @ p.w + p.b) - y) ** 2)

## The parameters after each of S steps of AdamW on gradients clipped to a norm of 0.1.
fn adamw[S, B, I, O](p0: Weights[I, O], x: f32[B, I], y: f32[B, O], lr: f32, wd: f32)
        -> f32[S, I, O] {
    var p = p0
    var s = optim.adamw_init(p0)
    for _ in 0..S {
        let g = optim.clip_norm(grad(fit_loss)(p, x, y), 0.1)
        (p, s) = optim.adamw_update(p, g, s, lr, wd)
        p.w
    }
}

## The same of heavy-ball momentum.
fn sgd[S, B, I, O](p0: Weights[I, O], x: f32[B, I], y: f32[B, O], lr: f32, momentum: f32)
        -> f32[S, I, O] {
    var p = p0
    var s = optim.sgd_init(p0)
    for _ in 0..S {
        (p, s) = optim.sgd_update(p, grad(fit_loss)(p, x, y), s, lr, momentum)
        p.w
    }
}
