# Hamiltonian Monte Carlo (Duane et al., 1987; Neal, 2011): samples from a density of which only the
# logarithm and its gradient are known. A density is given as a function.

struct Chain[N, D] {
    at: f64[N, D]
    accepted: f64
}

## A proposal after L leapfrog steps of h with a new momentum, taken or left by Metropolis' rule.
fn leap[D](density: (f64[D]) -> f64, x: f64[D], h: f64, l: i64, key: Key)
        -> (f64[D], bool) {
    let (of_momentum, of_choice) = split(key)
    let p0 = normal[D](of_momentum)
    var q = x
    var p = p0 + 0.5 * h * grad(density)(x)
    for _ in 1..l {
        q += h * p
        p += h * grad(density)(q)
    }
    q += h * p
    p += 0.5 * h * grad(density)(q)
    let gain = density(q) - 0.5 * (p @ p) - density(x) + 0.5 * (p0 @ p0)
    let is_taken = log(uniform(of_choice)) < gain
    (if is_taken { q } else { x }, is_taken)
}

## N samples, after N // 4 that are thrown away.
fn sample[N, D](density: (f64[D]) -> f64, start: f64[D], h: f64, l: i64, key: Key)
        -> Chain[N, D] {
    var x = start
    var taken = 0.0
    for i in 0..N // 4 {
        let (next, _) = leap(density, x, h, l, fold(key, -1 - i))
        x = next
    }
    let places = for i in 0..N {
        let (next, is_taken) = leap(density, x, h, l, fold(key, i))
        x = next
        taken += f64(is_taken)
        x
    }
    Chain(at = places, accepted = taken / N)
}

## A curved ridge: x[0] of deviation 2, and x[1] of deviation 0.5 around x[0]² / 4.
fn banana(x: f64[2]) -> f64 = -0.5 * ((x[0] / 2.0) ** 2 + ((x[1] - x[0] ** 2 / 4.0) / 0.5) ** 2)
