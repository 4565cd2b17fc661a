import nn
import deep.lib.optim as optim
from nn import Linear, relu

dim PIXELS = 28 * 28
let eps: f64 = 1e-6
let table = [[1.0, 2.0], [3.0, 4.0]]

struct Opt[M: record] {
    m: Grad[M]
    step: i64
}

model Net[D, H, F: float = f32](rate: f32 = 0.1, std: f32) requires D % H == 0, H <= D {
    dim K = D / H
    frozen param table: F[D, K] = zeros
    param w: F[D, H, K] = std * normal(key)
    state count: i64 = 0
    frozen stem: nn.Linear[D, D]
    head: Linear[D, H](std = 0.1)
    tower: 12 * Linear[D, D]
    experts: 2 * 3 * Linear[D, D](0.02)

    mut fn tick() -> () { count += 1 }
    checkpoint mut fn forward[*S](x: F[*S, D], train: bool = false) -> F[*S, H] = head(x)
}

fn twice(f: (f64) -> f64) -> (f64) -> f64 = fn(x: f64) => f(f(x))
fn apply[N](f: (f64[N], Key) -> (f64, f64[N]), x: f64[N], key: Key) -> (f64, f64[N]) = f(x, key)
fn shapes[N, M](var x: f64[N * M + 1], y: f64[N, (M + 1) / 2], z: 3 * 4 * Opt[Net[8, 2]],) -> () {}

derivative clip(x, lo, hi) -> y {
    vjp(dy) = (where(lo < x and x < hi, dy, 0.0), 0.0, 0.0)
}
derivative layer.norm(x) -> (mu, sd) {
    jvp(dx) {
        let c = x - mu
        (mean(dx), mean(c * dx) / sd)
    }
}
