# What is read by constant subscripts, or chosen by what is in it.

fn maximum_of[N](x: f64[N]) -> f64 = max(x) ** 2

fn row_maxima[N](x: f64[N, 8]) -> f64 {
    var s = 0.1
    for t in 0..N {
        let m = max(x[t])
        s = sin(s * m) + m
    }
    s
}

fn row_minima[N](x: f64[N, 24]) -> f64 {
    var s = 0.1
    for t in 0..N {
        let m = min[i](x[t, i] * x[t, 23 - i])
        s = sin(s * m) + m
    }
    s
}

fn sorted_rows[N](x: f64[N, 8]) -> f64 {
    var s = 1.1
    for t in 0..N {
        let v = sort[-1](x[t] * s)
        s = v[0] * v[3] + 0.3
    }
    s
}

fn largest[N](x: f64[N, 8]) -> f64 {
    var s = 1.1
    for t in 0..N {
        let (v, i) = top_k[3](x[t] * s)
        s = sum(v * v) / 3.0 + 0.1
    }
    s
}

# A branch of a loop reads an element and a row that stay the same.
fn constant[N](x: f64[N, 8]) -> f64 {
    var s = 0.1
    for t in 0..N {
        if x[t, 0] > 0.7 {
            s = sin(s * x[3, 1]) + x[t, 2] + sum(x[2]) * s
        } else {
            s = s * x[0, 0] + x[1, 7]
        }
    }
    s
}
