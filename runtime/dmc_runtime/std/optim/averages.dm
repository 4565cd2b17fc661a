# optim.averages: what is done to the weights that an optimizer gives.

## mean: of the weights so far.
struct EMA[M: record] {
    mean: Grad[M]
}

## The weights as they are.
fn ema_init[M: record](net: M) -> EMA[M] = EMA(mean = net.params)

## Takes in the weights after a step: mean = decay * mean + (1 - decay) * weights
## (Polyak and Juditsky, 1992).
fn ema_update[M: record, F: float](net: M, s: EMA[M], decay: F = 0.999) -> EMA[M] =
    EMA(mean = decay * s.mean + (1.0 - decay) * net.params)

## The model with the mean weights.
fn ema_model[M: record](net: M, s: EMA[M]) -> M = with_params(net, s.mean)

## mean: of the weights taken in; count: how many.
struct SWA[M: record] {
    mean: Grad[M]
    count: i64
}

## None yet.
fn swa_init[M: record](net: M) -> SWA[M] = SWA(mean = zeros, count = 0)

## Takes in weights, say after each epoch: all count the same (Izmailov et al., 2018).
fn swa_update[M: record](net: M, s: SWA[M]) -> SWA[M] {
    let count = s.count + 1
    SWA(mean = s.mean + (net.params - s.mean) / f64(count), count = count)
}

## The model with the mean weights; update the statistics of its batch norms with some batches.
fn swa_model[M: record](net: M, s: SWA[M]) -> M = with_params(net, s.mean)

## slow: the weights that follow the optimizer's; t: steps taken.
struct Lookahead[M: record] {
    slow: Grad[M]
    t: i64
}

## The weights as they are.
fn lookahead_init[M: record](net: M) -> Lookahead[M] = Lookahead(slow = net.params, t = 0)

## To be called with the weights after each step of any optimizer. After every `every`-th the slow
## weights go the share `share` towards them, and the model goes on from there (Zhang et al., 2019).
fn lookahead_update[M: record, F: float](net: M, s: Lookahead[M], every: i64 = 5, share: F = 0.5)
        -> (M, Lookahead[M]) {
    let meets = (s.t + 1) % every == 0
    let slow = if meets { s.slow + share * (net.params - s.slow) } else { s.slow }
    let moved = if meets { with_params(net, slow) } else { net }
    (moved, Lookahead(slow = slow, t = s.t + 1))
}

## The model at the worst place nearby, rho along the gradient: take the gradient for the step there
## (sharpness-aware minimisation, Foret et al., 2021).
fn sam_model[M: record, F: float](net: M, g: Grad[M], rho: F = 0.05) -> M =
    net + rho / maximum(sqrt(F(sum(g * g))), 1e-12) * g

## The model with other weights.
fn with_params[M: record](net: M, params: Grad[M]) -> M = map(fn(_, p) => p, net, params)
