struct Two {
    a: f64[5]
    b: f64[2, 3]
}

fn tridiagonal[N](x: f64[N]) -> f64[N] =
    [i] => x[i] ** 2 - sin(x[maximum(i - 1, 0)]) * x[minimum(i + 1, N - 1)]

fn heat[N](u: f64[N, N], k: f64) -> f64[N, N] = [i, j] =>
    u[i, j] + k * (u[maximum(i - 1, 0), j] + u[minimum(i + 1, N - 1), j] + u[i, maximum(j - 1, 0)]
        + u[i, minimum(j + 1, N - 1)] - 4.0 * u[i, j]) - u[i, j] ** 3

fn arrow[N](x: f64[N]) -> f64[N] {
    var r = x * x * x[N - 1]
    r[N - 1] = sum(sin(x))
    r
}

fn graph[N, E](x: f64[N], from_: i32[E], to: i32[E]) -> f64[E] =
    [e] => (x[from_[e]] - x[to[e]]) ** 3

fn spread[N, E](x: f64[E], to: i32[E], like: f64[N]) -> f64[N] {
    var r = like
    r[to] += x ** 2
    r[to[0]] *= 2.0
    r
}

fn recurrence[N](x: f64[N]) -> f64[N] {
    var h = x[0]
    var out: f64[N] = zeros
    for t in 1..N {
        h = if t % 3 == 0 { x[t] } else { h * x[t] }
        out[t] = h
    }
    out
}

fn counted[N](x: f64[N], n: i64) -> f64[N] {
    var u = x
    for t in 0..n { u = [i] => 0.5 * u[i] * u[minimum(i + 1, N - 1)] }
    u
}

fn halved[N](x: f64[N]) -> f64[N] {
    var u = x
    while max(abs(u)) > 0.5 limit 60 { u = 0.5 * u * abs(u) }
    u
}

fn chosen[N](x: f64[N]) -> f64[N] {
    let top = argmax(x)
    if x[0] > 0.0 { x * x[top] } else { stop_gradient(x) * floor(x) }
}

fn mixed[N](x: f64[N], a: f64[N, N]) -> (f64[N], f64) {
    let y = a @ x
    (softmax[0](y), sum(x))
}

fn sorted_parts[N](x: f64[N, 3]) -> f64[N, 3] = [i] => cumsum[0](sort[0](x[i])) * exp(x[i, 0])

fn solved[N](a: f64[N, 2, 2], b: f64[N, 2]) -> f64[N, 2] = solve(a, b)

fn of_record(p: Two, x: f64[3]) -> f64[2, 3] = p.b * x * p.a[1:4]

fn rounded[N](x: f64[N]) -> f64[N] = round(x)

derivative unchecked rounded(x) -> y {
    jvp(dx) = dx
}

fn reversed_[N](x: f64[N]) -> f64[N] = x

derivative unchecked reversed_(x) -> y {
    vjp(dy) = -dy
}

fn ruled[N](x: f64[N]) -> f64[N] = rounded(x) * x + reversed_(x ** 2)

fn energy[N](x: f64[N]) -> f64 =
    sum[i in 0..N - 1]((x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2)

fn hub[N](x: f64[N]) -> f64 = sum[i](x[i] ** 2 * x[0]) + sum[i in 1..N](x[i] ** 3)

fn network[N, E](x: f64[N], from_: i32[E], to: i32[E]) -> f64 = sum(graph(x, from_, to) ** 2)

fn plate[N](u: f64[N, N]) -> f64 =
    sum[i in 1..N - 1, j in 1..N - 1]((u[i - 1, j] + u[i, j + 1] - 2.0 * u[i, j]) ** 4)

fn filled[M, N, K](entries: (f64[K], i32[K], i32[K]), like: f64[M, N]) -> f64[M, N] {
    let (values, rows, columns) = entries
    var dense = 0.0 * like
    for e in 0..K { dense[rows[e], columns[e]] += values[e] }
    dense
}

fn dense_tridiagonal[N](x: f64[N], like: f64[N, N]) -> f64[N, N] =
    filled(jacobian(fn(y) => 2.0 * tridiagonal(y) * x[0], sparse = true)(x), like)

fn dense_arrow[N](x: f64[N], like: f64[N, N]) -> f64[N, N] =
    filled(jacobian(arrow, sparse = true)(x), like)

fn dense_of_record(p: Two, x: f64[3], like: f64[6, 14]) -> f64[6, 14] =
    filled(jacobian(of_record, wrt = (x, p), sparse = true)(p, x), like)

fn dense_hessian[N](x: f64[N], like: f64[N, N]) -> f64[N, N] =
    filled(hessian(energy, sparse = true)(x), like)

fn beside[N](x: f64[N]) -> (f64[N], f64) = (tridiagonal(x), sum(x))

fn sums[B, N](x: f64[B, N]) -> (f64[B], f64[B]) {
    let all = [b] => {
        let ((values, rows, columns), rest) = jacobian(beside, sparse = true)(x[b])
        (values, rest)
    }
    let (values, rests) = all
    ([b] => sum(values[b]), rests)
}

fn norm[N](x: f64[N]) -> f64 {
    let (values, rows, columns) = jacobian(tridiagonal, sparse = true)(x)
    sum(values ** 2 * x[columns])
}

fn implicit[N](x: f64[N]) -> f64[N] {
    var y = x
    for t in 0..3 {
        let (values, rows, columns) = jacobian(heated, sparse = true)(y)
        y[rows] += 0.1 * values * x[columns]
    }
    y
}

fn heated[N](y: f64[N]) -> f64[N] = [i] => 0.5 * y[i] * y[minimum(i + 1, N - 1)]
