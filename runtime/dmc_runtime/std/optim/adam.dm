# optim.adam: steps by running means of gradients and of their squares, corrected for their start.

from optim.gradients import matrices

## m and v: running means of the gradient and of its square; t: steps taken.
struct Adam[M: record] {
    m: Grad[M]
    v: Grad[M]
    t: i64
}

## Before the first step.
fn adam_init[M: record](net: M) -> Adam[M] = Adam(m = zeros, v = zeros, t = 0)

## Steps of m / sqrt(v), both corrected for their start (Kingma and Ba, 2015).
fn adam_update[M: record, F: float](net: M, g: Grad[M], s: Adam[M], lr: F, beta1: F = 0.9,
                                    beta2: F = 0.999, eps: F = 1e-8, rates: Grad[M] = ones)
        -> (M, Adam[M]) {
    let t = s.t + 1
    let m = beta1 * s.m + (1.0 - beta1) * g
    let v = beta2 * s.v + (1.0 - beta2) * g * g
    (net - lr * (rates * _step(m, v, t, beta1, beta2, eps)), Adam(m = m, v = v, t = t))
}

fn _step[G: record, F: float](m: G, v: G, t: i64, beta1: F, beta2: F, eps: F) -> G =
    m / (1.0 - beta1 ** F(t)) / (sqrt(v / (1.0 - beta2 ** F(t))) + eps)

## m and v: running means of the gradient and of its square; t: steps taken.
struct AdamW[M: record] {
    m: Grad[M]
    v: Grad[M]
    t: i64
}

## Before the first step.
fn adamw_init[M: record](net: M) -> AdamW[M] = AdamW(m = zeros, v = zeros, t = 0)

## Adam with decoupled decay by `wd` (Loshchilov and Hutter, 2019), of matrices unless `decayed` says
## otherwise.
fn adamw_update[M: record, F: float](net: M, g: Grad[M], s: AdamW[M], lr: F, wd: F = 0.01,
                                     beta1: F = 0.9, beta2: F = 0.999, eps: F = 1e-8,
                                     rates: Grad[M] = ones, decayed: Grad[M] = matrices(net))
        -> (M, AdamW[M]) {
    let t = s.t + 1
    let m = beta1 * s.m + (1.0 - beta1) * g
    let v = beta2 * s.v + (1.0 - beta2) * g * g
    let step = _step(m, v, t, beta1, beta2, eps) + wd * decayed * net.params
    (net - lr * (rates * step), AdamW(m = m, v = v, t = t))
}

## m: a running mean of the gradient; u: a decaying maximum of its size; t: steps taken.
struct Adamax[M: record] {
    m: Grad[M]
    u: Grad[M]
    t: i64
}

## Before the first step.
fn adamax_init[M: record](net: M) -> Adamax[M] = Adamax(m = zeros, u = zeros, t = 0)

## Adam with the largest gradient, decaying, in place of the root mean square (Kingma and Ba, 2015).
fn adamax_update[M: record, F: float](net: M, g: Grad[M], s: Adamax[M], lr: F, beta1: F = 0.9,
                                      beta2: F = 0.999, eps: F = 1e-8, rates: Grad[M] = ones)
        -> (M, Adamax[M]) {
    let t = s.t + 1
    let m = beta1 * s.m + (1.0 - beta1) * g
    let u = maximum(beta2 * s.u, abs(g) + eps)
    (net - lr / (1.0 - beta1 ** F(t)) * (rates * (m / u)), Adamax(m = m, u = u, t = t))
}

## m and v: running means of the gradient and of its square; t: steps taken; product: of the momenta.
struct NAdam[M: record] {
    m: Grad[M]
    v: Grad[M]
    t: i64
    product: f64
}

## Before the first step.
fn nadam_init[M: record](net: M) -> NAdam[M] = NAdam(m = zeros, v = zeros, t = 0, product = 1.0)

## Adam with Nesterov's momentum, which rises to beta1 at the rate of `rise` (Dozat, 2016).
fn nadam_update[M: record, F: float](net: M, g: Grad[M], s: NAdam[M], lr: F, beta1: F = 0.9,
                                     beta2: F = 0.999, eps: F = 1e-8, rise: F = 0.004,
                                     rates: Grad[M] = ones) -> (M, NAdam[M]) {
    let t = s.t + 1
    let now = beta1 * (1.0 - 0.5 * 0.96 ** (F(t) * rise))
    let next = beta1 * (1.0 - 0.5 * 0.96 ** (F(t + 1) * rise))
    let product = s.product * f64(now)
    let m = beta1 * s.m + (1.0 - beta1) * g
    let v = beta2 * s.v + (1.0 - beta2) * g * g
    let size = sqrt(v / (1.0 - beta2 ** F(t))) + eps
    let of_g = (1.0 - now) / F(1.0 - product)
    let of_m = next / F(1.0 - product * f64(next))
    let step = (of_g * g + of_m * m) / size
    (net - lr * (rates * step), NAdam(m = m, v = v, t = t, product = product))
}

## m and v: running means of the gradient and of its square; t: steps taken.
struct RAdam[M: record] {
    m: Grad[M]
    v: Grad[M]
    t: i64
}

## Before the first step.
fn radam_init[M: record](net: M) -> RAdam[M] = RAdam(m = zeros, v = zeros, t = 0)

## Adam that goes without v until its variance is known, and trusts it gradually (Liu et al., 2020).
fn radam_update[M: record, F: float](net: M, g: Grad[M], s: RAdam[M], lr: F, beta1: F = 0.9,
                                     beta2: F = 0.999, eps: F = 1e-8, rates: Grad[M] = ones)
        -> (M, RAdam[M]) {
    let t = s.t + 1
    let m = beta1 * s.m + (1.0 - beta1) * g
    let v = beta2 * s.v + (1.0 - beta2) * g * g
    let b = f64(beta2)
    let left = b ** f64(t)
    let most = 2.0 / (1.0 - b) - 1.0
    let rho = most - 2.0 * f64(t) * left / (1.0 - left)
    let known = rho > 5.0
    let ratio = (rho - 4.0) * (rho - 2.0) * most / ((most - 4.0) * (most - 2.0) * rho)
    let trust = F(where(known, sqrt(ratio * (1.0 - left)), 0.0))
    let plain = F(where(known, 0.0, 1.0))
    let mhat = m / (1.0 - beta1 ** F(t))
    let step = mhat * (trust / (sqrt(v) + eps) + plain)
    (net - lr * (rates * step), RAdam(m = m, v = v, t = t))
}

## m and v: running means of the gradient and of its square; most: the largest v; t: steps taken.
struct AMSGrad[M: record] {
    m: Grad[M]
    v: Grad[M]
    most: Grad[M]
    t: i64
}

## Before the first step.
fn amsgrad_init[M: record](net: M) -> AMSGrad[M] =
    AMSGrad(m = zeros, v = zeros, most = zeros, t = 0)

## Adam by the largest v so far, so that steps never grow again (Reddi et al., 2018).
fn amsgrad_update[M: record, F: float](net: M, g: Grad[M], s: AMSGrad[M], lr: F, beta1: F = 0.9,
                                       beta2: F = 0.999, eps: F = 1e-8, rates: Grad[M] = ones)
        -> (M, AMSGrad[M]) {
    let t = s.t + 1
    let m = beta1 * s.m + (1.0 - beta1) * g
    let v = beta2 * s.v + (1.0 - beta2) * g * g
    let most = maximum(s.most, v)
    let step = _step(m, most, t, beta1, beta2, eps)
    (net - lr * (rates * step), AMSGrad(m = m, v = v, most = most, t = t))
}
