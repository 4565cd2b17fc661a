# Loops that read and write elements of tables, as recurrences and dynamic programmes do.

fn lagged[T](x: f64[T]) -> f64 {
    var s = 0.0
    for t in 1..T { s += x[t] * x[t - 1] }
    s
}

fn softmin3(a: f64, b: f64, c: f64, g: f64) -> f64 {
    let m = minimum(a, minimum(b, c))
    m - g * log(exp((m - a) / g) + exp((m - b) / g) + exp((m - c) / g))
}

fn soft_dtw[N, M](x: f64[N], y: f64[M], g: f64) -> f64 {
    var r = [i in 0..N + 1, j in 0..M + 1] => if i == 0 and j == 0 { 0.0 } else { 1e10 }
    for i in 0..N {
        for j in 0..M {
            r[i + 1, j + 1] = (x[i] - y[j]) ** 2 + softmin3(r[i, j], r[i, j + 1], r[i + 1, j], g)
        }
    }
    r[N, M]
}

fn recurrence[T](a: f64, x: f64[T]) -> f64 {
    var h = [t in 0..T + 1] => 0.0
    for t in 0..T { h[t + 1] = tanh(a * h[t]) + x[t] }
    h[T]
}

# Every element is read again and again while the table is filled: the table must not be kept, nor
# all that is read.
fn convolved[T](w: f64[T], x: f64[T]) -> f64 {
    var h = [t in 0..T] => 0.0
    for t in 0..T {
        var s = x[t]
        for u in 0..T { s += w[u] * sin(h[u]) }
        h[t] = s
    }
    h[T - 1]
}

# L x = b by forward substitution, over whole rows.
fn solve[N](l: f64[N, N], b: f64[N]) -> f64 {
    var x = [i in 0..N] => 0.0
    for i in 0..N {
        var s = b[i]
        for j in 0..N { s -= if j < i { l[i, j] * x[j] } else { 0.0 } }
        x[i] = s / l[i, i]
    }
    sum(x)
}

# Elimination without pivots, in place; the product of the pivots.
fn determinant[N](m: f64[N, N]) -> f64 {
    var a = m
    var d = 1.0
    for k in 0..N {
        let p = a[k, k]
        d *= p
        for i in 0..N {
            let f = if i > k { a[i, k] / p } else { 0.0 }
            for j in 0..N { a[i, j] = a[i, j] - f * a[k, j] }
        }
    }
    d
}

fn swapped[N](x: f64[N], w: f64[N]) -> f64 {
    var a = x
    for i in 1..N {
        let t = a[i]
        a[i] = a[i - 1] * w[i]
        a[i - 1] = t * a[i]
    }
    sum(a * w)
}

# A tridiagonal system by elimination and substitution.
fn banded[N](low: f64[N], mid: f64[N], high: f64[N], b: f64[N]) -> f64 {
    var d = mid
    var x = b
    for i in 1..N {
        let f = low[i] / d[i - 1]
        d[i] = d[i] - f * high[i - 1]
        x[i] = x[i] - f * x[i - 1]
    }
    x[N - 1] = x[N - 1] / d[N - 1]
    for k in 1..N {
        let i = N - 1 - k
        x[i] = (x[i] - high[i] * x[i + 1]) / d[i]
    }
    sum(x)
}

fn visited[T, N](x: f64[N], at: i64[T]) -> f64 {
    var h = 0.1
    for t in 0..T { h = sin(h * x[at[t]]) + x[at[t]] }
    h
}

fn branching[T](x: f64[T]) -> f64 {
    var h = [t in 0..T + 1] => 1.0
    for t in 0..T {
        if x[t] > 0.5 { h[t + 1] = h[t] * x[t] } else { h[t + 1] = h[t] + exp(x[t]) }
    }
    h[T] * h[T - 1]
}

fn remembered[T](x: f64[T]) -> f64 {
    var h = 0.3
    var s = 0.0
    for t in 0..T {
        h = sin(h + x[t])
        if h > 0.2 { s += h * x[t] }
    }
    s * h
}

# L x = b by forward substitution, over the part of each row that there is.
fn substituted[N](l: f64[N, N], b: f64[N]) -> f64 {
    var x = [i in 0..N] => 0.0
    for i in 0..N {
        var s = b[i]
        for j in 0..i { s -= l[i, j] * x[j] }
        x[i] = s / l[i, i]
    }
    sum(x)
}

