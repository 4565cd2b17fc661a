# Programs whose subscripts say all there is to say: windows, stencils, masks, lags.
struct Heads[H, T, K] {
    q: f64[H, T, K]
    k: f64[H, T, K]
    v: f64[H, T, K]
}

## Causal attention, the mask as a branch on indexes.
fn attention[H, T, K](p: Heads[H, T, K]) -> f64 {
    let s = [h, t, u] => if u <= t { sum[e](p.q[h, t, e] * p.k[h, u, e]) / sqrt(K) } else { -inf }
    let o = softmax[-1](s) @ p.v
    mean(o * o)
}

struct Filter[H, W, I, O] {
    x: f64[2, H, W, I]
    k: f64[3, 3, I, O]
}

## A convolution of an image padded by assigning into zeros, strides of two, and a maximum of windows.
fn convolution[H, W, I, O](p: Filter[H, W, I, O]) -> f64 {
    var padded: f64[2, H + 2, W + 2, I] = zeros
    padded[:, 1:-1, 1:-1, :] = p.x
    let y = [n, r in 0..H, c in 0..W, o] => sum[i, j, q](padded[n, r + i, c + j, q] * p.k[i, j, q, o])
    let z = [n, r in 0..H // 2, c in 0..W // 2, o] => max[i in 0..2, j in 0..2](y[n, 2 * r + i, 2 * c + j, o])
    sum(tanh(z))
}

struct Field[N] {
    u: f64[N, N]
}

## Neighbours clamped at the border.
fn heat[N](p: Field[N]) -> f64 {
    var u = p.u
    for s in 0..5 {
        u = [i, j] => u[i, j] + 0.1 * (u[maximum(i - 1, 0), j] + u[minimum(i + 1, N - 1), j]
            + u[i, maximum(j - 1, 0)] + u[i, minimum(j + 1, N - 1)] - 4.0 * u[i, j])
    }
    sum(u ** 3)
}

## Neighbours that wrap, in both directions, and rows read backwards.
fn periodic[N](p: Field[N]) -> f64 =
    sum[i, j](sin(p.u[(i + 1) % N, j] * p.u[i, (j + N - 1) % N]) * p.u[N - 1 - i, j])

struct Series[N] {
    x: f64[N]
}

fn lagged[N](p: Series[N]) -> f64 = sum[i in 0..N - 2, j in 0..3](exp(0.1 * p.x[i + j]) * p.x[i])

fn upsampled[N](p: Series[N]) -> f64 = sum[i in 0..3 * N](sin(p.x[i // 3] * f64(i)) * p.x[i % N])

## A difference kernel: everything with everything.
fn pairs[N](p: Series[N]) -> f64 = sum[i, j](if i < j { exp(-(p.x[i] - p.x[j]) ** 2) } else { 0.0 })

## Sums over a triangle and over a band, of vectors and of matrices.
fn masked[N](p: Field[N]) -> f64 {
    let lower = [t] => sum[s](if s <= t { p.u[t, s] * p.u[s, t] } else { 0.0 })
    let band = [t, e] => sum[s](if abs(t - s) < 3 { p.u[t, s] * p.u[s, e] } else { 0.0 })
    let later = [e] => sum[t](if e < t { sin(p.u[t, e]) } else { 0.0 })
    sum(lower * later) + sum(band * band)
}

## Elements whose loops have lengths of their own.
fn history[N](p: Series[N]) -> f64 {
    let y = [i in 0..N] => {
        var s = p.x[i]
        for j in 0..i { if p.x[j] > 0.0 { s += sin(p.x[j] * p.x[i - j]) } else { s = s * 0.9 } }
        s
    }
    sum(y * y)
}

## A table that is written where a condition holds, and read as a whole.
fn gated[N](p: Series[N]) -> f64 {
    var h = [i in 0..N] => 0.1
    for t in 0..N {
        var s = p.x[t]
        for u in 0..N { s += p.x[u] * sin(h[u]) }
        if s > 0.0 {
            h[t] = tanh(s)
            if p.x[t] > 0.5 { h[0] = h[t] * h[0] }
        }
    }
    sum(h * h)
}

## Elements and parts that are read by constant subscripts, and the largest elements.
fn chosen[N](p: Series[N]) -> f64 {
    var s = max(p.x) * p.x[2]
    for t in 0..3 {
        s = sin(s + p.x[t]) * min(p.x[2:6])
        if s > 0.0 { s += p.x[1] * sum(p.x[3:5]) }
    }
    s + p.x[2] ** 2 + p.x[0] * p.x[2]
}
