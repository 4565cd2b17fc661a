# optim.curvature: minimisers of functions of a vector that use its curvature, each a whole loop.
# `steps` bounds the iterations, `tolerance` the norm of the gradient at the end.


## A step along d from x to where f is low enough and level enough (the strong conditions of Wolfe,
## 1969, with 1e-4 and 0.9), by doubling and halving.
fn wolfe_step[F: float, N](f: (F[N]) -> F, x: F[N], d: F[N]) -> F {
    let (start, g0) = value_and_grad(f)(x)
    let fall = sum(g0 * d)
    var low: F = 0.0
    var high: F = inf
    var step: F = 1.0
    var found = false
    var tried = 0
    while not found and tried < 60 {
        let (value, g) = value_and_grad(f)(x + step * d)
        let slope = sum(g * d)
        let far = not (value <= start + 0.0001 * step * fall)
        let level = abs(slope) <= 0.9 * abs(fall)
        found = not far and level
        let beyond = far or slope > 0.0
        high = if not found and beyond { step } else { high }
        low = if not found and not beyond { step } else { low }
        step = if found { step } else { if isfinite(high) { 0.5 * (low + high) } else { 2.0 * step } }
        tried += 1
    }
    if found { step } else { low }
}

## The minimum of f near x0 by a quasi-Newton method that remembers H steps (Liu and Nocedal, 1989).
fn lbfgs[H, F: float, N](f: (F[N]) -> F, x0: F[N], steps: i64 = 200, tolerance: F = 1e-8) -> F[N]
        requires H >= 1 {
    var x = x0
    var g = grad(f)(x0)
    var moves: F[H, N] = zeros
    var turns: F[H, N] = zeros
    var weights: F[H] = zeros
    var scale: F = 1.0 / maximum(sqrt(sum(g * g)), 1.0)
    var t = 0
    while t < steps and sqrt(sum(g * g)) > tolerance {
        var q = g
        var shares: F[H] = zeros
        for k in 0..H {
            let i = (t + H - 1 - k) % H
            shares[i] = weights[i] * sum(moves[i] * q)
            q = q - shares[i] * turns[i]
        }
        var d = -(scale * q)
        for k in 0..H {
            let i = (t + k) % H
            let back = weights[i] * sum(turns[i] * d)
            d = d - (shares[i] + back) * moves[i]
        }
        let step = wolfe_step(f, x, d)
        let next = x + step * d
        let g2 = grad(f)(next)
        let turn = g2 - g
        let curved = step * sum(d * turn)
        let good = curved > 0.0
        moves[t % H] = step * d
        turns[t % H] = turn
        weights[t % H] = if good { 1.0 / curved } else { 0.0 }
        scale = if good { curved / sum(turn * turn) } else { scale }
        x = next
        g = g2
        t = if step > 0.0 { t + 1 } else { steps }
    }
    x
}

## The minimum of f near x0 by Newton's method, with each step solved by C conjugate gradients at most,
## which stop where the curvature is not positive (Nocedal and Wright, 2006, algorithm 7.1).
fn newton_cg[C, F: float, N](f: (F[N]) -> F, x0: F[N], steps: i64 = 100, tolerance: F = 1e-8)
        -> F[N] {
    var x = x0
    var g = grad(f)(x0)
    var t = 0
    while t < steps and sqrt(sum(g * g)) > tolerance {
        let size = sqrt(sum(g * g))
        let enough = minimum(0.05, size) * size
        var z: F[N] = zeros
        var r = g
        var p = -g
        var going = true
        for k in 0..C {
            let hp = hvp(f, along = p)(x)
            let curved = sum(p * hp)
            let bent = curved <= 0.0
            let square = sum(r * r)
            let step = if going and not bent { square / curved } else { 0.0 }
            let first = going and bent and k == 0
            z = if first { p } else { z + step * p }
            let r2 = r + step * hp
            going = going and not bent and sqrt(sum(r2 * r2)) > enough
            p = if going { sum(r2 * r2) / square * p - r2 } else { p }
            r = r2
        }
        let move = wolfe_step(f, x, z)
        x = x + move * z
        g = grad(f)(x)
        t = if move > 0.0 { t + 1 } else { steps }
    }
    x
}

## The x near x0 whose residuals r(x) have the smallest sum of squares, by least-squares steps on their
## linearisation, halved while they make it larger, until a step is relatively below `tolerance`
## (Gauss, 1809). For Jacobians of full rank; others want `levenberg_marquardt`.
fn gauss_newton[F: float, N, M](r: (F[N]) -> F[M], x0: F[N], steps: i64 = 100,
                                tolerance: F = 1e-12) -> F[N] requires N >= 1, M >= N {
    var x = x0
    var moved: F = 1.0
    var t = 0
    while t < steps and moved > tolerance {
        let e = r(x)
        let size = sum(e * e)
        let d = lstsq(jacobian(r)(x), e)
        var share: F = 1.0
        var after = sum(r(x - d) ** 2)
        for _ in 0..30 {
            let worse = not (after <= size)
            share = if worse { 0.5 * share } else { share }
            after = if worse { sum(r(x - share * d) ** 2) } else { after }
        }
        x = if after <= size { x - share * d } else { x }
        moved = share * sqrt(sum(d * d)) / (1.0 + sqrt(sum(x * x)))
        t += 1
    }
    x
}

## The x near x0 whose residuals r(x) have the smallest sum of squares, by Gauss–Newton steps damped as
## Levenberg (1944) and Marquardt (1963) do, until a step is relatively below `tolerance`.
fn levenberg_marquardt[F: float, N, M](r: (F[N]) -> F[M], x0: F[N], steps: i64 = 100,
                                       damping: F = 0.001, tolerance: F = 1e-12) -> F[N]
        requires N >= 1 {
    var x = x0
    var e = r(x0)
    var mu = damping
    var moved: F = 1.0
    var t = 0
    while t < steps and moved > tolerance {
        let j = jacobian(r)(x)
        let a = j.T @ j
        let damped = [i, k] => if i == k { a[i, i] * (1.0 + mu) + 1e-300 } else { a[i, k] }
        let d = solve(damped, e @ j)
        let e2 = r(x - d)
        let better = sum(e2 * e2) < sum(e * e)
        moved = if better { sqrt(sum(d * d)) / (1.0 + sqrt(sum(x * x))) } else { moved }
        moved = if mu > 1e12 { 0.0 } else { moved }
        x = if better { x - d } else { x }
        e = if better { e2 } else { e }
        mu = if better { 0.3 * mu } else { 4.0 * mu }
        t += 1
    }
    x
}
