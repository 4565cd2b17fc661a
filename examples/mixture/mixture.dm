# A mixture of normal distributions, each with a covariance of its own, fitted by gradients.

## Shares of the parts as logits, their means, and triangular roots of the inverse covariances, with
## logarithms on the diagonal.
struct Mixture[K, D] {
    shares: f64[K]
    mean: f64[K, D]
    root: f64[K, D, D]
}

## The logarithm of each part's density at each point, with its share.
fn joint[K, D, N](m: Mixture[K, D], x: f64[N, D]) -> f64[N, K] {
    let share = m.shares - logsumexp(m.shares)
    [n, k] => {
        let off = [i in 0..D] => x[n, i] - m.mean[k, i]
        let z = [i in 0..D] =>
            exp(m.root[k, i, i]) * off[i] + sum[j in 0..i](m.root[k, i, j] * off[j])
        let scale = sum[i](m.root[k, i, i])
        share[k] + scale - 0.5 * (z @ z) - 0.5 * f64(D) * log(2.0 * pi)
    }
}

## The negative logarithm of the density, on average.
fn loss[K, D, N](m: Mixture[K, D], x: f64[N, D]) -> f64 = -mean(logsumexp[-1](joint(m, x)))

fn parts[K, D, N](m: Mixture[K, D], x: f64[N, D]) -> i32[N] = argmax[-1](joint(m, x))
