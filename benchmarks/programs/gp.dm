# A Gaussian process: the likelihood of what was observed, by Cholesky's decomposition.

struct Kernel {
    scale: f64      # logarithms
    length: f64
    noise: f64
}

fn covariance[N, D](p: Kernel, x: f64[N, D]) -> f64[N, N] {
    let near = [i, j] => exp(2.0 * p.scale - 0.5 * exp(-2.0 * p.length) * sum[d]((x[i, d] - x[j, d]) ** 2))
    near + exp(2.0 * p.noise) * eye[N]()
}

## Negative log-likelihood.
fn loss[N, D](p: Kernel, x: f64[N, D], y: f64[N]) -> f64 {
    let l = cholesky(covariance(p, x))
    let z = solve_lower(l, y)
    0.5 * (z @ z) + sum[i](log(l[i, i])) + 0.5 * N * log(2.0 * pi)
}
