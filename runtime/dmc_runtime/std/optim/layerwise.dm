# optim.layerwise: steps that know the matrix, or the layer, that a parameter belongs to.

from optim.gradients import matrices

# ---- trust ratios -------------------------------------------------------------------------------

## Each leaf of a step, of a stack layer by layer, scaled to `trust` times the norm of its parameters;
## as it is where either is 0.
fn _trusted[M: record, F: float](net: M, step: Grad[M], trust: F) -> Grad[M] =
    map(fn(d, p) => {
        let a = sqrt(sum(p * p))
        let b = sqrt(sum(d * d))
        if a > 0.0 and b > 0.0 { trust * a / b * d } else { d }
    }, step, net.params)

## v: the velocity.
struct LARS[M: record] {
    v: Grad[M]
}

## At rest.
fn lars_init[M: record](net: M) -> LARS[M] = LARS(v = zeros)

## Momentum of gradients that are scaled, leaf by leaf, to `trust` times the norm of the parameters
## (You et al., 2017), for large batches.
fn lars_update[M: record, F: float](net: M, g: Grad[M], s: LARS[M], lr: F, wd: F = 0.0,
                                    momentum: F = 0.9, trust: F = 0.001, rates: Grad[M] = ones,
                                    decayed: Grad[M] = matrices(net)) -> (M, LARS[M]) {
    let step = _trusted(net, g + wd * decayed * net.params, trust)
    let v = momentum * s.v + lr * step
    (net - rates * v, LARS(v = v))
}

## m and v: running means of the gradient and of its square; t: steps taken.
struct LAMB[M: record] {
    m: Grad[M]
    v: Grad[M]
    t: i64
}

## Before the first step.
fn lamb_init[M: record](net: M) -> LAMB[M] = LAMB(m = zeros, v = zeros, t = 0)

## AdamW whose step is scaled, leaf by leaf, to the norm of the parameters (You et al., 2020), for
## large batches.
fn lamb_update[M: record, F: float](net: M, g: Grad[M], s: LAMB[M], lr: F, wd: F = 0.0,
                                    beta1: F = 0.9, beta2: F = 0.999, eps: F = 1e-6,
                                    rates: Grad[M] = ones, decayed: Grad[M] = matrices(net))
        -> (M, LAMB[M]) {
    let t = s.t + 1
    let m = beta1 * s.m + (1.0 - beta1) * g
    let v = beta2 * s.v + (1.0 - beta2) * g * g
    let step = m / (1.0 - beta1 ** F(t)) / (sqrt(v / (1.0 - beta2 ** F(t))) + eps)
    let trusted = _trusted(net, step + wd * decayed * net.params, F(1.0))
    (net - lr * (rates * trusted), LAMB(m = m, v = v, t = t))
}

# ---- orthogonal steps ---------------------------------------------------------------------------

## Nearly the orthogonal factor U V^T of w = U S V^T: five Newton–Schulz iterations that bring every
## singular value near to 1 (Jordan et al., 2024).
fn orthogonal[F: float, R, C](w: F[R, C]) -> F[R, C] {
    var x = w / (sqrt(sum(w * w)) + 1e-8)
    for _ in 0..5 {
        let a = x @ x.T
        x = 3.4445 * x + (2.0315 * a @ a - 4.775 * a) @ x
    }
    x
}

## m and v: running means of the gradient and, where a parameter is no matrix, of its square;
## t: steps taken.
struct Muon[M: record] {
    m: Grad[M]
    v: Grad[M]
    t: i64
}

## Before the first step.
fn muon_init[M: record](net: M) -> Muon[M] = Muon(m = zeros, v = zeros, t = 0)

## Steps along the orthogonal factor of Nesterov's mean of gradients, for matrices of I inputs and O
## outputs of length sqrt(max(1, O / I)) (Jordan et al., 2024); AdamW of rate `lr1` for all else.
fn muon_update[M: record, F: float](net: M, g: Grad[M], s: Muon[M], lr: F, wd: F = 0.0,
                                    momentum: F = 0.95, lr1: F = 0.0003, beta1: F = 0.9,
                                    beta2: F = 0.999, eps: F = 1e-8, rates: Grad[M] = ones,
                                    decayed: Grad[M] = matrices(net)) -> (M, Muon[M]) {
    let t = s.t + 1
    let plain = beta1 * s.m + (1.0 - beta1) * g
    let m = map[R, C](fn(_, old, d) => momentum * old + (1.0 - momentum) * d, plain, s.m, g)
    let v = beta2 * s.v + (1.0 - beta2) * g * g
    let adam = m / (1.0 - beta1 ** F(t)) / (sqrt(v / (1.0 - beta2 ** F(t))) + eps)
    let of_mean = momentum / (1.0 - momentum ** F(t + 1))
    let of_last = (1.0 - momentum) / (1.0 - momentum ** F(t))
    let step = map[R, C](
        fn(_, mean_, d) => lr * sqrt(maximum(1.0, C / R)) * orthogonal(of_mean * mean_ + of_last * d),
        lr1 * adam, m, g)
    let rate = map[R, C](fn(p) => lr + 0.0 * p, lr1 + 0.0 * g)
    (net - rates * (step + rate * wd * decayed * net.params), Muon(m = m, v = v, t = t))
}

