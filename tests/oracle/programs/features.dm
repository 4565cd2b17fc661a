# One construct of the language after the other, each in a scalar function of x and w.

fn reductions(x: f64[4, 6], w: f64[6]) -> f64 =
    sum(max[-1](x)) * mean(min[0](x)) + sum(logsumexp[1](x)) + prod(x[0, :3]) + sum(x) * w[0]

fn softmax_rows(x: f64[4, 6], w: f64[6]) -> f64 = sum(softmax[-1](3.0 * x) @ w)

fn stretched(x: f64[4, 6], w: f64[6]) -> f64 {
    let m = mean[-1](x)
    let c = x - m[:, _]
    sum(c * c * w) / sum(exp(-m))
}

fn triangular(x: f64[4, 6], w: f64[6]) -> f64 =
    sum([i in 0..4] => sum[j in 0..i + 1](x[i, j] * w[j] ** 2) * sin(x[i, i]))

fn stencil(x: f64[4, 6], w: f64[6]) -> f64 {
    let y = [i in 0..2, j in 0..4] => sum[a in 0..3, b in 0..3](x[i + a, j + b] * w[a] * w[b + 1])
    sum(y ** 2)
}

fn outer_and_trace(x: f64[4, 6], w: f64[6]) -> f64 {
    let g = x @ x.T
    sum[i](g[i, i]) + sum([i in 0..4, j in 0..4] => g[i, j] * w[i] * w[j]) + (x @ w) @ (x @ w)
}

fn gathered(x: f64[4, 6], w: f64[6]) -> f64 {
    let ids = [i in 0..9] => (i * i + 1) % 4
    sum(tanh(x[ids]) @ w) + sum([n in 0..9] => x[ids[n], n % 6] * w[(n * 2) % 6])
}

fn slices(x: f64[4, 6], w: f64[6]) -> f64 =
    sum(x[1:, :-2] * x[:-1, 2:]) + sum(x[::2, 1::2] ** 3) + sum(w[-3:] * x[3, :3])

fn assigned(x: f64[4, 6], w: f64[6]) -> f64 {
    var a: f64[4, 6] = zeros
    a[1] = w * w
    a[2, 1:4] = x[0, :3] * w[2]
    a[0, 5] += sin(x[3, 3])
    a[1, 2] = x[1, 1]
    sum(a * x) + sum(exp(a[1]))
}

fn scattered(x: f64[4, 6], w: f64[6]) -> f64 {
    var a: f64[5] = ones
    let ids = [i in 0..6] => (i * i) % 5
    a[ids] += w
    a[ids] += x[0] * w
    sum(a ** 3)
}

fn recurrence(x: f64[4, 6], w: f64[6]) -> f64 {
    var a = w
    for i in 1..6 {
        a[i] = a[i] + sin(a[i - 1]) * x[i % 4, i]
    }
    sum(a * a)
}

fn folded(x: f64[4, 6], w: f64[6]) -> f64 {
    var h = w
    let hs = for row in x {
        h = tanh(h * row + 0.5 * w)
        sum(h)
    }
    hs @ hs + h[2]
}

fn nested_loops(x: f64[4, 6], w: f64[6]) -> f64 {
    var s = 1.0
    for i in 0..4 {
        var t = s
        for j in 0..6 {
            if x[i, j] > 0.0 { t = t + x[i, j] * w[j] } else { t = t * cos(w[j]) }
        }
        s = s + 0.1 * t
    }
    s
}

fn branches(x: f64[4, 6], w: f64[6]) -> f64 =
    sum([i, j] => if x[i, j] > 0.3 { log(x[i, j]) * w[j] } else if i < 2 { x[i, j] ** 3 } else { w[j] })

fn selections(x: f64[4, 6], w: f64[6]) -> f64 =
    sum(where(x > 0.0 and x < 1.0, sqrt(abs(x)), x * w)) + sum(maximum(x, w)) + sum(clamp(x, -0.5, 0.5))

