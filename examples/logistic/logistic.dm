# Logistic regression with a ridge, fitted by Newton's method.

struct Model[D] {
    w: f64[D]
    b: f64
}

fn logits[N, D](m: Model[D], x: f64[N, D]) -> f64[N] = x @ m.w + m.b

## The negative logarithm of the likelihood of y, 0 or 1, and the ridge.
fn loss[N, D](m: Model[D], x: f64[N, D], y: f64[N], ridge: f64) -> f64 =
    mean(softplus(logits(m, x)) - y * logits(m, x)) + 0.5 * ridge * (m.w @ m.w)