# ---- steps by curvature -------------------------------------------------------------------------

## m and h: running means of the gradient and of the diagonal of the Hessian; t: steps taken.
struct Sophia[M: record] {
    m: Grad[M]
    h: Grad[M]
    t: i64
}

## Before the first step.
fn sophia_init[M: record](net: M) -> Sophia[M] = Sophia(m = zeros, h = zeros, t = 0)

## Steps of m / (gamma * h), no element beyond 1, with decoupled decay (Liu et al., 2024).
## `curvature` estimates the diagonal of the Hessian, u * (H u) for random signs u:
## `u * hvp(loss, along = u)(net, …)`. Only each `every`-th is used; make no other.
fn sophia_update[M: record, F: float](net: M, g: Grad[M], curvature: Grad[M], s: Sophia[M], lr: F,
                                      wd: F = 0.0001, beta1: F = 0.965, beta2: F = 0.99,
                                      gamma: F = 0.01, eps: F = 1e-8, every: i64 = 10,
                                      rates: Grad[M] = ones, decayed: Grad[M] = matrices(net))
        -> (M, Sophia[M]) {
    let m = beta1 * s.m + (1.0 - beta1) * g
    let h = if s.t % every == 0 { beta2 * s.h + (1.0 - beta2) * curvature } else { s.h }
    let mhat = m / (1.0 - beta1 ** F(s.t + 1))
    let step = maximum(minimum(mhat / maximum(gamma * h, eps), 1.0), -1.0)
    let moved = net - lr * (rates * (step + wd * decayed * net.params))
    (moved, Sophia(m = m, h = h, t = s.t + 1))
}

# ---- without a schedule -------------------------------------------------------------------------

## z: where steps are taken; v: a running mean of squared gradients; weight: of the average so far;
## top: the largest rate; t: steps taken.
struct ScheduleFreeAdamW[M: record] {
    z: Grad[M]
    v: Grad[M]
    weight: f64
    top: f64
    t: i64
}

## Before the first step.
fn schedule_free_adamw_init[M: record](net: M) -> ScheduleFreeAdamW[M] =
    ScheduleFreeAdamW(z = net.params, v = zeros, weight = 0.0, top = 0.0, t = 0)

## AdamW that needs no schedule: gradients are taken at y = beta1 * x + (1 - beta1) * z, between the
## steps z and their weighted average x (Defazio et al., 2024). The model it gives holds y;
## `schedule_free_model` gives x, which is the one to use.
fn schedule_free_adamw_update[M: record, F: float](net: M, g: Grad[M], s: ScheduleFreeAdamW[M],
                                                   lr: F, wd: F = 0.0, beta1: F = 0.9,
                                                   beta2: F = 0.999, eps: F = 1e-8,
                                                   decayed: Grad[M] = matrices(net))
        -> (M, ScheduleFreeAdamW[M]) {
    let t = s.t + 1
    let v = beta2 * s.v + (1.0 - beta2) * g * g
    let step = g / (sqrt(v / (1.0 - beta2 ** F(t))) + eps) + wd * decayed * net.params
    let z = s.z - lr * step
    let top = maximum(s.top, f64(lr))
    let weight = s.weight + top * top
    let share = F(where(weight > 0.0, top * top / weight, 0.0))
    let x = (net.params - (1.0 - beta1) * s.z) / beta1
    let average = (1.0 - share) * x + share * z
    let y = beta1 * average + (1.0 - beta1) * z
    let moved = net + (y - net.params)
    (moved, ScheduleFreeAdamW(z = z, v = v, weight = weight, top = top, t = t))
}

## The average x of `schedule_free_adamw_update`, for evaluation.
fn schedule_free_model[M: record, F: float = f32](net: M, s: ScheduleFreeAdamW[M], beta1: F = 0.9)
        -> M = net + (1.0 / beta1 - 1.0) * (net.params - s.z)
