# Soft dynamic time warping (Cuturi and Blondel, 2017).

fn softmin(a: f64, b: f64, c: f64, g: f64) -> f64 {
    let m = minimum(a, minimum(b, c))
    m - g * log(exp((m - a) / g) + exp((m - b) / g) + exp((m - c) / g))
}

fn distance[N, M](x: f64[N], y: f64[M], g: f64) -> f64 {
    var r = [i in 0..N + 1, j in 0..M + 1] => if i == 0 and j == 0 { 0.0 } else { 1e10 }
    for i in 0..N {
        for j in 0..M {
            r[i + 1, j + 1] = (x[i] - y[j]) ** 2 + softmin(r[i, j], r[i, j + 1], r[i + 1, j], g)
        }
    }
    r[N, M]
}
