# optim.natural: steps that know how a model's outputs, as a distribution, change with its parameters.

from nn.layers import Linear

# ---- any model ----------------------------------------------------------------------------------

## The direction d with (G + damping) d = g by at most C conjugate gradients, where
## G = J^T H J for the Jacobian J of `outputs` in the parameters and the Hessian H of `loss` in the
## outputs. For the negative log-likelihood of an exponential family in its natural parameters
## (`nn.mse`, `nn.cross_entropy`, `nn.bce_with_logits` of logits) G is the Fisher matrix and d the
## natural gradient (Amari, 1998; Martens, 2020). It is never formed: each iteration takes one product
## with J, with H and with J^T.
fn natural_gradient[C, M: record, F: float, *S](outputs: (M) -> F[*S], loss: (F[*S]) -> F, net: M,
                                                g: Grad[M], damping: F, tolerance: F = 1e-10)
        -> Grad[M] {
    var d: Grad[M] = zeros
    var r = g
    var p = g
    var size = F(sum(g * g))
    let enough = tolerance * tolerance * size
    for _ in 0..C {
        let gp = fisher_product(outputs, loss, net, p) + damping * p
        let curved = F(sum(p * gp))
        let going = size > enough and curved > 0.0
        let step = where(going, size / where(going, curved, 1.0), 0.0)
        d = d + step * p
        r = r - step * gp
        let next = F(sum(r * r))
        p = r + where(going, next / where(going, size, 1.0), 0.0) * p
        size = next
    }
    d
}

## G v for the matrix G of `natural_gradient` (Schraudolph, 2002).
fn fisher_product[M: record, F: float, *S](outputs: (M) -> F[*S], loss: (F[*S]) -> F, net: M,
                                           v: Grad[M]) -> Grad[M] {
    let (at, change) = jvp(outputs, along = v)(net)
    let bent = hvp(loss, along = change)(at)
    let (_, pull) = vjp(outputs)(net)
    pull(bent)
}

# ---- one linear layer ---------------------------------------------------------------------------

## inputs and outputs: running means of a a^T, for the inputs a of a layer with a 1 behind them, and of
## s s^T, for the gradients s of an example's loss in the outputs; t: batches taken in.
struct KFAC[I, O, F: float] {
    inputs: F[I + 1, I + 1]
    outputs: F[O, O]
    t: i64
}

## Before the first batch.
fn kfac_init[I, O, F: float](layer: Linear[I, O, F]) -> KFAC[I, O, F] =
    KFAC(inputs = zeros, outputs = zeros, t = 0)

## Takes in a batch: x[b] goes into the layer, and slopes[b] is the gradient of the mean loss in what
## comes out, `grad(loss, wrt = probe)` for zeros `probe` added there. For the Fisher matrix itself the
## labels of that loss are drawn from the model.
fn kfac_update[B, I, O, F: float](s: KFAC[I, O, F], x: F[B, I], slopes: F[B, O], decay: F = 0.95)
        -> KFAC[I, O, F] {
    let one: F[B, 1] = ones
    let a = concat[1](x, one)
    let u = F(B) * slopes
    let old = if s.t == 0 { 0.0 } else { decay }
    KFAC(
        inputs = old * s.inputs + (1.0 - old) * (a.T @ a) / F(B),
        outputs = old * s.outputs + (1.0 - old) * (u.T @ u) / F(B),
        t = s.t + 1
    )
}

## The layer's gradient times the inverse of its Kronecker-factored Fisher matrix,
## (inputs + r l)^-1 g (outputs + l / r)^-1 for l = sqrt(damping) and the ratio r of the mean
## eigenvalues of the factors (Martens and Grosse, 2015, 6.3).
fn kfac_gradient[I, O, F: float](g: Grad[Linear[I, O, F]], s: KFAC[I, O, F], damping: F)
        -> Grad[Linear[I, O, F]] requires O >= 1 {
    let left = sum[i](s.inputs[i, i]) / F(I + 1)
    let right = sum[o](s.outputs[o, o]) / F(O)
    let r = sqrt(maximum(left, 1e-30) / maximum(right, 1e-30))
    let l = sqrt(damping)
    let a = s.inputs + r * l * eye[I + 1]()
    let b = s.outputs + l / r * eye[O]()
    let whole = concat[0](g.w, reshape[1, O](g.b))
    let turned = cholesky_solve(cholesky(b), cholesky_solve(cholesky(a), whole).T).T
    g.with(w = turned[: I], b = turned[I])
}
