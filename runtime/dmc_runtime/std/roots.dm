# roots: equations, of one number and of many, and integrals of functions of one.

## x with f(x) = 0 by Newton's method from `start`, until a step is below `tolerance`. Its derivatives
## are those of the implicit function, and need no loop.
fn newton[F: float](f: (F) -> F, start: F, tolerance: F = 1e-12, most: i64 = 100) -> F {
    var x = stop_gradient(start)
    var step: F = inf
    var tried = 0
    while abs(step) > tolerance * (1.0 + abs(x)) and tried < most {
        let (value, slope) = jvp(f, along = F(1.0))(x)
        step = stop_gradient(value / slope)
        x -= step
        tried += 1
    }
    implicit(f, x)
}

## x between `low` and `high`, where f has opposite signs, by halving to the last bit; with the
## derivatives of the implicit function.
fn bisect[F: float](f: (F) -> F, low: F, high: F) -> F {
    var a = low
    var b = high
    let rising = f(high) > 0.0
    var left = 0
    while a < 0.5 * (a + b) and 0.5 * (a + b) < b and left < 2000 {
        let middle = 0.5 * (a + b)
        let above = (f(middle) > 0.0) == rising
        a = if above { a } else { middle }
        b = if above { middle } else { b }
        left += 1
    }
    implicit(f, stop_gradient(0.5 * (a + b)))
}

## The root x of f, found elsewhere, with the derivatives that it has as a function of what f depends
## on: those of the implicit function, of every order.
fn implicit[F: float](f: (F) -> F, x: F) -> F = x

derivative unchecked implicit(f, x) -> y {
    jvp(df, dx) {
        let (_, slope) = jvp(f, along = F(1.0))(y)
        -df(y) / slope
    }
}

# ---- of many numbers ----------------------------------------------------------------------------

## x with f(x) = 0, for as many numbers as equations, by Newton's method from `start`, until a step is
## below `tolerance`, or small and no smaller than the one before, which is rounding. A step that would
## leave |f| larger is halved. Derivatives are those of the implicit function.
fn root[F: float, N](f: (F[N]) -> F[N], start: F[N], tolerance: F = 1e-12, most: i64 = 100) -> F[N]
        requires N >= 1 {
    var x = stop_gradient(start)
    var step: F = inf
    var before: F = inf
    var tried = 0
    while _goes_on(step, before, sqrt(sum(x * x)), tolerance) and tried < most {
        before = step
        let value = f(x)
        let move = stop_gradient(solve(jacobian(f)(x), value))
        let size = sum(value * value)
        var share: F = 1.0
        var after = sum(f(x - move) ** 2)
        for _ in 0..20 {
            let worse = not (after <= size)
            share = if worse { 0.5 * share } else { share }
            after = if worse { sum(f(x - share * move) ** 2) } else { after }
        }
        x = x - share * move
        step = share * sqrt(sum(move * move))
        tried += 1
    }
    implicit_root(f, x)
}

## `implicit` for as many numbers as equations.
fn implicit_root[F: float, N](f: (F[N]) -> F[N], x: F[N]) -> F[N] requires N >= 1 = x

derivative unchecked implicit_root(f, x) -> y {
    jvp(df, dx) = -solve(jacobian(f)(y), df(y))
}

## x with f(x) = x by repetition from `start`, until x changes by less than `tolerance`, or by little
## and no less than before, which is rounding; with the derivatives of the implicit function (as in Bai
## et al., 2019).
fn fixed_point[F: float, N](f: (F[N]) -> F[N], start: F[N], tolerance: F = 1e-12, most: i64 = 10000)
        -> F[N] requires N >= 1 {
    var x = stop_gradient(start)
    var step: F = inf
    var before: F = inf
    var tried = 0
    while _goes_on(step, before, sqrt(sum(x * x)), tolerance) and tried < most {
        before = step
        let next = stop_gradient(f(x))
        step = sqrt(sum((next - x) ** 2))
        x = next
        tried += 1
    }
    implicit_root(fn(z) => f(z) - z, x)
}

fn _goes_on[F: float](step: F, before: F, size: F, tolerance: F) -> bool {
    let rounding = step >= before and step <= 1e-5 * (1.0 + size)
    step > tolerance * (1.0 + size) and not rounding
}

# ---- integrals ----------------------------------------------------------------------------------

## The integral through values at equal distances h, by straight lines.
fn trapezoid[F: float, N](y: F[N], h: F) -> F requires N >= 2 =
    h * (sum(y) - 0.5 * (y[0] + y[N - 1]))

## Through an odd number of values, by parabolas (Simpson).
fn simpson[F: float, N](y: F[N], h: F) -> F requires N >= 3, N % 2 == 1 {
    let weighted = [i in 0..N] =>
        if i == 0 or i == N - 1 { y[i] } else if i % 2 == 1 { 4.0 * y[i] } else { 2.0 * y[i] }
    h / 3.0 * sum(weighted)
}

## The integral of f from `low` to `high` by Gauss–Legendre quadrature with N points, exact for
## polynomials up to degree 2 N - 1. The points are found by Newton's method.
fn gauss_legendre[N, F: float](f: (F) -> F, low: F, high: F) -> F requires N >= 1 {
    let terms = [i in 0..N] => {
        var x = cos(pi * (F(i) + 0.75) / (F(N) + 0.5))
        var slope: F = 1.0
        for _ in 0..8 {
            var p: F = 1.0
            var before: F = 0.0
            for k in 0..N {
                let next = ((2.0 * F(k) + 1.0) * x * p - F(k) * before) / (F(k) + 1.0)
                before = p
                p = next
            }
            slope = F(N) * (x * p - before) / (x * x - 1.0)
            x -= p / slope
        }
        let at = stop_gradient(x)
        let weight = stop_gradient(2.0 / ((1.0 - x * x) * slope * slope))
        weight * f(0.5 * (high - low) * at + 0.5 * (high + low))
    }
    0.5 * (high - low) * sum(terms)
}
