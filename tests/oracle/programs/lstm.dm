# A character LSTM: gates as one stacked product, the state carried by a `for` over the text.

from nn import Linear, Embed, cross_entropy

model LSTM[D, H] {
    param wx: f32[D, 4, H] = normal(key) / sqrt(D)
    param wh: f32[H, 4, H] = normal(key) / sqrt(H)
    param b: f32[4, H] = zeros

    fn forward[B](x: f32[B, D], h: f32[B, H], c: f32[B, H]) -> (f32[B, H], f32[B, H]) {
        let z = [g, n, k] =>
            sum[d](x[n, d] * wx[d, g, k]) + sum[j](h[n, j] * wh[j, g, k]) + b[g, k]
        let c2 = sigmoid(z[1] + 1.0) * c + sigmoid(z[0]) * tanh(z[3])
        (sigmoid(z[2]) * tanh(c2), c2)
    }
}

model CharLM[V, D, H] {
    emb: Embed[V, D]
    cell: LSTM[D, H]
    out: Linear[H, V]

    fn forward[B, T](ids: i32[B, T]) -> f32[T, B, V] {
        var h: f32[B, H] = zeros
        var c: f32[B, H] = zeros
        let hs = for x in emb(ids.T) {       # x: f32[B, D]
            (h, c) = cell(x, h, c)
            h                                           # stacked to f32[T, B, H]
        }
        out(hs)
    }
}

fn loss[B, T](net: CharLM, ids: i32[B, T + 1]) -> f32 =
    cross_entropy(net(ids[:, :-1]), ids[:, 1:].T)
