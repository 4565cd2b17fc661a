# Optimizers of the library, a step each, for comparison with PyTorch's and optax's.

import optim

struct Weights[I, O] {
    w: f64[I, O]
    b: f64[O]
}

fn fit_loss[B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> f64 =
    mean((tanh(x @ p.w + p.b) - y) ** 2)

## The parameters after each of S steps.
fn path[S, B, I, O, T: record](p0: Weights[I, O], s0: T, x: f64[B, I], y: f64[B, O],
                               step: (Weights[I, O], Grad[Weights[I, O]], T) -> (Weights[I, O], T))
        -> (f64[S, I, O], f64[S, O]) {
    var p = p0
    var s = s0
    for _ in 0..S {
        (p, s) = step(p, grad(fit_loss)(p, x, y), s)
        (p.w, p.b)
    }
}

fn sgd[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.sgd_init(p), x, y, fn(q, g, s) =>
        optim.sgd_update(q, g, s, 0.1, 0.8))

fn momentum[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.momentum_init(p), x, y, fn(q, g, s) =>
        optim.momentum_update(q, g, s, 0.1, 0.9, damping = 0.5))

fn nesterov[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.nesterov_init(p), x, y, fn(q, g, s) =>
        optim.nesterov_update(q, g, s, 0.1))

fn lion[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.lion_init(p), x, y, fn(q, g, s) =>
        optim.lion_update(q, g, s, 0.003, wd = 0.1))

fn adagrad[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.adagrad_init(p), x, y, fn(q, g, s) =>
        optim.adagrad_update(q, g, s, 0.05))

fn rmsprop[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.rmsprop_init(p), x, y, fn(q, g, s) =>
        optim.rmsprop_update(q, g, s, 0.003, momentum = 0.5))

fn centered_rmsprop[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.centered_rmsprop_init(p), x, y, fn(q, g, s) =>
        optim.centered_rmsprop_update(q, g, s, 0.003, momentum = 0.5))

fn adadelta[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.adadelta_init(p), x, y, fn(q, g, s) =>
        optim.adadelta_update(q, g, s, 0.5))

fn adafactor[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.adafactor_init(p), x, y, fn(q, g, s) =>
        optim.adafactor_update(q, g, s, 0.02, wd = 0.1))

fn adam[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.adam_init(p), x, y, fn(q, g, s) =>
        optim.adam_update(q, g, s, 0.01))

fn adamw[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.adamw_init(p), x, y, fn(q, g, s) =>
        optim.adamw_update(q, g, s, 0.01, wd = 0.1))

fn adamax[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.adamax_init(p), x, y, fn(q, g, s) =>
        optim.adamax_update(q, g, s, 0.01))

fn nadam[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.nadam_init(p), x, y, fn(q, g, s) =>
        optim.nadam_update(q, g, s, 0.01))

fn radam[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.radam_init(p), x, y, fn(q, g, s) =>
        optim.radam_update(q, g, s, 0.01))

fn amsgrad[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.amsgrad_init(p), x, y, fn(q, g, s) =>
        optim.amsgrad_update(q, g, s, 0.01))

fn lars[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.lars_init(p), x, y, fn(q, g, s) =>
        optim.lars_update(q, g, s, 1.0, wd = 0.1, trust = 0.05))

fn lamb[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.lamb_init(p), x, y, fn(q, g, s) =>
        optim.lamb_update(q, g, s, 0.01, wd = 0.1))

fn muon[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.muon_init(p), x, y, fn(q, g, s) =>
        optim.muon_update(q, g, s, 0.02, wd = 0.1, lr1 = 0.01))

fn schedule_free_adamw[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.schedule_free_adamw_init(p), x, y, fn(q, g, s) =>
        optim.schedule_free_adamw_update(q, g, s, 0.01, wd = 0.1))

## The average after S steps.
fn schedule_free_average[S, B, I, O](p0: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> f64[I, O] {
    var p = p0
    var s = optim.schedule_free_adamw_init(p0)
    for _ in 0..S {
        (p, s) = optim.schedule_free_adamw_update(p, grad(fit_loss)(p, x, y), s, 0.01, wd = 0.1)
    }
    optim.schedule_free_model(p, s, 0.9).w
}

fn coupled[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.sgd_init(p), x, y, fn(q, g, s) =>
        optim.sgd_update(q, optim.add_decay(q, g, 0.1), s, 0.1))

fn grouped[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.adamw_init(p), x, y, fn(q, g, s) =>
        optim.adamw_update(q, optim.clip_norm(g, 0.1), s, 0.01, wd = 0.1,
        rates = 0.5 + 0.5 * leaves[w](q), decayed = leaves[b](q)))

fn adaptively_clipped[S, B, I, O](p: Weights[I, O], x: f64[B, I], y: f64[B, O]) -> (f64[S, I, O], f64[S, O]) =
    path[S](p, optim.sgd_init(p), x, y, fn(q, g, s) =>
        optim.sgd_update(q, optim.clip_adaptive(q, g, 0.05), s, 0.1))

## Signs that change from step to step, for the diagonal of the Hessian.
fn signs[I, O](p: Weights[I, O], t: i64) -> Grad[Weights[I, O]] {
    let w = [i in 0..I, j in 0..O] => if (i + 2 * j + t) % 3 == 0 { -1.0 } else { 1.0 }
    let b = [j in 0..O] => if (j + t) % 2 == 0 { -1.0 } else { 1.0 }
    Weights(w = w, b = b).params
}

fn sophia[S, B, I, O](p0: Weights[I, O], x: f64[B, I], y: f64[B, O])
        -> (f64[S, I, O], f64[S, O]) {
    var p = p0
    var s = optim.sophia_init(p0)
    for t in 0..S {
        let u = signs(p, t)
        let curvature = u * hvp(fit_loss, along = u)(p, x, y)
        let g = grad(fit_loss)(p, x, y)
        (p, s) = optim.sophia_update(p, g, curvature, s, 0.01, wd = 0.1)
        (p.w, p.b)
    }
}

struct Sharp[M: record] {
    sgd: optim.SGD[M]
    slow: optim.Lookahead[M]
    mean: optim.EMA[M]
    whole: optim.SWA[M]
}

## Steps by the gradient at the worst place nearby, behind slow weights; the weights, and the running
## and the plain mean of the first matrix.
fn sharp[S, B, I, O](p0: Weights[I, O], x: f64[B, I], y: f64[B, O])
        -> (f64[S, I, O], f64[S, O], f64[S, I, O], f64[S, I, O]) {
    var p = p0
    var s = Sharp(sgd = optim.sgd_init(p0), slow = optim.lookahead_init(p0),
                  mean = optim.ema_init(p0), whole = optim.swa_init(p0))
    for _ in 0..S {
        let far = optim.sam_model(p, grad(fit_loss)(p, x, y), 0.05)
        let (q, sgd) = optim.sgd_update(p, grad(fit_loss)(far, x, y), s.sgd, 0.1, 0.8)
        let (r, slow) = optim.lookahead_update(q, s.slow, every = 5, share = 0.5)
        let mean = optim.ema_update(r, s.mean, 0.9)
        let whole = optim.swa_update(r, s.whole)
        (p, s) = (r, Sharp(sgd = sgd, slow = slow, mean = mean, whole = whole))
        (r.w, r.b, optim.ema_model(r, mean).w, optim.swa_model(r, whole).w)
    }
}
