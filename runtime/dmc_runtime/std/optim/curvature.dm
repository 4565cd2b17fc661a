# optim.curvature: minimisers of functions of a vector that use its curvature, each a whole loop.
# `steps` bounds the iterations, `tolerance` the norm of the gradient at the end.


# ---- along a line -------------------------------------------------------------------------------

## A point x + at * d: f there, its slope along d and its gradient.
struct _Trial[N, F: float = f32] {
    at: F
    value: F
    slope: F
    g: F[N]
}

## A step along d from x to where f is low enough and level enough (the strong conditions of Wolfe,
## 1969, with 1e-4 and 0.9); `first` is tried first. 0 if f falls nowhere.
fn wolfe_step[F: float, N](f: (F[N]) -> F, x: F[N], d: F[N], first: F = 1.0) -> F {
    let (value, g) = value_and_grad(f)(x)
    let start = _Trial(at = 0.0, value = value, slope = sum(g * d), g = g)
    let found = _search(f, x, start, d, first)
    found.at
}

## As `wolfe_step`, from x as a trial: outwards until such a step lies between two, then inwards, to
## minima of cubics (Nocedal and Wright, 2006, algorithms 3.5 and 3.6, 3.59).
fn _search[F: float, N](f: (F[N]) -> F, x: F[N], start: _Trial[N, F], d: F[N], first: F)
        -> _Trial[N, F] {
    let length = sqrt(sum(d * d))
    # The step lies between these two, of which `low` is the lower one.
    var low = start
    var high = start.with(at = inf)
    var step = first
    var timid = false
    var going = true
    var tried = 0
    while going and tried < 60 {
        let (value, g) = value_and_grad(f)(x + step * d)
        let here = _Trial(at = step, value = value, slope = sum(g * d), g = g)
        let last = low
        let enough = value <= start.value + 0.0001 * step * start.slope
        let far = not enough or (isfinite(high.at) or tried > 1) and value >= low.value
        let found = not far and abs(here.slope) <= -0.9 * start.slope
        let turned = here.slope * (high.at - low.at) >= 0.0
        let end = if far { here } else { if turned { low } else { high } }
        let near = if far { low } else { here }
        let swapped = not found and isfinite(end.at) and end.value < near.value
        low = if swapped { end } else { near }
        high = if swapped { near } else { end }
        let between = isfinite(high.at)
        let least = if between { minimum(low.at, high.at) } else { step + 0.01 * (step - last.at) }
        let most = if between { maximum(low.at, high.at) } else { 10.0 * step }
        let (a, b) = if between { (low, high) } else { (last, here) }
        let guess = _lowest(a, b, least, most)
        # Twice in a row at an end of the interval it goes a tenth away from that.
        let margin = 0.1 * (most - least)
        let beside = between and minimum(most - guess, guess - least) < margin
        let outside = guess >= most or guess <= least
        let inner = if most - guess < guess - least { most - margin } else { least + margin }
        step = if beside and (timid or outside) { inner } else { guess }
        timid = beside and not (timid or outside)
        going = not found and not (between and (most - least) * length < 1e-9)
        tried += 1
    }
    low
}

## Where the cubic with the values and slopes of two trials is lowest, from `least` to `most`; half way
## where it is nowhere.
fn _lowest[F: float, N](a: _Trial[N, F], b: _Trial[N, F], least: F, most: F) -> F {
    let right = b.at >= a.at
    let (u, v) = if right { (a.at, b.at) } else { (b.at, a.at) }
    let (su, sv) = if right { (a.slope, b.slope) } else { (b.slope, a.slope) }
    let w = su + sv - 3.0 * (a.value - b.value) / (a.at - b.at)
    let square = w * w - su * sv
    let root = if square > 0.0 { sqrt(square) } else { 0.0 }
    let at = v - (v - u) * ((sv + root - w) / (sv - su + 2.0 * root))
    if square >= 0.0 and isfinite(at) { clamp(at, least, most) } else { 0.5 * (least + most) }
}

# ---- minima -------------------------------------------------------------------------------------

## The minimum of f near x0 by a quasi-Newton method that remembers H steps (Liu and Nocedal, 1989).
fn lbfgs[H, F: float, N](f: (F[N]) -> F, x0: F[N], steps: i64 = 200, tolerance: F = 1e-8) -> F[N]
        requires H >= 1 {
    let (value, g) = value_and_grad(f)(x0)
    var x = x0
    var here = _Trial(at = 0.0, value = value, slope = 0.0, g = g)
    var moves: F[H, N] = zeros
    var turns: F[H, N] = zeros
    var weights: F[H] = zeros
    var scale: F = 1.0
    var first = minimum(1.0, 1.0 / sum(abs(g)))
    var t = 0
    while t < steps and sqrt(sum(here.g * here.g)) > tolerance {
        var q = here.g
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
        let next = _search(f, x, here.with(at = 0.0, slope = sum(here.g * d)), d, first)
        let move = next.at * d
        let turn = next.g - here.g
        let curved = sum(move * turn)
        let good = curved > 0.0
        moves[t % H] = move
        turns[t % H] = turn
        weights[t % H] = if good { 1.0 / curved } else { 0.0 }
        scale = if good { curved / sum(turn * turn) } else { scale }
        x = x + move
        here = next
        first = 1.0
        t = if next.at > 0.0 { t + 1 } else { steps }
    }
    x
}

## The minimum of f near x0 by Newton's method, with each step solved by C conjugate gradients at most,
## which stop where the curvature is not positive (Nocedal and Wright, 2006, algorithm 7.1).
fn newton_cg[C, F: float, N](f: (F[N]) -> F, x0: F[N], steps: i64 = 100, tolerance: F = 1e-8)
        -> F[N] {
    let (value, g) = value_and_grad(f)(x0)
    var x = x0
    var here = _Trial(at = 0.0, value = value, slope = 0.0, g = g)
    var t = 0
    while t < steps and sqrt(sum(here.g * here.g)) > tolerance {
        let size = sqrt(sum(here.g * here.g))
        let enough = minimum(0.05, size) * size
        var z: F[N] = zeros
        var r = here.g
        var p = -here.g
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
        let next = _search(f, x, here.with(at = 0.0, slope = sum(here.g * z)), z, 1.0)
        x = x + next.at * z
        here = next
        t = if next.at > 0.0 { t + 1 } else { steps }
    }
    x
}

# ---- least squares ------------------------------------------------------------------------------

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
        let damped = [i, k] => if i == k { a[i, i] * (1.0 + mu) + 1e-30 } else { a[i, k] }
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
