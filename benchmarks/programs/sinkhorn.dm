# Entropic optimal transport between two clouds of points (Cuturi, 2013), by logarithms.

struct Clouds[N, M, D] {
    x: f64[N, D]
    y: f64[M, D]
}

fn transport[N, M, D](p: Clouds[N, M, D], blur: f64) -> f64 {
    let cost = [i, j] => sum[d]((p.x[i, d] - p.y[j, d]) ** 2)
    var f: f64[N] = zeros
    var g: f64[M] = zeros
    for _ in 0..50 {
        f = [i] => -blur * (logsumexp([j] => (g[j] - cost[i, j]) / blur) - log(1.0 * M))
        g = [j] => -blur * (logsumexp([i] => (f[i] - cost[i, j]) / blur) - log(1.0 * N))
    }
    let plan = [i, j] => exp((f[i] + g[j] - cost[i, j]) / blur) / (1.0 * N * M)
    sum(plan * cost)
}
