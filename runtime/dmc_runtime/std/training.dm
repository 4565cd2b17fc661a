# training: the gradient of a step by parts, in less memory, and steps in mixed precision.
#
#     let (l, g) = training.accumulated[8](fn(q, i) => loss(q, x[i], y[i]), net)

# ---- mixed precision ----------------------------------------------------------------------------

## What a loss is multiplied by before it is differentiated, lest gradients in f16 become 0.
## factor: the multiple; good: steps since it last changed.
struct LossScale {
    factor: f32
    good: i64
}

## The scale to begin with.
fn loss_scale(factor: f32 = 32768.0) -> LossScale = LossScale(factor = factor, good = 0)

## The loss, its gradient, whether that is finite, and the scale for the next step: half of this one
## after a gradient that is not, twice after `every` that are (Micikevicius et al., 2018).
fn scaled_grad[M: record, F: float](f: (M) -> F, net: M, s: LossScale, every: i64 = 2000)
        -> (F, Grad[M], bool, LossScale) {
    let scale = F(s.factor)
    let (l, g) = value_and_grad(fn(q) => scale * f(q))(net)
    let ok = f64(sum(0.0 * g)) == 0.0
    let due = s.good + 1 >= every
    let grown = if due { 2.0 * s.factor } else { s.factor }
    let next = if ok { minimum(grown, 2.0 ** 24.0) } else { maximum(0.5 * s.factor, 1.0) }
    let good = if ok and not due { s.good + 1 } else { 0 }
    (l / scale, g / scale, ok, LossScale(factor = next, good = good))
}

## A step with master weights in f32: `f` casts the model to what it computes in. Where a gradient is
## not finite, model and optimizer stay what they are, and the scale is halved.
##
##     training.mixed_step(fn(q) => loss(cast[f16](q), x), fn(q, g, o) => optim.adam_update(q, g, o, lr),
##                         net, opt, scale)
fn mixed_step[M: record, S: record, F: float](
    f: (M) -> F, update: (M, Grad[M], S) -> (M, S), net: M, opt: S, s: LossScale,
    every: i64 = 2000,
) -> (F, M, S, LossScale) {
    let (l, g, ok, next) = scaled_grad(f, net, s, every)
    let (net2, opt2) = if ok { update(net, g, opt) } else { (net, opt) }
    (l, net2, opt2, next)
}

# ---- by parts -----------------------------------------------------------------------------------

## The mean of `f(net, i)` over N micro-batches, and its gradient, in the memory that one needs.
fn accumulated[N, M: record, F: float](f: (M, i64) -> F, net: M) -> (F, Grad[M]) {
    var total: F = 0.0
    var sum_of: Grad[M] = zeros
    for i in 0..N {
        let (l, g) = value_and_grad(fn(q) => f(q, i))(net)
        total = total + l
        sum_of = sum_of + g
    }
    (total / N, sum_of / N)
}

## Truncated backpropagation through time (Williams and Peng, 1990): the mean of the losses of C * K
## steps, its gradient with every K steps taken for themselves, and the last state. `f(net, state, t)`
## gives the loss of step t and the next state. Memory is that of K steps.
fn truncated[C, K, M: record, F: float, L: float, *S](
    f: (M, F[*S], i64) -> (L, F[*S]), net: M, state: F[*S],
) -> (L, Grad[M], F[*S]) {
    var total: L = 0.0
    var sum_of: Grad[M] = zeros
    var h = state
    for c in 0..C {
        let start = h
        let ((l, last), g) = value_and_grad(fn(q) => {
            var within: L = 0.0
            var s = start
            for t in 0..K {
                let (a, following) = f(q, s, c * K + t)
                within = within + a
                s = following
            }
            (within, s)
        })(net)
        total = total + l
        sum_of = sum_of + g
        h = last
    }
    (total / (C * K), sum_of / (C * K), h)
}
