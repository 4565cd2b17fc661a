# random: distributions beyond `normal`, `uniform` and `bernoulli` of the prelude, and log densities,
# under SciPy's names. Draws are functions of a key. Those of floats are differentiable in their
# parameters: by reparametrisation, gamma and its kin through the inverse of the distribution function
# (Figurnov et al., 2018).

# ---- whole numbers ------------------------------------------------------------------------------

## N whole numbers from `low` up to but not including `high`, all as likely.
fn randint[N](key: Key, low: i64, high: i64) -> i64[N] {
    let u: f64[N] = uniform(key)
    minimum(low + i64(floor(u * f64(high - low))), high - 1)
}

## The numbers 0 to N - 1 in random order.
fn permutation[N](key: Key) -> i32[N] {
    let u: f64[N] = uniform(key)
    argsort[0](u)
}

## K different numbers out of 0 to N - 1, all sets as likely.
fn choice[K, N](key: Key) -> i32[K] requires N >= K {
    let order = permutation[N](key)
    order[: K]
}

## For each row of logits a class, with the probabilities softmax(logits), by the Gumbel maximum
## (Maddison et al., 2014).
fn categorical[F: float, *S, V](key: Key, logits: F[*S, V]) -> i32[*S] {
    let u: F[*S, V] = uniform(key)
    argmax[-1](logits - log(-log(maximum(u, 1e-30))))
}

## Counts with mean `rate`, one for each, in time that grows with its root: what is left of a uniform
## number falls below 0 at one of the chances of the most likely count and its neighbours (Kemp, 1986).
fn poisson[N, F: float](key: Key, rate: F[N]) -> i64[N] {
    let u: f64[N] = uniform(key)
    [n] => {
        let r = maximum(f64(rate[n]), 1e-300)
        let most = floor(r)
        var (above, below, k) = (i64(most), i64(most), i64(most))
        var up = exp(most * log(r) - r - lgamma(most + 1.0))
        var down = up
        var left = u[n] - up
        while left >= 0.0 and up + down > 1e-20 {
            above += 1
            up *= r / f64(above)
            left -= up
            k = above
            if left >= 0.0 and below > 0 {
                down *= f64(below) / r
                below -= 1
                left -= down
                k = below
            } else if below == 0 {
                down = 0.0
            }
        }
        k
    }
}

# ---- floats -------------------------------------------------------------------------------------

## Standard Gumbel draws: the largest of many.
fn gumbel[N, F: float = f32](key: Key) -> F[N] {
    let u: F[N] = uniform(key)
    -log(-log(maximum(u, 1e-30)))
}

## Draws from softmax(logits) made smooth: weights that are nearly one-hot where `temperature` is low
## (Jang et al., 2017).
fn gumbel_softmax[F: float, *S, V](key: Key, logits: F[*S, V], temperature: F = 1.0) -> F[*S, V] {
    let u: F[*S, V] = uniform(key)
    softmax[-1]((logits - log(-log(maximum(u, 1e-30)))) / temperature)
}

## Exponential draws with mean 1.
fn exponential[N, F: float = f32](key: Key) -> F[N] {
    let u: F[N] = uniform(key)
    -log1p(-u)
}

## Laplace draws with mean 0 and scale 1.
fn laplace[N, F: float = f32](key: Key) -> F[N] {
    let u: F[N] = uniform(key)
    let v = 2.0 * u - 1.0
    -sign(v) * log1p(-abs(v))
}

## Draws from normals of mean `mu` and covariance `l @ l.T`, for a lower triangular l.
fn multivariate_normal[N, D, F: float](key: Key, mu: F[D], l: F[D, D]) -> F[N, D] {
    let z: F[N, D] = normal(key)
    mu + z @ l.T
}

## Standard normal draws between `low` and `high`, one for each pair, differentiable in both; by the
## inverse of the distribution function.
fn truncated_normal[F: float, *S](key: Key, low: F[*S], high: F[*S]) -> F[*S] {
    # From the side of the smaller tail, where the distribution function has its digits.
    let turned = low + high > 0.0
    let a = normal_cdf(where(turned, -high, low))
    let b = normal_cdf(where(turned, -low, high))
    let u: F[*S] = uniform(key)
    let x = normal_quantile(a + u * (b - a))
    clamp(where(turned, -x, x), low, high)
}

