# An encoder and a decoder of gated recurrent units (Cho et al., 2014), without attention.

from nn import Embed, Linear, cross_entropy

model GRU[D, H] {
    param wx: f32[D, 3 * H] = normal(key) / sqrt(D)
    param wh: f32[H, 3 * H] = normal(key) / sqrt(H)
    param b: f32[3 * H] = zeros

    fn forward[B](x: f32[B, D], h: f32[B, H]) -> f32[B, H] {
        let a = reshape[B, 3, H](x @ wx + b)
        let s = reshape[B, 3, H](h @ wh)
        let reset = sigmoid(a[:, 0] + s[:, 0])
        let keep = sigmoid(a[:, 1] + s[:, 1])
        keep * h + (1.0 - keep) * tanh(a[:, 2] + reset * s[:, 2])
    }
}

model Seq2Seq[V, D, H] {
    token: Embed[V, D]
    encoder: GRU[D, H]
    decoder: GRU[D, H]
    out: Linear[H, V]

    fn forward[B, S, T](source: i32[S, B], given: i32[T, B]) -> f32[T, B, V] {
        var h: f32[B, H] = zeros
        for x in token(source) { h = encoder(x, h) }
        let hs = for x in token(given) {
            h = decoder(x, h)
            h
        }
        out(hs)
    }
}

fn loss[B, S, T](net: Seq2Seq, source: i32[S, B], given: i32[T, B], wanted: i32[T, B]) -> f32 =
    cross_entropy(net(source, given), wanted)
