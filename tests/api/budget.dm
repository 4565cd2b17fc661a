# Programs whose gradients keep more than they must.

fn layers[B, H](a: f64[H, H], b: f64[H, H], c: f64[H, H], x: f64[B, H]) -> f64 {
    let first = tanh(x @ a)
    let second = tanh(first @ b)
    let third = tanh(second @ c)
    mean((tanh(third @ a) - x) ** 2)
}

fn stack[L, B, H](w: f64[L, H, H], x: f64[B, H]) -> f64 {
    var h = x
    for i in 0..L { h = h + tanh(softmax[-1](h @ w[i])) }
    mean(h * h)
}

fn recurrent[T, H](w: f64[H, H], x: f64[T, H]) -> f64 {
    var h = zeros[H]
    for t in 0..T { h = tanh(h @ w + x[t]) * sigmoid(x[t]) }
    sum(h * h)
}

fn series[T](a: f64, x: f64[T]) -> f64 {
    var y = 1.0
    var total = 0.0
    for t in 0..T {
        y = if y > 0.0 { sin(a * y) + x[t] } else { cos(a * y) * x[t] }
        total += y * y
    }
    total
}

fn dropped[B, H](w: f64[H, H], x: f64[B, H], k: Key) -> f64 {
    let (first, second) = split(k)
    let h = tanh(x @ w) * where(uniform[B, H](first) < 0.8, 1.25, 0.0)
    let g = tanh(h @ w) * where(uniform[B, H](second) < 0.8, 1.25, 0.0)
    mean(tanh(g @ w) ** 2)
}

fn nested[T, L, H](w: f64[L, H, H], x: f64[T, H]) -> f64 {
    var h = zeros[H]
    for t in 0..T {
        for l in 0..L { h = tanh(h @ w[l] + x[t]) }
    }
    sum(h)
}

fn step(w: f64[4, 4], x: f64[30, 4]) -> f64[4, 4] = w - 0.1 * grad(recurrent, budget = 3 * KiB)(w, x)

fn steps[T, H](a: f64[H], x: f64[H]) -> f64 {
    var y = x
    for t in 0..T { y = sin(a * y) + x }
    sum(y * y)
}
