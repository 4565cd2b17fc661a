# A transformer with layer norms before its parts and an output tied to its embedding, and one step
# of AdamW on it, with its gradient clipped.

import optim
from nn import Embed, LayerNorm, Linear, cross_entropy

model Attention[D, H] requires D % H == 0 {
    qkv: Linear[D, 3 * D]
    out: Linear[D, D]

    fn forward[B, T](x: f32[B, T, D]) -> f32[B, T, D] {
        let z = reshape[B, T, 3, H, D / H](qkv(x))
        let s = [b, h, t, u] =>
            if u <= t { sum[e](z[b, t, 0, h, e] * z[b, u, 1, h, e]) / sqrt(D / H) } else { -inf }
        let p = softmax[-1](s)
        out(reshape[B, T, D]([b, t, h, e] => sum[u](p[b, h, t, u] * z[b, u, 2, h, e])))
    }
}

model Block[D, H] requires D % H == 0 {
    norm1: LayerNorm[D]
    attention: Attention[D, H]
    norm2: LayerNorm[D]
    up: Linear[D, 4 * D]
    down: Linear[4 * D, D]

    fn forward[B, T](x: f32[B, T, D]) -> f32[B, T, D] {
        let h = x + attention(norm1(x))
        h + (norm2(h) |> up |> gelu |> down)
    }
}

model GPT[V, C, D, H, L] requires D % H == 0 {
    token: Embed[V, D]
    param place: f32[C, D] = 0.02 * normal(key)
    blocks: L * Block[D, H]
    norm: LayerNorm[D]

    fn forward[B, T](ids: i32[B, T]) -> f32[B, T, V] requires T <= C {
        var x = token(ids) + place[:T]
        for block in blocks { x = block(x) }
        norm(x) @ token.w.T
    }
}

fn loss[B, T](net: GPT, ids: i32[B, T], y: i32[B, T]) -> f32 requires T <= net.C =
    cross_entropy(net(ids), y)

fn start(net: GPT) -> optim.AdamW[GPT] = optim.adamw_init(net)

fn step[B, T](net: GPT, opt: optim.AdamW[GPT], ids: i32[B, T], y: i32[B, T], lr: f32)
        -> (f32, GPT, optim.AdamW[GPT]) requires T <= net.C {
    let (l, g) = value_and_grad(loss)(net, ids, y)
    let (net2, opt2) = optim.adamw_update(net, optim.clip_norm(g, 1.0), opt, lr)
    (l, net2, opt2)
}