# Cholesky decomposition, column by column.
fn cholesky[N](a: f64[N, N]) -> f64 {
    var l = [i in 0..N, j in 0..N] => 0.0
    for j in 0..N {
        var s = a[j, j]
        for k in 0..j { s -= l[j, k] * l[j, k] }
        l[j, j] = sqrt(s)
        for i in j + 1..N {
            var t = a[i, j]
            for k in 0..j { t -= l[i, k] * l[j, k] }
            l[i, j] = t / l[j, j]
        }
    }
    var d = 0.0
    for j in 0..N { d += log(l[j, j]) }
    d
}

# The gradient of w is a sum of outer products: one contraction over all steps.
fn recurrent[T, H](x: f64[T, H], w: f64[H, H]) -> f64 {
    var h = [i in 0..H] => 0.0
    for t in 0..T { h = tanh(x[t] + h @ w) }
    sum(h)
}

# Elements that are written in some iterations only.
fn written[T](x: f64[T]) -> f64 {
    var h = [t in 0..T + 1] => 1.0
    for t in 0..T {
        if x[t] > 0.5 { h[t + 1] = h[t] * sin(x[t]) }
    }
    h[T] * h[T - 1]
}

# An alignment of two sequences by the cheapest edits.
fn aligned[N, M](x: f64[N], y: f64[M], g: f64) -> f64 {
    var r = [i in 0..N + 1, j in 0..M + 1] => g * f64(i + j)
    for i in 0..N {
        for j in 0..M {
            let d = r[i, j] + (x[i] - y[j]) ** 2
            let a = r[i, j + 1] + g
            let b = r[i + 1, j] + g
            if d <= a and d <= b {
                r[i + 1, j + 1] = d
            } else if a <= b {
                r[i + 1, j + 1] = a
            } else {
                r[i + 1, j + 1] = b
            }
        }
    }
    r[N, M]
}

# The probability of all paths through T steps and S states, some of which may be skipped (CTC).
fn paths[T, S](p: f64[T, S]) -> f64 {
    var a = [t in 0..T + 1, s in 0..S + 1] => if t == 0 and s == 0 { 1.0 } else { 0.0 }
    for t in 0..T {
        for s in 0..S {
            var e = a[t, s + 1] + a[t, s]
            if s % 2 == 1 and s > 1 { e += a[t, s - 1] }
            if p[t, s] > 0.4 { a[t + 1, s + 1] = e * p[t, s] } else { a[t + 1, s + 1] = e * 0.4 }
        }
    }
    a[T, S] + a[T, S - 1]
}

fn skipping[N, M](x: f64[N], y: f64[M]) -> f64 {
    var r = [i in 0..N + 1, j in 0..M + 1] => 0.1
    for i in 0..N {
        for j in 0..M {
            if x[i] > y[j] {
                r[i + 1, j + 1] = sin(r[i, j] + x[i])
                if x[i] > 1.5 * y[j] { r[i, j] = r[i + 1, j + 1] * y[j] }
            }
        }
    }
    r[N, M] + sum(r) / 10.0
}

# The table is read again and again, and only sometimes written.
fn gated[T](w: f64[T], x: f64[T]) -> f64 {
    var h = [t in 0..T] => 0.1
    for t in 0..T {
        var s = x[t]
        for u in 0..T { s += w[u] * sin(h[u]) }
        if s > 0.7 {
            h[t] = s
            if s > 0.9 { h[0] = h[t] * h[0] } else { h[t] = s * h[0] }
        }
    }
    h[T - 1] * h[0]
}

# Loops in branches change the table, or read it.
fn sweeps[T](x: f64[T]) -> f64 {
    var h = x
    for s in 0..3 {
        if x[s] > 0.7 {
            for t in 1..T { h[t] = sin(h[t - 1] * h[t]) }
        } else {
            for t in 1..T {
                if h[t] > h[t - 1] { h[t] = h[t] * h[t - 1] * sin(h[t]) }
            }
            h[0] = h[T - 1] * h[0]
        }
    }
    sum(h)
}

fn alternating[T](w: f64[T], x: f64[T]) -> f64 {
    var h = [t in 0..T] => 0.1
    for t in 0..T {
        if x[t] > 0.7 {
            var s = x[t]
            for u in 0..T { s += w[u] * sin(h[u]) }
            h[t] = s
        } else {
            h[t] = h[t] * x[t]
            for u in 0..3 { h[u] = h[u] * w[u] + sin(h[T - 1]) }
        }
    }
    h[T - 1] * h[0]
}
