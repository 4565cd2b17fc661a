# A U-net (Ronneberger et al., 2015): convolutions at three scales, joined by what went before.

from nn import max_pool, mse, relu

struct Layer[I, O] {
    k: f32[3, 3, I, O]
    b: f32[O]
}

struct Pair[I, O] {
    first: Layer[I, O]
    second: Layer[O, O]
}

struct UNet[I, C] {
    down1: Pair[I, C]
    down2: Pair[C, 2 * C]
    bottom: Pair[2 * C, 4 * C]
    up2: Pair[6 * C, 2 * C]
    up1: Pair[3 * C, C]
    out: f32[C, I]
}

fn conv[B, H, W, I, O](x: f32[B, H, W, I], p: Layer[I, O]) -> f32[B, H, W, O] {
    var padded: f32[B, H + 2, W + 2, I] = zeros
    padded[:, 1:-1, 1:-1, :] = x
    let z = [n, r in 0..H, c in 0..W, o] => sum[i, j, q](padded[n, r + i, c + j, q] * p.k[i, j, q, o])
    relu(z + p.b)
}

fn twice[B, H, W, I, O](x: f32[B, H, W, I], p: Pair[I, O]) -> f32[B, H, W, O] =
    x |> conv(p.first) |> conv(p.second)

fn enlarge[B, H, W, C](x: f32[B, H, W, C]) -> f32[B, 2 * H, 2 * W, C] =
    [n, r in 0..2 * H, c in 0..2 * W, k] => x[n, r // 2, c // 2, k]

fn unet[B, H, W, I, C](p: UNet[I, C], x: f32[B, 4 * H, 4 * W, I]) -> f32[B, 4 * H, 4 * W, I] {
    let a = twice(x, p.down1)
    let b = twice(max_pool[2](a), p.down2)
    let c = twice(max_pool[2](b), p.bottom)
    let d = twice(concat[3](enlarge(c), b), p.up2)
    twice(concat[3](enlarge(d), a), p.up1) @ p.out
}

fn loss[B, H, W, I, C](p: UNet[I, C], x: f32[B, 4 * H, 4 * W, I], y: f32[B, 4 * H, 4 * W, I]) -> f32 =
    mse(unet(p, x), y)
