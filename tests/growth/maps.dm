# Maps whose points run loops of their own length, so that they stay maps.

fn convolved[N](x: f64[N], w: f64[N]) -> f64 {
    let y = [i in 0..N] => {
        var s = 0.0
        for j in 0..i { s += sin(x[j] * w[i - j]) }
        s
    }
    sum(y * y)
}

fn branching[N](x: f64[N], w: f64[N]) -> f64 {
    let y = [i in 0..N] => {
        var s = x[i]
        for j in 0..i {
            if x[j] > 0.7 { s += tanh(x[j] * w[i - j]) } else { s = s * w[j] }
        }
        if s > 1.0 { s * x[N - 1 - i] } else { s + w[i] }
    }
    sum(y * x)
}

# Rows are read at positions from data, and changed in between.
fn rows[N](m: f64[N, 4], b: f64[4], at: i64[N]) -> f64 {
    let y = [i in 0..N] => {
        var v = b
        for j in 0..(3 * i) % 6 { v = tanh(m[(i + j) % N] * v + m[at[i]]) }
        sum(v * v)
    }
    sum(y)
}

# Two axes, and a table of its own at each point.
fn tables[N](x: f64[N], w: f64[8]) -> f64 {
    let y = [i in 0..N, k in 0..4] => {
        var h = [t in 0..8] => 0.0
        h[0] = x[i]
        for t in 0..(i + k) % 8 { h[t + 1] = sin(h[t] * w[t]) + x[(i + t) % N] }
        h[(i + k) % 8]
    }
    sum(y * y)
}

# A root of y + a y³ = x by Newton's method, differentiated by a rule.
fn root(a: f64, x: f64) -> f64 {
    var y = x
    while abs(y + a * y ** 3 - x) > 1e-13 { y = y - (y + a * y ** 3 - x) / (1.0 + 3.0 * a * y ** 2) }
    y
}

derivative root(a, x) -> y {
    jvp(da, dx) = (dx - y ** 3 * da) / (1.0 + 3.0 * a * y ** 2)
}

fn roots[N](a: f64[N], x: f64[N]) -> f64 {
    let y = [i in 0..N] => if x[i] > 0.5 { root(a[i], x[i]) } else { a[N - 1 - i] * x[i] }
    sum(y * y)
}
