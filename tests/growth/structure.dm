# Programs whose subscripts are affine, clamped or periodic: what a gradient of them may cost.
fn conv[N](x: f64[N, N, 2], k: f64[3, 3, 2, 3]) -> f64 {
    let y = [r in 0..N - 2, c in 0..N - 2, o] => sum[i, j, q](x[r + i, c + j, q] * k[i, j, q, o])
    sum(y * y)
}

fn edges[N](x: f64[N, N, 4], k: f64[3, 3, 4, 8]) -> f64 {
    let y = [r in 0..N, c in 0..N, o] => sum[i, j, q](
        x[minimum(maximum(r + i - 1, 0), N - 1), minimum(maximum(c + j - 1, 0), N - 1), q]
            * k[i, j, q, o])
    sum(y * y * y)
}

fn heat[N](u: f64[N, N]) -> f64 {
    var v = u
    for s in 0..2 {
        v = [i, j] => 0.2 * (v[i, j] + v[maximum(i - 1, 0), j] + v[minimum(i + 1, N - 1), j]
            + v[i, maximum(j - 1, 0)] + v[i, minimum(j + 1, N - 1)])
    }
    sum(v * v)
}

fn attention[T](q: f64[T, 4], k: f64[T, 4], v: f64[T, 4]) -> f64 {
    let s = [t, u] => if u <= t { sum[e](q[t, e] * k[u, e]) } else { -inf }
    let o = softmax[-1](s) @ v
    sum(o * o)
}

fn lagged[N](x: f64[N]) -> f64 = sum[i in 0..N - 1](x[i] * sin(x[i + 1]))

fn windows[N](x: f64[N], w: f64[8]) -> f64 =
    sum([r in 0..N - 7] => sum[i](tanh(x[r + i] * w[i])) ** 2)

fn periodic[N](x: f64[N]) -> f64 = sum[i, j in 0..4](sin(x[i] * x[(i + j) % N]))

fn upsampled[N](x: f64[N]) -> f64 = sum[i in 0..2 * N](sin(x[i // 2] * f64(i)))

fn pairs[N](x: f64[N]) -> f64 = sum[i, j](exp(-(x[i] - x[j]) ** 2))

fn triangle[N](a: f64[N, N], x: f64[N]) -> f64 = sum([i] => sum[j](if j <= i { a[i, j] * x[j] } else { 0.0 }) ** 2)

fn band[N](a: f64[N, N], x: f64[N]) -> f64[N] =
    [i] => sum[j](if abs(i - j) <= 2 { a[i, j] * x[j] } else { 0.0 })

fn kmeans[N](x: f64[N, 2], c: f64[4, 2]) -> f64 = sum([n] => min([k] => sum[d]((x[n, d] - c[k, d]) ** 2)))

## The lower triangle of each matrix packed by columns behind its diagonal.
fn mixture[N](mu: f64[4, 3], l: f64[4, 6], x: f64[N, 3]) -> f64 {
    let inner = [n, k in 0..4] => {
        let d = [i] => x[n, i] - mu[k, i]
        let z = [r in 0..3] => exp(l[k, r]) * d[r] + sum[c in 0..r](l[k, below(r, c)] * d[c])
        -0.5 * (z @ z)
    }
    sum(logsumexp[-1](inner))
}

fn below(r: i64, c: i64) -> i64 = 3 + c * 2 - c * (c - 1) // 2 + r - c - 1
