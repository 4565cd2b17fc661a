# Gradient descent with a step that grows while it helps, by derivatives of either mode.

## The gradient by forward mode, one direction at a time.
fn forward[N](f: (f64[N]) -> f64, x: f64[N]) -> f64[N] = [i in 0..N] => {
    let (_, slope) = jvp(f, along = [j in 0..N] => if j == i { 1.0 } else { 0.0 })(x)
    slope
}

fn reverse[N](f: (f64[N]) -> f64, x: f64[N]) -> f64[N] = grad(f)(x)

fn length[N](x: f64[N]) -> f64 = sqrt(x @ x)

## Where f is least, from a start: ten steps that help double the step, one that does not halves it.
fn descend[N](f: (f64[N]) -> f64, slope: (f64[N]) -> f64[N], start: f64[N]) -> f64[N] {
    var x = start
    var fx = f(x)
    var g = slope(x)
    var eta = 1e-5
    var helped = 0
    var going = length(g) > 1e-5
    while going {
        if helped == 10 {
            eta *= 2.0
            helped = 0
        } else {
            let next = x - eta * g
            if length(next - x) <= 1e-5 {
                going = false
            } else {
                let fnext = f(next)
                if fnext < fx {
                    x = next
                    fx = fnext
                    g = slope(x)
                    helped += 1
                    going = length(g) > 1e-5
                } else {
                    eta *= 0.5
                    helped = 0
                }
            }
        }
    }
    x
}

fn argmin_forward[N](f: (f64[N]) -> f64, start: f64[N]) -> f64[N] =
    descend(f, fn(x) => forward(f, x), start)

fn argmin_reverse[N](f: (f64[N]) -> f64, start: f64[N]) -> f64[N] =
    descend(f, fn(x) => reverse(f, x), start)
