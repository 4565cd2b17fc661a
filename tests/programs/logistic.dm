# Logistic regression and its fit by gradient descent.

struct Weights[D] {
    w: f64[D]
    b: f64
}

## Mean negative log-likelihood with an L2 penalty; y is 0 or 1.
fn loss[N, D](p: Weights[D], x: f64[N, D], y: f64[N], l2: f64 = 0.01) -> f64 {
    let z = x @ p.w + p.b
    mean(softplus(z) - y * z) + 0.5 * l2 * sum(p.w ** 2)
}

fn fit[N, D](x: f64[N, D], y: f64[N], steps: i64, lr: f64) -> Weights[D] {
    var p: Weights[D] = zeros
    for _ in 0..steps { p -= lr * grad(loss)(p, x, y) }
    p
}
