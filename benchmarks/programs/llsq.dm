# A polynomial is fitted to the signs of N places between -1 and 1.

fn misfit[N, M](x: f64[M], t: f64[N]) -> f64 {
    let error = [i] => sign(t[i]) - sum[j](x[j] * t[i] ** f64(j))
    0.5 * sum(error ** 2)
}
