# The square of a number and its slope.

fn square(x: f64) -> f64 = x * x

fn double(x: f64) -> f64 = grad(square)(x)
