# Three convolutions of 3×3 with batch norm on 32×32 images.

from nn import cross_entropy, max_pool, relu

struct Net {
    k0: f32[3, 3, 3, 32]
    g0: f32[32]
    b0: f32[32]
    k1: f32[3, 3, 32, 64]
    g1: f32[64]
    b1: f32[64]
    k2: f32[3, 3, 64, 128]
    g2: f32[128]
    b2: f32[128]
    w: f32[128, 10]
    b: f32[10]
}

## A convolution of images that are surrounded by zeros.
fn conv[B, H, W, I, O](x: f32[B, H, W, I], k: f32[3, 3, I, O]) -> f32[B, H, W, O] {
    var padded: f32[B, H + 2, W + 2, I] = zeros
    padded[:, 1:-1, 1:-1, :] = x
    [n, r in 0..H, c in 0..W, o] => sum[i, j, q](padded[n, r + i, c + j, q] * k[i, j, q, o])
}

fn block[B, H, W, I, O](x: f32[B, H, W, I], k: f32[3, 3, I, O], gain: f32[O], bias: f32[O])
        -> f32[B, H, W, O] {
    let z = conv(x, k)
    let c = z - mean[B, H, W](z)
    relu(gain * c / sqrt(mean[B, H, W](c * c) + 1e-5) + bias)
}

fn loss[B](p: Net, x: f32[B, 32, 32, 3], y: i32[B]) -> f32 {
    let h = x |> block(p.k0, p.g0, p.b0) |> block(p.k1, p.g1, p.b1) |> max_pool[2]
    let z = block(h, p.k2, p.g2, p.b2)
    cross_entropy(mean[1, 2](z) @ p.w + p.b, y)
}