fn powers(x: f64[4, 6], w: f64[6]) -> f64 {
    let p = abs(x) + 0.5
    sum(p ** w) + sum(p ** 2.5) + sum(x ** 3) + sum(2.0 ** w) + sum(p ** -1.5)
}

fn angles(x: f64[4, 6], w: f64[6]) -> f64 = sum(atan2(x, w)) + sum(hypot(x[0], w)) + sum(tan(0.3 * x))

fn cumulative(x: f64[4, 6], w: f64[6]) -> f64 =
    sum(cumsum[1](x) ** 2 * w) + sum(flip[0](x)[0] * w) + sum(concat[0](x[0], w) ** 2)

fn picked(x: f64[4, 6], w: f64[6]) -> f64 {
    let ids = i32(argmax[-1](x))
    sum(pick[-1](x * w, ids)) + sum(one_hot[6](ids) * x * x)
}

fn reshaped(x: f64[4, 6], w: f64[6]) -> f64 {
    let y = reshape[3, 8](x)
    sum(reshape[6, 4](x.T * 2.0)[:, 1] * w) + sum(y[2] * y[0]) + sum(cross(w[:3], y[1, :3]))
}

fn captured(x: f64[4, 6], w: f64[6]) -> f64 {
    let scale = w[1]
    let f = fn(a: f64) => a * scale + sin(a)
    sum([i, j] => f(f(x[i, j])))
}

fn extremes(x: f64[4, 6], w: f64[6]) -> f64 =
    max(x * w) + sum[i](max[j](x[i, j] * w[j])) + min(w) * sum([j] => min[i](x[i, j]))

struct Pair {
    a: f64[6]
    b: f64
}

fn records(x: f64[4, 6], w: f64[6]) -> f64 {
    let p = Pair(a = w, b = x[0, 0])
    let q = 2.0 * p - Pair(a = x[1], b = 3.0)
    let r = map(fn(leaf) => tanh(leaf), q)
    sum(r * p) + r.b + sum(q.with(b = x[2, 2]) * q)
}

fn counted(x: f64[4, 6], w: f64[6]) -> f64 {
    let inside = sum(f64(x > 0.0))
    inside * sum(w) + sum([i, j] => f64((i * 7 + j) // 3) * x[i, j]) + sum(floor(x) * w)
}

fn stopped(x: f64[4, 6], w: f64[6]) -> f64 = sum(stop_gradient(x) * x) + sum(stop_gradient(w)) * w[0]

fn solved_by_iteration(x: f64[4, 6], w: f64[6]) -> f64 {
    let roots = [i in 0..4] => {
        var z = 1.0 + x[i, 0] ** 2
        for _ in 0..8 { z = z - (z * z * z - 1.0 - x[i, 0] ** 2 - w[i] ** 2) / (3.0 * z * z) }
        z
    }
    sum(roots * roots)
}

fn saturated(x: f64[4, 6], w: f64[6]) -> f64 =
    logsumexp(1000.0 * w) + sum(softplus(500.0 * x)) + sum(sigmoid(-800.0 * w)) + sum(silu(x) + gelu(x))

fn until(x: f64[4, 6], w: f64[6]) -> f64 {
    var y = x
    var n = 0
    while sum(y * y) > 4.0 limit 12 {
        y = [i, j] => 0.9 * y[i, j] * cos(y[i, j] * w[j]) + 0.02 * y[(i + n) % 4, j]
        n += 1
    }
    for k in 0..n - 2 { y = y + 0.1 * sin(y) * f64(k) }
    let settled = [i in 0..4] => {
        var z = x[i, 0] * x[i, 0] + 0.1
        while z < 5.0 { z = z + 0.7 * z * cos(w[i] * z) ** 2 + 0.1 }
        z
    }
    sum(y * w) + sum(settled)
}
