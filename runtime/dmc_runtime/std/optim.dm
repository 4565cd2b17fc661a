# optim: optimizers and gradient clipping, for any record of f32 parameters.
#
# An optimizer is a struct of what it remembers, a function that starts it, and one that takes a step:
#
#     let (net2, opt2) = optim.adamw_update(net, g, opt, lr)

# ---- clipping -----------------------------------------------------------------------------------

## The Euclidean norm of all leaves together.
fn global_norm[G: record](g: G) -> f32 = sqrt(sum(g * g))

## Scales g down to a global norm of at most `limit` (Pascanu et al., 2013).
fn clip_norm[G: record](g: G, limit: f32) -> G =
    g * minimum(1.0, limit / maximum(global_norm(g), 1e-12))

## Moves every element of g into -limit to limit.
fn clip_value[G: record](g: G, limit: f32) -> G = maximum(minimum(g, limit), -limit)

# ---- gradient descent with momentum -------------------------------------------------------------

## v: the velocity.
struct SGD[M: record] {
    v: Grad[M]
}

## At rest.
fn sgd_init[M: record](net: M) -> SGD[M] = SGD(v = zeros)

## Heavy-ball momentum (Polyak, 1964): v = momentum * v + g, then a step of lr against v.
fn sgd_update[M: record](net: M, g: Grad[M], s: SGD[M], lr: f32, momentum: f32 = 0.9)
        -> (M, SGD[M]) {
    let v = momentum * s.v + g
    (net - lr * v, SGD(v = v))
}

# ---- AdamW --------------------------------------------------------------------------------------

## m and v: running means of the gradient and of its square; t: steps taken.
struct AdamW[M: record] {
    m: Grad[M]
    v: Grad[M]
    t: i64
}

## Before the first step.
fn adamw_init[M: record](net: M) -> AdamW[M] = AdamW(m = zeros, v = zeros, t = 0)

## Adam with decoupled decay (Loshchilov and Hutter, 2019). Matrices decay by `wd`, vectors do not.
fn adamw_update[M: record](net: M, g: Grad[M], s: AdamW[M], lr: f32, wd: f32 = 0.01,
                           beta1: f32 = 0.9, beta2: f32 = 0.999, eps: f32 = 1e-8)
        -> (M, AdamW[M]) {
    let t = s.t + 1
    let m = beta1 * s.m + (1.0 - beta1) * g
    let v = beta2 * s.v + (1.0 - beta2) * g * g
    let mhat = m / (1.0 - beta1 ** f32(t))
    let vhat = v / (1.0 - beta2 ** f32(t))
    let decay = map(fn(p) => if rank(p) > 1 { wd * p } else { 0.0 * p }, net.params)
    (net - lr * (mhat / (sqrt(vhat) + eps) + decay), AdamW(m = m, v = v, t = t))
}
