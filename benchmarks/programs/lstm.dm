# One layer of long short-term memory (Hochreiter and Schmidhuber, 1997) and a dense output.

from nn import cross_entropy

struct Net[I, H, V] {
    wx: f32[4 * H, I]
    wh: f32[4 * H, H]
    b: f32[4 * H]
    wo: f32[H, V]
    bo: f32[V]
}

fn loss[T, B, I, H, V](p: Net[I, H, V], x: f32[T, B, I], y: i32[T, B]) -> f32 {
    var h: f32[B, H] = zeros
    var c: f32[B, H] = zeros
    let all = for now in x {
        let z = reshape[B, 4, H](now @ p.wx.T + h @ p.wh.T + p.b)
        c = sigmoid(z[:, 1]) * c + sigmoid(z[:, 0]) * tanh(z[:, 2])
        h = sigmoid(z[:, 3]) * tanh(c)
        h
    }
    cross_entropy(all @ p.wo + p.bo, y)
}
