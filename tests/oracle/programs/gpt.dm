# A small transformer: causal attention, layer norm, gelu, a stack of blocks, tied embeddings.

from nn import Embed, LayerNorm, Linear, cross_entropy

model Attention[D, H] requires D % H == 0 {
    dim K = D / H
    param wq: f32[D, H, K] = 0.02 * normal(key)
    param wk: f32[D, H, K] = 0.02 * normal(key)
    param wv: f32[D, H, K] = 0.02 * normal(key)
    param wo: f32[H, K, D] = 0.02 * normal(key)

    fn forward[B, T](x: f32[B, T, D]) -> f32[B, T, D] {
        let q = [b, h, t, e] => sum[d](x[b, t, d] * wq[d, h, e])
        let k = [b, h, t, e] => sum[d](x[b, t, d] * wk[d, h, e])
        let v = [b, h, t, e] => sum[d](x[b, t, d] * wv[d, h, e])
        let s = [b, h, t, u] =>
            if u <= t { sum[e](q[b, h, t, e] * k[b, h, u, e]) / sqrt(K) } else { -inf }
        let y = softmax[-1](s) @ v
        [b, t, d] => sum[h, e](y[b, h, t, e] * wo[h, e, d])
    }
}

model Block[D, H] requires D % H == 0 {
    ln1: LayerNorm[D]
    attn: Attention[D, H]
    ln2: LayerNorm[D]
    up: Linear[D, 4 * D](std = 0.02)
    down: Linear[4 * D, D](std = 0.02)

    fn forward[B, T](x: f32[B, T, D]) -> f32[B, T, D] {
        let a = x + attn(ln1(x))
        a + (ln2(a) |> up |> gelu |> down)
    }
}

model GPT[V, C, D, H, L] requires D % H == 0 {
    tok: Embed[V, D]
    pos: Embed[C, D]
    blocks: L * Block[D, H]
    ln: LayerNorm[D]

    fn forward[B, T](ids: i32[B, T]) -> f32[B, T, V] requires T <= C {
        var x = tok(ids) + pos.w[:T]
        for block in blocks { x = block(x) }
        ln(x) @ tok.w.T
    }
}

fn loss[B, T](net: GPT, ids: i32[B, T + 1]) -> f32 requires T <= net.C =
    cross_entropy(net(ids[:, :-1]), ids[:, 1:])
