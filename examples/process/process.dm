# A Gaussian process (Rasmussen and Williams, 2006, algorithm 2.1): how smooth, how large and how
# noisy a function is, learned by maximum likelihood, and the function with its uncertainty.

## Logarithms of the length scale, and of the standard deviations of the function and the noise.
struct Kernel {
    scale: f64
    height: f64
    noise: f64
}

fn covariance[N, M](k: Kernel, a: f64[N], b: f64[M]) -> f64[N, M] =
    [i, j] => exp(2.0 * k.height - 0.5 * ((a[i] - b[j]) * exp(-k.scale)) ** 2)

fn factor[N](k: Kernel, x: f64[N]) -> f64[N, N] =
    cholesky(covariance(k, x, x) + (exp(2.0 * k.noise) + 1e-9) * eye[N]())

## The negative logarithm of the likelihood of y.
fn loss[N](k: Kernel, x: f64[N], y: f64[N]) -> f64 {
    let l = factor(k, x)
    let white = solve_lower(l, y)
    0.5 * (white @ white) + sum[i](log(l[i, i])) + 0.5 * N * log(2.0 * pi)
}

## Mean and standard deviation of the function at new places.
fn predict[N, M](k: Kernel, x: f64[N], y: f64[N], at: f64[M]) -> (f64[M], f64[M]) {
    let l = factor(k, x)
    let cross = covariance(k, x, at)
    let white = solve_lower(l, cross)
    let mean = cross.T @ cholesky_solve(l, y)
    (mean, sqrt([m] => exp(2.0 * k.height) - sum[n](white[n, m] ** 2)))
}
