# Where a comet moves around the sun, and what its velocity was, from a few noisy sightings.
# Units: the sun's mass, astronomical units, and years over 2π, so that gravity is 1.

fn pull(x: f64[2]) -> f64[2] = -x / (x @ x) ** 1.5

fn energy(x: f64[2], v: f64[2]) -> f64 = 0.5 * (v @ v) - 1.0 / sqrt(x @ x)

## Place and velocity after each of T leapfrog steps of h (Störmer, 1907).
fn orbit[T](x0: f64[2], v0: f64[2], h: f64) -> f64[T, 4] {
    var x = x0
    var v = v0
    for _ in 0..T {
        v += 0.5 * h * pull(x)
        x += h * v
        v += 0.5 * h * pull(x)
        concat[0](x, v)
    }
}

## Mean squared distance from the sightings, one every K steps.
fn misfit[K, M](v0: f64[2], x0: f64[2], h: f64, seen: f64[M, 2]) -> f64 {
    let path = orbit[K * M](x0, v0, h)
    let errors = [m, i in 0..2] => path[K * m + K - 1, i] - seen[m, i]
    sum(errors ** 2) / M
}

## Levenberg and Marquardt's steps towards the velocity that explains the sightings best.
fn fit[K, M](v0: f64[2], x0: f64[2], h: f64, seen: f64[M, 2], steps: i64) -> f64[2] {
    var v = v0
    var damping = 1e-3
    for _ in 0..steps {
        let g = grad(misfit[K, M])(v, x0, h, seen)
        let hess = hessian(misfit[K, M])(v, x0, h, seen)
        let a = hess[0, 0] + damping
        let d = hess[1, 1] + damping
        let b = hess[0, 1]
        let trial = v - [d * g[0] - b * g[1], a * g[1] - b * g[0]] / (a * d - b * b)
        let better = misfit[K](trial, x0, h, seen) < misfit[K](v, x0, h, seen)
        v = if better { trial } else { v }
        damping = if better { damping / 10.0 } else { damping * 10.0 }
    }
    v
}

## When the comet is nearest to the sun: where x·v changes sign, between two steps.
fn perihelion[T](x0: f64[2], v0: f64[2], h: f64) -> f64 {
    let path = orbit[T](x0, v0, h)
    let radial = [t] => path[t, 0] * path[t, 2] + path[t, 1] * path[t, 3]
    var time = 0.0
    var found = false
    for t in 0..T - 1 {
        if not found and radial[t] < 0.0 and radial[t + 1] >= 0.0 {
            time = h * (f64(t) + 1.0 + radial[t] / (radial[t] - radial[t + 1]))
            found = true
        }
    }
    time
}
