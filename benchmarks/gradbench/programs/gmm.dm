# The log-posterior of a mixture of Gaussians, with a Wishart prior for their precisions.

## The precisions are products of triangular matrices with themselves.
struct Mixture[K, D] {
    alpha: f64[K]
    mu: f64[K, D]
    q: f64[K, D]                    # the logarithms of the diagonals
    l: f64[K, D * (D - 1) / 2]      # what is below the diagonals, column by column
}

struct Wishart {
    gamma: f64
    m: i64
}

fn objective[K, D, N](p: Mixture[K, D], x: f64[N, D], prior: Wishart) -> f64 {
    let diagonal = exp(p.q)
    let inner = [n, k] => {
        let d = [i] => x[n, i] - p.mu[k, i]
        let z = [r] => diagonal[k, r] * d[r] + sum[c in 0..r](p.l[k, entry(r, c, D)] * d[c])
        p.alpha[k] + sum(p.q[k]) - 0.5 * (z @ z)
    }
    sum(logsumexp[K](inner)) - N * (logsumexp(p.alpha) + 0.5 * D * log(2.0 * pi))
        + wishart(p, prior)
}

## Where row r of column c, below the diagonal, stands in a triangle packed by columns.
fn entry(r: i64, c: i64, d: i64) -> i64 = c * (d - 1) - c * (c - 1) // 2 + r - c - 1

fn wishart[K, D](p: Mixture[K, D], prior: Wishart) -> f64 {
    let n = f64(D + prior.m + 1)
    let norm = n * D * (log(prior.gamma) - 0.5 * log(2.0)) - log_gamma(0.5 * n, D)
    let squares = sum(exp(2.0 * p.q)) + sum(p.l ** 2)
    K * norm + f64(prior.m) * sum(p.q) - 0.5 * prior.gamma ** 2 * squares
}

## The logarithm of the gamma function of p dimensions.
fn log_gamma(a: f64, p: i64) -> f64 =
    f64(p * (p - 1)) / 4.0 * log(pi) + sum[j in 0..p](lgamma(a - 0.5 * f64(j)))

fn gradient[K, D, N](p: Mixture[K, D], x: f64[N, D], prior: Wishart) -> Mixture[K, D] =
    grad(objective)(p, x, prior)
