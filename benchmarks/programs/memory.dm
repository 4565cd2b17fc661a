# Layers and steps whose gradients keep more than they must; see `python -m benchmarks.memory`.

fn mlp[L, B, H](w: f32[L, H, H], x: f32[B, H]) -> f32 {
    var h = x
    for l in 0..L { h = tanh(h @ w[l]) }
    mean(h ** 2)
}

## A convolution of images that are surrounded by zeros.
fn conv[B, H, W, C](x: f32[B, H, W, C], k: f32[3, 3, C, C]) -> f32[B, H, W, C] {
    var padded: f32[B, H + 2, W + 2, C] = zeros
    padded[:, 1:-1, 1:-1, :] = x
    [n, r in 0..H, c in 0..W, o] => sum[i, j, q](padded[n, r + i, c + j, q] * k[i, j, q, o])
}

fn convnet[L, B, H, C](w: f32[L, 3, 3, C, C], x: f32[B, H, H, C]) -> f32 {
    var h = x
    for l in 0..L { h = maximum(conv(h, w[l]), 0.0) }
    mean(h ** 2)
}

## The gate that forgets is biased to remember: else cotangents become subnormal numbers on the way back,
## on which some processors are slow.
fn lstm[T, B, H](w: f32[2 * H, 4 * H], x: f32[T, B, H]) -> f32 {
    var h: f32[B, H] = zeros
    var c: f32[B, H] = zeros
    for t in 0..T {
        let z = reshape[B, 4, H](x[t] @ w[:H] + h @ w[H:])
        c = sigmoid(z[:, 1] + 3.0) * c + sigmoid(z[:, 0]) * tanh(z[:, 2])
        h = sigmoid(z[:, 3]) * tanh(c)
    }
    mean(h ** 2)
}

## Blocks of causal attention and a dense part.
fn gpt[L, B, T, D](w: f32[L, D, 12 * D], x: f32[B, T, D]) -> f32 requires D % 4 == 0 {
    var h = x
    for l in 0..L {
        let z = reshape[B, T, 3, 4, D / 4](norm(h) @ w[l, :, :3 * D])
        let s = [b, n, t, u] =>
            if u <= t { sum[e](z[b, t, 0, n, e] * z[b, u, 1, n, e]) / sqrt(D / 4) } else { -inf }
        let p = softmax[-1](s)
        let a = reshape[B, T, D]([b, t, n, e] => sum[u](p[b, n, t, u] * z[b, u, 2, n, e]))
        h = h + a @ w[l, :, 3 * D:4 * D]
        h = h + gelu(norm(h) @ w[l, :, 4 * D:8 * D]) @ w[l, :, 8 * D:12 * D].T
    }
    mean(h ** 2)
}

fn norm[B, T, D](x: f32[B, T, D]) -> f32[B, T, D] {
    let m = mean[-1](x)
    let c = [b, t, d] => x[b, t, d] - m[b, t]
    let v = mean[-1](c * c)
    [b, t, d] => c[b, t, d] / sqrt(v[b, t] + 1e-5)
}