## The normal distribution function.
fn normal_cdf[F: float, *S](x: F[*S]) -> F[*S] = 0.5 * erfc(x * -0.7071067811865476)

## The x at which the normal distribution function is p.
fn normal_quantile[F: float, *S](p: F[*S]) -> F[*S] {
    let q = stop_gradient(minimum(p, 1.0 - p))
    let t = sqrt(-2.0 * log(maximum(q, 1e-37)))
    # A fraction that is right to 4.5e-4 (Hastings, 1955), then steps of Newton's method.
    var x = (2.515517 + t * (0.802853 + 0.010328 * t))
        / (1.0 + t * (1.432788 + t * (0.189269 + 0.001308 * t))) - t
    for _ in 0..4 { x = x - (normal_cdf(x) - q) * 2.5066282746310002 * exp(0.5 * x * x) }
    let root = where(p > 0.5, -x, x)
    let fixed = stop_gradient(root)
    let density = 0.3989422804014327 * exp(-0.5 * fixed * fixed)
    fixed + (p - stop_gradient(p)) / density
}

## Gamma draws with these shapes and scale 1 (Marsaglia and Tsang, 2000). Their derivatives in the
## shapes are right for shapes up to 100.
fn gamma[F: float, N](key: Key, shape: F[N]) -> F[N] {
    let (trials, last) = split(key)
    let boost: F[N] = uniform(last)
    let base = stop_gradient(where(shape < 1.0, shape + 1.0, shape))
    let d = base - 1.0 / 3.0
    let c = 1.0 / sqrt(9.0 * d)
    var drawn = d
    var missing: F[N] = ones
    for t in 0..24 {
        let (a, b) = split(fold(trials, t))
        let x: F[N] = normal(a)
        let u: F[N] = uniform(b)
        let v = (1.0 + c * x) ** 3
        let positive = v > 0.0
        let bound = 0.5 * x * x + d - d * v + d * log(where(positive, v, 1.0))
        let taken = positive and log(maximum(u, 1e-30)) < bound
        drawn = where(taken and missing > 0.0, d * v, drawn)
        missing = where(taken, 0.0, missing)
    }
    let small = exp(log(maximum(boost, 1e-30)) / stop_gradient(shape))
    let fixed = stop_gradient(drawn * where(shape < 1.0, small, 1.0))
    implicit_gamma(shape, fixed)
}

## x, with the derivative in the shape that a draw x of a gamma distribution has.
fn implicit_gamma[F: float, N](shape: F[N], x: F[N]) -> F[N] =
    x + (shape - stop_gradient(shape)) * stop_gradient(_gamma_slope(shape, x))

## -(dP/da) / p at x for the distribution function P(a, x), by its power series.
fn _gamma_slope[F: float, N](a: F[N], x: F[N]) -> F[N] {
    let log_x = log(maximum(x, 1e-30))
    var term = 1.0 / a
    var slope = -1.0 / (a * a)
    var total = term
    var change = slope
    for i in 1..200 {
        let below = a + F(i)
        slope = (slope - term / below) * x / below
        term = term * x / below
        total = total + term
        change = change + slope
    }
    -(x * (change + total * (log_x - digamma(a))))
}

## Beta draws, from two gamma draws.
fn beta[F: float, N](key: Key, a: F[N], b: F[N]) -> F[N] {
    let (first, second) = split(key)
    let x = gamma(first, a)
    let y = gamma(second, b)
    x / (x + y)
}

## A point of the simplex from a Dirichlet distribution with these weights.
fn dirichlet[F: float, N](key: Key, weights: F[N]) -> F[N] {
    let x = gamma(key, weights)
    x / sum(x)
}

# ---- log densities, element by element ----------------------------------------------------------

## Of a normal with mean `mu` and standard deviation `sigma`.
fn normal_logpdf[F: float, *S](x: F[*S], mu: F[*S], sigma: F[*S]) -> F[*S] {
    let z = (x - mu) / sigma
    -0.5 * z * z - log(sigma) - 0.9189385332046727
}

