# optim.gradients: what is done to gradients before a step. Each takes a gradient and gives one, so
# they compose in the order in which they are called.

## The Euclidean norm of all leaves together.
fn global_norm[G: record, F: float = f32](g: G) -> F = sqrt(F(sum(g * g)))

## Whether every element is finite.
fn all_finite[G: record](g: G) -> bool = f64(sum(0.0 * g)) == 0.0

# ---- clipping -----------------------------------------------------------------------------------

## Scales g down to a global norm of at most `limit` (Pascanu et al., 2013).
fn clip_norm[G: record, F: float](g: G, limit: F) -> G {
    let norm = sqrt(F(sum(g * g)))
    g * minimum(1.0, limit / maximum(norm, 1e-12))
}

## Moves every element of g into -limit to limit.
fn clip_value[G: record, F: float](g: G, limit: F) -> G = maximum(minimum(g, limit), -limit)

## Scales the gradient of each leaf, of a stack layer by layer, down to a norm of `limit`.
fn clip_each_norm[G: record, F: float](g: G, limit: F) -> G =
    map(fn(d) => d * minimum(1.0, limit / maximum(sqrt(sum(d * d)), 1e-12)), g)

## Keeps the gradient of each output of a matrix, and of each other leaf, below `limit` times the norm
## of its weights, which counts as `eps` at least (Brock et al., 2021).
fn clip_adaptive[M: record, F: float](net: M, g: Grad[M], limit: F = 0.01, eps: F = 1e-3)
        -> Grad[M] {
    let whole = map(fn(d, p) => {
        let most = limit * maximum(sqrt(sum(p * p)), eps)
        d * minimum(1.0, most / maximum(sqrt(sum(d * d)), 1e-6))
    }, g, net.params)
    map[R, C](fn(_, d, p) => {
        let most = limit * maximum(sqrt(sum[R](p * p)), eps)
        d * minimum(1.0, most / maximum(sqrt(sum[R](d * d)), 1e-6))
    }, whole, g, net.params)
}

## The mean over B examples of their gradients, each scaled down to a global norm of at most `limit`
## before it counts (Abadi et al., 2016); loss(net, n) is that of example n. With `add_noise` of a
## standard deviation proportional to limit / B it is the gradient of private training.
fn clip_examples[B, M: record, F: float](loss: (M, i64) -> F, net: M, limit: F) -> Grad[M]
        requires B >= 1 =
    sum[n in 0..B](clip_norm(grad(loss)(net, n), limit)) / F(B)

# ---- decay and noise ----------------------------------------------------------------------------

## 1 on matrices and higher arrays, 0 on gains, biases and numbers, in stacks too.
fn matrices[M: record](net: M) -> Grad[M] =
    map(fn(p) => if rank(p) > 1 { 0.0 * p + 1.0 } else { 0.0 * p }, net.params)

## Coupled decay: the gradient with that of wd / 2 * |p|^2 added on the leaves that `decayed` marks.
fn add_decay[M: record, F: float](net: M, g: Grad[M], wd: F, decayed: Grad[M] = matrices(net))
        -> Grad[M] = g + wd * decayed * net.params

## Normal noise of standard deviation `scale` added to every element (Neelakantan et al., 2015).
fn add_noise[M: record, F: float](g: Grad[M], scale: F, key: Key) -> Grad[M] {
    let noise: Grad[M] = normal(key)
    g + scale * noise
}

## The mean over the inputs taken out of the gradient of each matrix (Yong et al., 2020).
fn centralize[G: record](g: G) -> G = map[R, C](fn(d) => d - mean[R](d), g)

# ---- several batches for one step ---------------------------------------------------------------

## total: the sum of the gradients so far; count: how many.
struct Accumulated[M: record] {
    total: Grad[M]
    count: i64
}

## Nothing yet.
fn accumulate_init[M: record](net: M) -> Accumulated[M] = Accumulated(total = zeros, count = 0)

## Takes in one gradient. The first result tells whether `every` are in; then the second is their
## mean and the third starts anew.
fn accumulate[M: record](g: Grad[M], s: Accumulated[M], every: i64)
        -> (bool, Grad[M], Accumulated[M]) {
    let total = s.total + g
    let full = s.count + 1 >= every
    let kept = if full { 0.0 * total } else { total }
    let count = if full { 0 } else { s.count + 1 }
    (full, total / f64(every), Accumulated(total = kept, count = count))
}

# ---- steps that must not be taken ---------------------------------------------------------------

## skipped: steps not taken so far; in_a_row: those since the last that was.
struct Skips {
    skipped: i64
    in_a_row: i64
}

## None yet.
fn skip_init() -> Skips = Skips(skipped = 0, in_a_row = 0)

## The old model and optimizer where `ok` is false (`all_finite(g)`), else the new; with a count.
fn skip[M: record, S: record](ok: bool, old: (M, S), new: (M, S), s: Skips) -> (M, S, Skips) {
    let missed = if ok { 0 } else { 1 }
    let (net, opt) = if ok { new } else { old }
    (net, opt, Skips(skipped = s.skipped + missed, in_a_row = missed * (s.in_a_row + missed)))
}
