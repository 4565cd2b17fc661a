# Programs whose gradients keep more than they must; see `python -m benchmarks.memory`.

fn mlp[L, B, H](w: f32[L, H, H], x: f32[B, H]) -> f32 {
    let a = tanh(x @ w[0])
    let b = tanh(a @ w[1])
    let c = tanh(b @ w[2])
    let d = tanh(c @ w[3])
    let e = tanh(d @ w[4])
    let f = tanh(e @ w[5])
    mean((f @ w[6]) ** 2)
}

fn recurrent[T, H](w: f32[H, H], x: f32[T, H]) -> f32 {
    var h = zeros[H]
    for t in 0..T { h = tanh(h @ w + x[t]) }
    sum(h * h)
}
