# Worked numbers: small programs whose derivatives are known by hand.

from nn import relu

fn square_of_line(w: f64, x: f64, b: f64) -> f64 = (w * x + b) ** 2

fn relu_sum[N](x: f64[N]) -> f64 = sum(relu(x))

fn half_squared_error(z: f64, y: f64) -> f64 = 0.5 * (sigmoid(z) - y) ** 2

## Binary cross-entropy of sigmoid(w * h) against y, written out.
fn binary_cross_entropy(w: f64, h: f64, y: f64) -> f64 {
    let p = sigmoid(w * h)
    -(y * log(p) + (1.0 - y) * log(1.0 - p))
}

## Heavy-ball velocity after T steps on a constant gradient of 1.
fn heavy_ball[T](momentum: f64) -> f64[T] {
    var v = 0.0
    for _ in 0..T {
        v = momentum * v + 1.0
        v
    }
}

fn guarded_root(x: f64) -> f64 = where(x > 0.0, sqrt(x), 0.0)

fn branched_root(x: f64) -> f64 = if x > 0.0 { sqrt(x) } else { 0.0 }

struct TwoLayers[I, H, O] {
    w1: f64[I, H]
    b1: f64[H]
    w2: f64[H, O]
    b2: f64[O]
}

## ½‖W₂ ReLU(W₁ x + b₁) + b₂ − y‖²
fn two_layers[I, H, O](p: TwoLayers[I, H, O], x: f64[I], y: f64[O]) -> f64 {
    let r = relu(x @ p.w1 + p.b1) @ p.w2 + p.b2 - y
    0.5 * (r @ r)
}

struct Xor[H] {
    w1: f64[2, H]
    b1: f64[H]
    w2: f64[H]
    b2: f64
}

fn xor_output[H, N](p: Xor[H], x: f64[N, 2]) -> f64[N] = tanh(tanh(x @ p.w1 + p.b1) @ p.w2 + p.b2)

fn xor_loss[H, N](p: Xor[H], x: f64[N, 2], y: f64[N]) -> f64 = mean((xor_output(p, x) - y) ** 2)

fn xor_fit[H, N](p0: Xor[H], x: f64[N, 2], y: f64[N], lr: f64, epochs: i64) -> Xor[H] {
    var p = p0
    for _ in 0..epochs { p -= lr * grad(xor_loss)(p, x, y) }
    p
}

## The same net without biases: 12 weights.
struct Bare {
    w1: f64[2, 4]
    w2: f64[4]
}

fn bare_loss[N](p: Bare, x: f64[N, 2], y: f64[N]) -> f64 =
    mean((tanh(tanh(x @ p.w1) @ p.w2) - y) ** 2)
