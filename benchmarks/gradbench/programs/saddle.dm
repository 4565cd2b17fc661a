# The saddle of a function by descent in descent: min over x of max over y. The functions are named
# after the modes of the outer and the inner descent.
from descent import argmin_forward, argmin_reverse

fn height(x: f64[2], y: f64[2]) -> f64 = x @ x - y @ y

fn summit_forward(x: f64[2], start: f64[2]) -> f64[2] =
    argmin_forward(fn(y) => -height(x, y), start)

fn summit_reverse(x: f64[2], start: f64[2]) -> f64[2] =
    argmin_reverse(fn(y) => -height(x, y), start)

fn ff(start: f64[2]) -> f64[4] {
    let x = argmin_forward(fn(x) => height(x, summit_forward(x, start)), start)
    concat[0](x, summit_forward(x, start))
}

fn fr(start: f64[2]) -> f64[4] {
    let x = argmin_forward(fn(x) => height(x, summit_reverse(x, start)), start)
    concat[0](x, summit_forward(x, start))
}

fn rf(start: f64[2]) -> f64[4] {
    let x = argmin_reverse(fn(x) => height(x, summit_forward(x, start)), start)
    concat[0](x, summit_reverse(x, start))
}

fn rr(start: f64[2]) -> f64[4] {
    let x = argmin_reverse(fn(x) => height(x, summit_reverse(x, start)), start)
    concat[0](x, summit_reverse(x, start))
}
