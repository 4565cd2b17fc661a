# nn: layers, activations and losses. They are ordinary dm code; the compiler knows none of them.
# gelu, sigmoid, softplus, softmax and tanh are in the prelude.

# ---- activations --------------------------------------------------------------------------------

## max(x, 0), with derivative 0 at 0.
fn relu[F: float, *S](x: F[*S]) -> F[*S] = maximum(x, 0.0)

## x where it is positive, else slope * x.
fn leaky_relu[F: float, *S](x: F[*S], slope: F = 0.01) -> F[*S] = where(x > 0.0, x, slope * x)

## x where it is positive, else exp(x) - 1 (Clevert et al., 2016).
fn elu[F: float, *S](x: F[*S]) -> F[*S] = where(x > 0.0, x, expm1(x))

## x * sigmoid(x) (Elfwing et al., 2018).
fn silu[F: float, *S](x: F[*S]) -> F[*S] = x * sigmoid(x)

## Zeroes elements with probability `rate` in training, and scales the others to keep the mean.
fn dropout[*S](x: f32[*S], rate: f32, key: Key, train: bool = true) -> f32[*S] =
    if train { where(bernoulli[*S](key, 1.0 - rate), x / (1.0 - rate), 0.0) } else { x }

# ---- losses: means over everything but the classes ----------------------------------------------

## Negative log-likelihood of the labels y under softmax(logits).
fn cross_entropy[F: float, *S, V](logits: F[*S, V], y: i32[*S]) -> F =
    mean(logsumexp[-1](logits) - pick[-1](logits, y))

## Negative log-likelihood of y in [0, 1] under sigmoid(logits).
fn bce_with_logits[F: float, *S](logits: F[*S], y: F[*S]) -> F =
    mean(softplus(logits) - y * logits)

## Mean squared error.
fn mse[F: float, *S](x: F[*S], y: F[*S]) -> F = mean((x - y) ** 2)

## Mean absolute error.
fn mae[F: float, *S](x: F[*S], y: F[*S]) -> F = mean(abs(x - y))

## Quadratic up to `delta`, linear beyond (Huber, 1964).
fn huber[F: float, *S](x: F[*S], y: F[*S], delta: F = 1.0) -> F {
    let a = abs(x - y)
    let q = minimum(a, delta)
    mean(q * (a - 0.5 * q))
}

## The fraction of labels that have the largest logit.
fn accuracy[F: float, *S, V](logits: F[*S, V], y: i32[*S]) -> f32 =
    mean(f32(argmax[-1](logits) == y))

# ---- layers -------------------------------------------------------------------------------------

## x @ w + b. The default `std` keeps the variance of x (LeCun et al., 1998); sqrt(2.0 / I) suits relu.
model Linear[I, O](std: f32 = 1.0 / sqrt(I)) {
    param w: f32[I, O] = std * normal(key)
    param b: f32[O] = zeros

    fn forward[*S](x: f32[*S, I]) -> f32[*S, O] = x @ w + b
}

## One row of w for each id.
model Embed[V, D](std: f32 = 0.02) {
    param w: f32[V, D] = std * normal(key)

    fn forward[*S](ids: i32[*S]) -> f32[*S, D] = w[ids]
}

## Normalises the last axis to mean 0 and variance 1, then scales and shifts (Ba et al., 2016).
model LayerNorm[D](eps: f32 = 1e-5) {
    param gain: f32[D] = ones
    param bias: f32[D] = zeros

    fn forward[*S](x: f32[*S, D]) -> f32[*S, D] {
        let c = x - mean[-1](x)[..., _]
        gain * c / sqrt(mean[-1](c * c) + eps)[..., _] + bias
    }
}

## Two-dimensional convolution of channels-last images, without padding.
model Conv[K, I, O] {
    param w: f32[K, K, I, O] = sqrt(2.0 / (K * K * I)) * normal(key)
    param b: f32[O] = zeros

    fn forward[B, H, W](x: f32[B, H, W, I]) -> f32[B, H - K + 1, W - K + 1, O] =
        [n, r in 0..H - K + 1, c in 0..W - K + 1, o] =>
            sum[i, j, k](x[n, r + i, c + j, k] * w[i, j, k, o]) + b[o]
}

## The maximum of each P by P window of channels-last images.
fn max_pool[P, B, H, W, C](x: f32[B, H, W, C]) -> f32[B, H / P, W / P, C]
    requires H % P == 0, W % P == 0
    = [n, r in 0..H / P, c in 0..W / P, k] => max[i in 0..P, j in 0..P](x[n, P * r + i, P * c + j, k])
