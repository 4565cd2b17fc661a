# optim.adaptive: steps divided by the size that gradients have had.

from optim.gradients import matrices

## v: the sum of squared gradients.
struct AdaGrad[M: record] {
    v: Grad[M]
}

## Before the first step.
fn adagrad_init[M: record](net: M) -> AdaGrad[M] = AdaGrad(v = zeros)

## Steps of lr * g / (sqrt(v) + eps) (Duchi et al., 2011).
fn adagrad_update[M: record, F: float](net: M, g: Grad[M], s: AdaGrad[M], lr: F, eps: F = 1e-10,
                                       rates: Grad[M] = ones) -> (M, AdaGrad[M]) {
    let v = s.v + g * g
    (net - lr * (rates * (g / (sqrt(v) + eps))), AdaGrad(v = v))
}

## v: a running mean of squared gradients; b: the velocity.
struct RMSProp[M: record] {
    v: Grad[M]
    b: Grad[M]
}

## Before the first step.
fn rmsprop_init[M: record](net: M) -> RMSProp[M] = RMSProp(v = zeros, b = zeros)

## Steps of lr against b = momentum * b + g / (sqrt(v) + eps) (Tieleman and Hinton, 2012).
fn rmsprop_update[M: record, F: float](net: M, g: Grad[M], s: RMSProp[M], lr: F, decay: F = 0.99,
                                       momentum: F = 0.0, eps: F = 1e-8, rates: Grad[M] = ones)
        -> (M, RMSProp[M]) {
    let v = decay * s.v + (1.0 - decay) * g * g
    let b = momentum * s.b + g / (sqrt(v) + eps)
    (net - lr * (rates * b), RMSProp(v = v, b = b))
}

## m and v: running means of gradients and of their squares; b: the velocity.
struct CenteredRMSProp[M: record] {
    m: Grad[M]
    v: Grad[M]
    b: Grad[M]
}

## Before the first step.
fn centered_rmsprop_init[M: record](net: M) -> CenteredRMSProp[M] =
    CenteredRMSProp(m = zeros, v = zeros, b = zeros)

## RMSProp by the variance of gradients, v - m^2, in place of their mean square (Graves, 2013).
fn centered_rmsprop_update[M: record, F: float](net: M, g: Grad[M], s: CenteredRMSProp[M], lr: F,
                                                decay: F = 0.99, momentum: F = 0.0, eps: F = 1e-8,
                                                rates: Grad[M] = ones)
        -> (M, CenteredRMSProp[M]) {
    let m = decay * s.m + (1.0 - decay) * g
    let v = decay * s.v + (1.0 - decay) * g * g
    let b = momentum * s.b + g / (sqrt(maximum(v - m * m, 0.0)) + eps)
    (net - lr * (rates * b), CenteredRMSProp(m = m, v = v, b = b))
}

## v and u: running means of squared gradients and of squared steps.
struct Adadelta[M: record] {
    v: Grad[M]
    u: Grad[M]
}

## Before the first step.
fn adadelta_init[M: record](net: M) -> Adadelta[M] = Adadelta(v = zeros, u = zeros)

## Steps in the unit of the parameters: g * sqrt(u + eps) / sqrt(v + eps), times lr (Zeiler, 2012).
fn adadelta_update[M: record, F: float](net: M, g: Grad[M], s: Adadelta[M], lr: F = 1.0,
                                        decay: F = 0.9, eps: F = 1e-6, rates: Grad[M] = ones)
        -> (M, Adadelta[M]) {
    let v = decay * s.v + (1.0 - decay) * g * g
    let d = g * sqrt(s.u + eps) / sqrt(v + eps)
    let u = decay * s.u + (1.0 - decay) * d * d
    (net - lr * (rates * d), Adadelta(v = v, u = u))
}

## rows and columns: running means of squared gradients, of a matrix along its rows and its columns, of
## other leaves themselves; t: steps taken. So a matrix takes no more than its edges.
struct Adafactor[M: record] {
    rows: Rows[M]
    columns: Columns[M]
    t: i64
}

## Before the first step.
fn adafactor_init[M: record](net: M) -> Adafactor[M] =
    Adafactor(rows = zeros, columns = zeros, t = 0)

## Adam without a first moment, whose second moment of a matrix is the product of those of its rows
## and columns, with steps relative to the size of the parameters and no larger than `limit` in root
## mean square (Shazeer and Stern, 2018).
fn adafactor_update[M: record, F: float](net: M, g: Grad[M], s: Adafactor[M], lr: F = 0.01,
                                         wd: F = 0.0, power: F = -0.8, eps: F = 1e-3,
                                         limit: F = 1.0, rates: Grad[M] = ones,
                                         decayed: Grad[M] = matrices(net)) -> (M, Adafactor[M]) {
    let t = s.t + 1
    let share = F(t) ** power
    let rate = minimum(lr, 1.0 / sqrt(F(t)))
    let squares = g * g
    let now = map[R, C](fn(d) => mean[C](d), squares)
    let rows = s.rows + share * (now - s.rows)
    let columns = s.columns + share * (map[R, C](fn(d) => mean[R](d), squares) - s.columns)
    let tiny = 1.1920928955078125e-07
    let moment = map[R, C](fn(a, b) => a[:, _] * b / maximum(mean(a), tiny), rows, columns)
    let step = g / sqrt(maximum(moment, tiny * tiny))
    let bounded = map(fn(d, p) => {
        let size = maximum(eps, sqrt(mean(p * p)))
        size * d / maximum(1.0, sqrt(mean(d * d)) / limit)
    }, step, net.params)
    let net2 = net - rates * (rate * bounded + lr * wd * decayed * net.params)
    (net2, Adafactor(rows = rows, columns = columns, t = t))
}
