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

## The lower triangle whose product with its transpose is a.
fn decompose[N](a: f64[N, N]) -> f64[N, N] {
    var l: f64[N, N] = zeros
    for j in 0..N {
        l[j, j] = sqrt(a[j, j] - sum[k in 0..j](l[j, k] ** 2))
        for i in j + 1..N {
            l[i, j] = (a[i, j] - sum[k in 0..j](l[i, k] * l[j, k])) / l[j, j]
        }
    }
    l
}

## z of l z = y, by forward substitution.
fn substitute[N](l: f64[N, N], y: f64[N]) -> f64[N] {
    var z: f64[N] = zeros
    for i in 0..N { z[i] = (y[i] - sum[k in 0..i](l[i, k] * z[k])) / l[i, i] }
    z
}

## Negative log-likelihood.
fn loss[N, D](p: Kernel, x: f64[N, D], y: f64[N]) -> f64 {
    let l = decompose(covariance(p, x))
    let z = substitute(l, y)
    0.5 * (z @ z) + sum[i](log(l[i, i])) + 0.5 * N * log(2.0 * pi)
}
