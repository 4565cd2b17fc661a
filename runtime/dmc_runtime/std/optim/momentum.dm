# optim.momentum: gradient descent and what adds up gradients.

from optim.gradients import matrices

## v: the velocity.
struct SGD[M: record] {
    v: Grad[M]
}

## At rest.
fn sgd_init[M: record](net: M) -> SGD[M] = SGD(v = zeros)

## Heavy-ball momentum (Polyak, 1964): v = momentum * v + g, then a step of lr against v. Without
## momentum it is gradient descent.
fn sgd_update[M: record, F: float](net: M, g: Grad[M], s: SGD[M], lr: F, momentum: F = 0.9,
                                   rates: Grad[M] = ones) -> (M, SGD[M]) {
    let v = momentum * s.v + g
    (net - lr * (rates * v), SGD(v = v))
}

## v: the velocity.
struct Momentum[M: record] {
    v: Grad[M]
}

## At rest.
fn momentum_init[M: record](net: M) -> Momentum[M] = Momentum(v = zeros)

## Heavy-ball momentum that averages (`damping` = momentum) or adds up (0) the gradients:
## v = momentum * v + (1 - damping) * g, then a step of lr against v.
fn momentum_update[M: record, F: float](net: M, g: Grad[M], s: Momentum[M], lr: F,
                                        momentum: F = 0.9, damping: F = 0.0,
                                        rates: Grad[M] = ones) -> (M, Momentum[M]) {
    let v = momentum * s.v + (1.0 - damping) * g
    (net - lr * (rates * v), Momentum(v = v))
}

## v: the velocity.
struct Nesterov[M: record] {
    v: Grad[M]
}

## At rest.
fn nesterov_init[M: record](net: M) -> Nesterov[M] = Nesterov(v = zeros)

## Accelerated descent (Nesterov, 1983, as Sutskever et al., 2013, write it): v = momentum * v + g,
## then a step of lr against g + momentum * v.
fn nesterov_update[M: record, F: float](net: M, g: Grad[M], s: Nesterov[M], lr: F,
                                        momentum: F = 0.9, rates: Grad[M] = ones)
        -> (M, Nesterov[M]) {
    let v = momentum * s.v + g
    (net - lr * (rates * (g + momentum * v)), Nesterov(v = v))
}

## m: a running mean of the gradient.
struct Lion[M: record] {
    m: Grad[M]
}

## Before the first step.
fn lion_init[M: record](net: M) -> Lion[M] = Lion(m = zeros)

## The sign of a mean of gradients, with decoupled decay (Chen et al., 2023).
fn lion_update[M: record, F: float](net: M, g: Grad[M], s: Lion[M], lr: F, wd: F = 0.001,
                                    beta1: F = 0.9, beta2: F = 0.99, rates: Grad[M] = ones,
                                    decayed: Grad[M] = matrices(net)) -> (M, Lion[M]) {
    let c = sign(beta1 * s.m + (1.0 - beta1) * g)
    let m = beta2 * s.m + (1.0 - beta2) * g
    (net - lr * (rates * (c + wd * decayed * net.params)), Lion(m = m))
}
