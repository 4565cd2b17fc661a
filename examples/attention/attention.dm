# A small transformer that learns to write a sequence backwards (Vaswani et al., 2017).

import optim
import schedule
from nn import Embed, LayerNorm, Linear, accuracy, cross_entropy

model Attention[D] {
    query: Linear[D, D]
    key_: Linear[D, D]
    value: Linear[D, D]
    out: Linear[D, D]

    fn forward[T](x: f32[T, D]) -> f32[T, D] {
        let scores = query(x) @ key_(x).T / sqrt(D)
        out(softmax[-1](scores) @ value(x))
    }
}

model Block[D] {
    norm1: LayerNorm[D]
    attention: Attention[D]
    norm2: LayerNorm[D]
    up: Linear[D, 2 * D]
    down: Linear[2 * D, D]

    fn forward[T](x: f32[T, D]) -> f32[T, D] {
        let h = x + attention(norm1(x))
        h + (h |> norm2 |> up |> gelu |> down)
    }
}

model Reverser[V, T, D, L] {
    token: Embed[V, D]
    param place: f32[T, D] = 0.02 * normal(key)
    blocks: L * Block[D]
    head: Linear[D, V]

    fn forward(ids: i32[T]) -> f32[T, V] {
        var h = token(ids) + place
        for block in blocks { h = block(h) }
        head(h)
    }
}

fn loss[B](net: Reverser, ids: i32[B, net.T]) -> (f32, f32) {
    let logits = [b] => net(ids[b])
    let wanted = flip[-1](ids)
    (cross_entropy(logits, wanted), accuracy(logits, wanted))
}

## A batch drawn from the key, and a step of AdamW on it.
fn step[B, V, T, D, L](net: Reverser[V, T, D, L], opt: optim.AdamW[Reverser[V, T, D, L]],
                       key: Key, peak: f32, total: i64)
        -> (f32, f32, Reverser[V, T, D, L], optim.AdamW[Reverser[V, T, D, L]]) {
    let ids = i32(floor(V * uniform[B, T](key)))
    let ((l, hits), g) = value_and_grad(loss)(net, ids)
    let rate = schedule.warmup_cosine(opt.t, peak, 50, total)
    let (net2, opt2) = optim.adamw_update(net, optim.clip_norm(g, 1.0), opt, rate)
    (l, hits, net2, opt2)
}

fn start(net: Reverser) -> optim.AdamW[Reverser] = optim.adamw_init(net)