## Of a normal with mean `mu` and standard deviation `sigma`, cut off outside of `low` to `high`.
fn truncated_normal_logpdf[F: float, *S](x: F[*S], mu: F[*S], sigma: F[*S], low: F[*S], high: F[*S])
        -> F[*S] {
    let (a, b) = ((low - mu) / sigma, (high - mu) / sigma)
    let turned = a + b > 0.0
    let share = where(turned, normal_cdf(-a) - normal_cdf(-b), normal_cdf(b) - normal_cdf(a))
    where(x >= low and x <= high, normal_logpdf(x, mu, sigma) - log(share), -inf)
}

## Of a logarithm that is normal with mean `mu` and standard deviation `sigma`.
fn lognormal_logpdf[F: float, *S](x: F[*S], mu: F[*S], sigma: F[*S]) -> F[*S] =
    normal_logpdf(log(x), mu, sigma) - log(x)

## Of a Cauchy distribution with middle `mu` and scale `b`.
fn cauchy_logpdf[F: float, *S](x: F[*S], mu: F[*S], b: F[*S]) -> F[*S] {
    let z = (x - mu) / b
    -log1p(z * z) - log(pi * b)
}

## Of a Gumbel distribution with mode `mu` and scale `b`.
fn gumbel_logpdf[F: float, *S](x: F[*S], mu: F[*S], b: F[*S]) -> F[*S] {
    let z = (x - mu) / b
    -z - exp(-z) - log(b)
}

## Of a bool that is true with probability sigmoid(logit).
fn bernoulli_logpmf[F: float, *S](x: bool[*S], logit: F[*S]) -> F[*S] =
    -softplus(where(x, -logit, logit))

## Of classes whose probabilities are softmax(logits).
fn categorical_logpmf[F: float, *S, V](y: i32[*S], logits: F[*S, V]) -> F[*S] =
    pick[-1](logits, y) - logsumexp[-1](logits)

## Of a Laplace distribution with mean `mu` and scale `b`.
fn laplace_logpdf[F: float, *S](x: F[*S], mu: F[*S], b: F[*S]) -> F[*S] =
    -abs(x - mu) / b - log(2.0 * b)

## Of an exponential distribution with this rate.
fn exponential_logpdf[F: float, *S](x: F[*S], rate: F[*S]) -> F[*S] =
    where(x >= 0.0, log(rate) - rate * x, -inf)

## Of a gamma distribution with this shape and rate.
fn gamma_logpdf[F: float, *S](x: F[*S], shape: F[*S], rate: F[*S]) -> F[*S] =
    shape * log(rate) + (shape - 1.0) * log(x) - rate * x - lgamma(shape)

## Of a beta distribution.
fn beta_logpdf[F: float, *S](x: F[*S], a: F[*S], b: F[*S]) -> F[*S] =
    (a - 1.0) * log(x) + (b - 1.0) * log1p(-x) + lgamma(a + b) - lgamma(a) - lgamma(b)

## Of Student's distribution with `nu` degrees of freedom.
fn student_logpdf[F: float, *S](x: F[*S], nu: F[*S]) -> F[*S] =
    lgamma(0.5 * (nu + 1.0)) - lgamma(0.5 * nu) - 0.5 * log(pi * nu)
        - 0.5 * (nu + 1.0) * log1p(x * x / nu)

## Of a count k under a Poisson law with this rate.
fn poisson_logpmf[F: float, *S](k: F[*S], rate: F[*S]) -> F[*S] =
    k * log(rate) - rate - lgamma(k + 1.0)

## Of a point of the simplex under a Dirichlet distribution, along the last axis.
fn dirichlet_logpdf[F: float, *S, V](x: F[*S, V], weights: F[*S, V]) -> F[*S] =
    sum[-1]((weights - 1.0) * log(x) - lgamma(weights)) + lgamma(sum[-1](weights))

## Of normals of mean `mu` and covariance `l @ l.T`, for a lower triangular l.
fn multivariate_normal_logpdf[F: float, N, D](x: F[N, D], mu: F[D], l: F[D, D]) -> F[N] =
    [n] => {
        var z: F[D] = zeros
        for i in 0..D {
            let done = sum[j in 0..i](l[i, j] * z[j])
            z[i] = (x[n, i] - mu[i] - done) / l[i, i]
        }
        let logs = [i] => log(l[i, i])
        -0.5 * sum(z * z) - sum(logs) - 0.9189385332046727 * F(D)
    }
