# Newton's method: a `while` loop, and one whose function is an argument.

## Kepler's equation x - e sin x = m, by Newton's method.
fn kepler(e: f64, m: f64) -> f64 {
    var x = m
    var dx = 1.0
    while abs(dx) > 1e-12 limit 50 {
        dx = (x - e * sin(x) - m) / (1.0 - e * cos(x))
        x -= dx
    }
    x
}

## A generic scalar Newton solver; here reverse mode goes through the loop.
fn newton(f: (f64) -> f64, x0: f64) -> f64 {
    var x = x0
    while abs(f(x)) > 1e-10 limit 100 { x -= f(x) / grad(f)(x) }
    x
}

fn cube_root(a: f64) -> f64 = newton(fn(x) => x ** 3 - a, 1.0 + abs(a) / 3.0)

## The same root, differentiated by the implicit function theorem.
fn kepler_root(e: f64, m: f64) -> f64 = kepler(e, m)

derivative kepler_root(e, m) -> x {
    jvp(de, dm) = (sin(x) * de + dm) / (1.0 - e * cos(x))
}
