# nn.activations: functions of one element, and gates and weights along the last axis.
# gelu, sigmoid, softplus, softmax and tanh are in the prelude.

# ---- element by element -------------------------------------------------------------------------

## max(x, 0), with derivative 0 at 0.
fn relu[F: float, *S](x: F[*S]) -> F[*S] = maximum(x, 0.0)

## relu, at most 6 (Krizhevsky, 2010).
fn relu6[F: float, *S](x: F[*S]) -> F[*S] = minimum(maximum(x, 0.0), 6.0)

## x where it is positive, else slope * x (Maas et al., 2013).
fn leaky_relu[F: float, *S](x: F[*S], slope: F = 0.01) -> F[*S] = where(x > 0.0, x, slope * x)

## x where it is positive, else alpha * (exp(x) - 1) (Clevert et al., 2016).
fn elu[F: float, *S](x: F[*S], alpha: F = 1.0) -> F[*S] = where(x > 0.0, x, alpha * expm1(x))

## elu scaled so that layers keep mean 0 and variance 1 (Klambauer et al., 2017).
fn selu[F: float, *S](x: F[*S]) -> F[*S] =
    1.0507009873554805 * where(x > 0.0, x, 1.6732632423543772 * expm1(x))

## An elu whose derivative is continuous for every alpha (Barron, 2017).
fn celu[F: float, *S](x: F[*S], alpha: F = 1.0) -> F[*S] =
    where(x > 0.0, x, alpha * expm1(x / alpha))

## x times the normal distribution function (Hendrycks and Gimpel, 2016); `gelu` is its tanh form.
fn gelu_erf[F: float, *S](x: F[*S]) -> F[*S] = 0.5 * x * erfc(x * -0.7071067811865476)

## x * sigmoid(x) (Elfwing et al., 2018).
fn silu[F: float, *S](x: F[*S]) -> F[*S] = x * sigmoid(x)

## x * tanh(softplus(x)) (Misra, 2019).
fn mish[F: float, *S](x: F[*S]) -> F[*S] = x * tanh(softplus(x))

## log(sigmoid(x)), which does not underflow.
fn log_sigmoid[F: float, *S](x: F[*S]) -> F[*S] = -softplus(-x)

## x / (1 + |x|) (Bergstra et al., 2009).
fn softsign[F: float, *S](x: F[*S]) -> F[*S] = x / (1.0 + abs(x))

## x - tanh(x).
fn tanh_shrink[F: float, *S](x: F[*S]) -> F[*S] = x - tanh(x)

## x moved towards 0 by `width`, and 0 on the way past it: the proximal step of an L1 penalty.
fn soft_shrink[F: float, *S](x: F[*S], width: F = 0.5) -> F[*S] =
    where(x > width, x - width, where(x < -width, x + width, 0.0))

## x where |x| is more than `width`, else 0.
fn hard_shrink[F: float, *S](x: F[*S], width: F = 0.5) -> F[*S] = where(abs(x) > width, x, 0.0)

## A sigmoid of three straight pieces: x / 6 + 1/2 between 0 and 1.
fn hard_sigmoid[F: float, *S](x: F[*S]) -> F[*S] = maximum(minimum(x / 6.0 + 0.5, 1.0), 0.0)

## x between -1 and 1.
fn hard_tanh[F: float, *S](x: F[*S]) -> F[*S] = maximum(minimum(x, 1.0), -1.0)

## x * hard_sigmoid(x) (Howard et al., 2019).
fn hard_silu[F: float, *S](x: F[*S]) -> F[*S] = x * hard_sigmoid(x)

# ---- along the last axis ------------------------------------------------------------------------

## log(softmax(x)), which does not underflow.
fn log_softmax[F: float, *S, V](x: F[*S, V]) -> F[*S, V] = x - logsumexp[-1](x)[..., _]

## The nearest point of the simplex: like softmax, with exact zeros (Martins and Astudillo, 2016).
fn sparsemax[F: float, *S, V](x: F[*S, V]) -> F[*S, V] {
    let falling = flip[-1](sort[-1](stop_gradient(x)))
    let place = cumsum[-1](F(falling == falling))
    let inside = 1.0 + place * falling > cumsum[-1](falling)
    let least = min[-1](where(inside, falling, inf))
    let chosen = stop_gradient(x) >= least[..., _]
    let level = (sum[-1](where(chosen, x, 0.0)) - 1.0) / sum[-1](F(chosen))
    where(chosen, x - level[..., _], 0.0)
}

## The first half of the last axis, gated by the sigmoid of the second (Dauphin et al., 2017).
fn glu[F: float, *S, D](x: F[*S, D]) -> F[*S, D / 2] requires D % 2 == 0 =
    x[..., : D / 2] * sigmoid(x[..., D / 2 :])

## glu without a function on its gate: the product of the two halves (Mnih and Hinton, 2007).
fn bilinear_glu[F: float, *S, D](x: F[*S, D]) -> F[*S, D / 2] requires D % 2 == 0 =
    x[..., : D / 2] * x[..., D / 2 :]

## glu with relu for its gate (Shazeer, 2020).
fn reglu[F: float, *S, D](x: F[*S, D]) -> F[*S, D / 2] requires D % 2 == 0 =
    x[..., : D / 2] * maximum(x[..., D / 2 :], 0.0)

## glu with gelu (its tanh form) for its gate (Shazeer, 2020).
fn geglu[F: float, *S, D](x: F[*S, D]) -> F[*S, D / 2] requires D % 2 == 0 =
    x[..., : D / 2] * gelu(x[..., D / 2 :])

## glu with silu for its gate (Shazeer, 2020).
fn swiglu[F: float, *S, D](x: F[*S, D]) -> F[*S, D / 2] requires D % 2 == 0 =
    x[..., : D / 2] * silu(x[..., D / 2 :])

## A leaky relu that learns the slope of each of D channels, the last axis (He et al., 2015).
model PReLU[D, F: float = f32](start: F = 0.25) {
    param slope: F[D] = start * ones

    fn forward[*S](x: F[*S, D]) -> F[*S, D] = where(x > 0.0, x, slope * x)
}
