# Programs in which something is not selected. `tests/autodiff/test_exact_zeros_in_programs.py` puts
# infinities and NaN there.
fn rows[N, D, E](w: f64[D, E], x: f64[N, D], ok: bool[N]) -> f64 =
    sum(where(ok[:, _], sin(x @ w), 0.0) ** 2)
fn dots[N, D](w: f64[D], x: f64[N, D], ok: bool[N]) -> f64 = sum(where(ok, x @ w, 0.0) ** 2)
fn branch[N, D](w: f64[D], x: f64[N, D], ok: bool[N]) -> f64 =
    sum([n] => if ok[n] { sum[d](x[n, d] * w[d]) ** 2 } else { 0.0 })
fn relus[N, D, E](w: f64[D, E], x: f64[N, D], ok: bool[N]) -> f64 =
    sum(where(ok[:, _], maximum(x @ w, 0.0) @ w.T, 0.0) ** 2)
fn causal[T, D](p: f64[T, T], v: f64[T, D]) -> f64[T, D] =
    [t, e] => sum[u](if u < t { p[t, u] * v[u, e] } else { 0.0 })
fn causally[T, D](w: f64[T, T], x: f64[T, D]) -> f64 = sum(causal(w, x) ** 2)
fn long[K](w: f64[K, 8], x: f64[5, K], ok: bool[K]) -> f64 =
    sum(sin([i, j] => sum[k](if ok[k] { x[i, k] * w[k, j] } else { 0.0 })))
fn factors[N, D](w: f64[D], x: f64[N, D], ok: bool[N]) -> f64 =
    sum([n] => if ok[n] { prod([d] => x[n, d] * w[d]) } else { 0.0 })
fn running[N, D](w: f64[D], x: f64[N, D], ok: bool[N]) -> f64 =
    sum(where(ok[:, _], cumprod[1](x * w), 0.0) ** 2)
fn softly[N, D](w: f64[D], x: f64[N, D], ok: bool[N]) -> f64 =
    sum(where(ok[:, _], softmax[-1](x * w), 0.0) ** 2)
fn log_sums[N, D](w: f64[D], x: f64[N, D], ok: bool[N]) -> f64 =
    sum(where(ok, logsumexp[-1](x * w), 0.0) ** 2)
fn greatest[N, D](w: f64[D], x: f64[N, D], ok: bool[N]) -> f64 =
    sum(where(ok, max[-1](x * w), 0.0) ** 2)
fn sorted[N, D](w: f64[D], x: f64[N, D], ok: bool[N]) -> f64 =
    sum(where(ok[:, _], sort[-1](x * w), 0.0) ** 2)
fn first[N, D](w: f64[D], x: f64[N, D], ok: bool[N]) -> f64 {
    let y = log(x * w[_, :]) ** 2
    var s = 0.0
    for n in 0..N {
        if ok[n] { s += sum(y[n]) ** 2 }
    }
    s
}
fn stepped[N, D](w: f64[D], x: f64[N, D], ok: bool[N]) -> f64 {
    var s: f64[D] = zeros
    for n in 0..N {
        let y = sqrt(x[n] * w) + s * s
        s = if ok[n] { sin(y) } else { s }
    }
    sum(s)
}
fn unused_at_the_end[N, D](w: f64[D], x: f64[N, D]) -> f64 {
    var s = w
    var total = 0.0
    for n in 0..N {
        total += sum(s ** 2)
        s = sin(s) * x[n]
    }
    total
}
fn root(x: f64) -> f64 = sqrt(x)
derivative root(x) -> y { jvp(dx) = 0.5 * dx / y }
fn rooted[N, D](w: f64[D], x: f64[N, D], ok: bool[N]) -> f64 =
    sum([n] => sum[d](root(where(ok[n], w[d] * x[n, d], 0.0))))
fn weighted(x: f64, w: f64) -> f64 = x * log(w)
derivative weighted(x, w) -> y { jvp(dx, dw) = dx * log(w) + dw * (x / w) }
fn ruled[N, D](w: f64[D], x: f64[N, D], ok: bool[N]) -> f64 =
    sum([n] => if ok[n] { sum[d](weighted(w[d], x[n, d]) ** 2) } else { 0.0 })
