# nn.layers: linear maps, tables of vectors, and the ways to drop parts of a layer in training.

## x @ w + b. The default `std` keeps the variance of x (LeCun et al., 1998); sqrt(2.0 / I) suits relu.
model Linear[I, O, F: float = f32](std: F = 1.0 / sqrt(I)) {
    param w: F[I, O] = std * normal(key)
    param b: F[O] = zeros

    fn forward[*S](x: F[*S, I]) -> F[*S, O] = x @ w + b
}

## One row of w for each id.
model Embed[V, D, F: float = f32](std: F = 0.02) {
    param w: F[V, D] = std * normal(key)

    fn forward[*S](ids: i32[*S]) -> F[*S, D] = w[ids]
}

## x[k] times a matrix of its own for each output, and linear terms: x @ w[o] @ y + b[o].
model Bilinear[I, J, O, F: float = f32](std: F = 1.0 / sqrt(I)) {
    param w: F[O, I, J] = std * normal(key)
    param b: F[O] = zeros

    fn forward[B](x: F[B, I], y: F[B, J]) -> F[B, O] =
        [n, o] => sum[i, j](x[n, i] * w[o, i, j] * y[n, j]) + b[o]
}

# ---- joining layers -----------------------------------------------------------------------------

## x + f(x) (He et al., 2016); f is a function or a model, such as a layer.
fn residual[F: float, *S](f: (F[*S]) -> F[*S], x: F[*S]) -> F[*S] = x + f(x)

## f(x) behind x along the last axis (Huang et al., 2017).
fn dense[F: float, *S, D, O](f: (F[*S, D]) -> F[*S, O], x: F[*S, D]) -> F[*S, D + O] =
    concat[-1](x, f(x))

## gate * f(x) + (1 - gate) * x, for a gate that is learned; it starts closed (Srivastava et al., 2015).
model Highway[D, F: float = f32](bias: F = -1.0) {
    param w: F[D, D] = normal(key) / sqrt(D)
    param b: F[D] = bias * ones

    fn forward[*S](x: F[*S, D], fx: F[*S, D]) -> F[*S, D] {
        let gate = sigmoid(x @ w + b)
        gate * fx + (1.0 - gate) * x
    }
}

# ---- dropping -----------------------------------------------------------------------------------

## Zeroes elements with probability `rate` in training, and scales the others to keep the mean
## (Srivastava et al., 2014).
fn dropout[F: float, *S](x: F[*S], rate: F, key: Key, train: bool = true) -> F[*S] =
    if train { where(bernoulli[*S](key, 1.0 - rate), x / (1.0 - rate), 0.0) } else { x }

## dropout of whole channels, the last axis, of images or sequences (Tompson et al., 2015).
fn dropout_channels[F: float, B, *S, C](x: F[B, *S, C], rate: F, key: Key, train: bool = true)
        -> F[B, *S, C] =
    if train {
        let kept = bernoulli[B, C](key, 1.0 - rate)
        [n] => where(kept[n], x[n] / (1.0 - rate), 0.0)
    } else {
        x
    }

## dropout of whole examples, for a residual branch: stochastic depth (Huang et al., 2016).
fn drop_path[F: float, B, *S](x: F[B, *S], rate: F, key: Key, train: bool = true) -> F[B, *S] =
    if train {
        let kept = F(bernoulli[B](key, 1.0 - rate)) / (1.0 - rate)
        [b] => kept[b] * x[b]
    } else {
        x
    }

## dropout for selu: what is dropped becomes selu's lower limit, and mean and variance are kept
## (Klambauer et al., 2017).
fn alpha_dropout[F: float, *S](x: F[*S], rate: F, key: Key, train: bool = true) -> F[*S] =
    if train {
        let low = -1.7580993408473766
        let kept = bernoulli[*S](key, 1.0 - rate)
        let scale = 1.0 / sqrt((1.0 - rate) * (1.0 + rate * low * low))
        scale * (where(kept, x, low) - low * rate)
    } else {
        x
    }
