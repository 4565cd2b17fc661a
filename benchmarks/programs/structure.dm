# Programs that say by their subscripts what they read: a convolution, a stencil, a mask, a table.
struct Heads[H, T, K] {
    q: f32[H, T, K]
    k: f32[H, T, K]
    v: f32[H, T, K]
}

fn attention[H, T, K](p: Heads[H, T, K]) -> f32 {
    let s = [h, t, u] => if u <= t { sum[e](p.q[h, t, e] * p.k[h, u, e]) / sqrt(K) } else { -inf }
    let o = softmax[-1](s) @ p.v
    mean(o * o)
}

fn convolution[B, H, W, I, O](k: f32[3, 3, I, O], x: f32[B, H, W, I]) -> f32 {
    var xp: f32[B, H + 2, W + 2, I] = zeros
    xp[:, 1:-1, 1:-1, :] = x
    let y = [n, r in 0..H, c in 0..W, o] => sum[i, j, q](xp[n, r + i, c + j, q] * k[i, j, q, o])
    mean(y * y)
}

fn heat[N](start: f64[N, N]) -> f64 {
    var u = start
    for s in 0..100 {
        u = [i, j] => u[i, j] + 0.1 * (u[maximum(i - 1, 0), j] + u[minimum(i + 1, N - 1), j]
            + u[i, maximum(j - 1, 0)] + u[i, minimum(j + 1, N - 1)] - 4.0 * u[i, j])
    }
    sum(u * u)
}

fn lagged[T](x: f64[T]) -> f64 {
    var s = 0.0
    for t in 1..T { s += x[t] * x[t - 1] }
    s
}

fn pairs[N](x: f64[N]) -> f64 = sum[i, j](exp(-(x[i] - x[j]) ** 2))

fn softmin3(a: f64, b: f64, c: f64, g: f64) -> f64 {
    let m = minimum(a, minimum(b, c))
    m - g * log(exp((m - a) / g) + exp((m - b) / g) + exp((m - c) / g))
}

fn soft_dtw[N, M](x: f64[N], y: f64[M], g: f64) -> f64 {
    var r = [i in 0..N + 1, j in 0..M + 1] => if i == 0 and j == 0 { 0.0 } else { 1e10 }
    for i in 0..N {
        for j in 0..M {
            r[i + 1, j + 1] = (x[i] - y[j]) ** 2 + softmin3(r[i, j], r[i, j + 1], r[i + 1, j], g)
        }
    }
    r[N, M]
}
