# Causal attention of several heads, in its plain form.

struct Heads[H, T, K] {
    q: f32[H, T, K]
    k: f32[H, T, K]
    v: f32[H, T, K]
}

fn loss[H, T, K](p: Heads[H, T, K]) -> f32 {
    let s = [h, t, u] => if u <= t { sum[e](p.q[h, t, e] * p.k[h, u, e]) / sqrt(K) } else { -inf }
    let o = softmax[-1](s) @ p.v
    mean(o * o)
}
