# The logarithm of a sum of exponentials, from a maximum, exponentials and a sum.

fn primal[N](x: f64[N]) -> f64 requires N >= 1 {
    let top = max(x)
    top + log(sum(exp(x - top)))
}

fn gradient[N](x: f64[N]) -> f64[N] requires N >= 1 = grad(primal)(x)
