# Derivatives of derivatives, asked for in the language and from Python.

## Rosenbrock's function with a twist: every pair of neighbours interacts.
fn valley[N](x: f64[N]) -> f64 =
    sum[i in 0..N - 1](100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2 * exp(0.1 * x[i + 1]))

fn bend[N](x: f64[N], w: f64[3, N]) -> f64[3] = [j] => sin(sum[i](w[j, i] * x[i] ** 2)) + w[j, 0]

fn slope_squared[N](x: f64[N]) -> f64 {
    let g = grad(valley)(x)
    g @ g
}

fn curvature[N](x: f64[N], v: f64[N]) -> f64 = v @ hvp(valley, along = v)(x)

fn third(x: f64) -> f64 = grad(fn(a) => grad(fn(b) => grad(fn(c) => exp(sin(c)) * c ** 2)(b))(a))(x)

## Descends `valley` by steps of lr and says where it ends; differentiable in lr and in x.
fn descended[S, N](x0: f64[N], lr: f64) -> f64 {
    var x = x0
    for _ in 0..S { x -= lr * grad(valley)(x) }
    valley(x)
}

## Branches, a loop and a guard, so that every derivative passes all of them.
fn guarded[N](x: f64[N]) -> f64 {
    var total = 0.0
    for i in 0..N {
        total += if x[i] > 0.5 { x[i] ** 3 } else { where(x[i] > 0.0, sqrt(x[i]), 0.0) }
        total = 0.9 * total + 0.1 * sin(total)
    }
    total
}
