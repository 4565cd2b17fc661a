# Diffusion (Ho et al., 2020): a net learns to tell the noise in an image, and takes it away step by
# step, from noise alone to an image.

import optim
import schedule
from nn import Linear, residual, silu

## At time t, from 0 to 1, an image x and noise z are mixed: cos(a) x + sin(a) z, with an angle a from
## nearly 0 to nearly pi / 2 (Nichol and Dhariwal, 2021).
fn angle(t: f32) -> f32 = 0.5 * pi * (0.01 + 0.98 * t)

model Layer[H] {
    up: Linear[H, H](std = sqrt(2.0 / H))
    down: Linear[H, H](std = 0.1 / sqrt(H))

    fn forward[B](x: f32[B, H]) -> f32[B, H] = down(silu(up(x)))
}

model Denoiser[I, H, K, L] {
    image: Linear[I, H]
    time: Linear[2 * K, H]
    layers: L * Layer[H]
    out: Linear[H, I](std = 0.01)

    ## The noise in each x[b] at time t[b].
    fn forward[B](x: f32[B, I], t: f32[B]) -> f32[B, I] {
        let waves = [b, k in 0..K] => pi * t[b] * 2.0 ** (0.5 * f32(k))
        var h = image(x) + time(concat[1](sin(waves), cos(waves)))
        for layer in layers { h = residual(layer, silu(h)) }
        out(h)
    }
}

## The mean squared error of the noise told, at random times.
fn loss[B](net: Denoiser, x: f32[B, net.I], key: Key) -> f32 {
    let (a, b) = split(key)
    let t: f32[B] = uniform(a)
    let noise: f32[B, net.I] = normal(b)
    let noisy = [n, i] => cos(angle(t[n])) * x[n, i] + sin(angle(t[n])) * noise[n, i]
    mean((net(noisy, t) - noise) ** 2)
}

## The optimizer's state, and a mean of the weights, by which images are drawn.
struct State[I, H, K, L] {
    adam: optim.Adam[Denoiser[I, H, K, L]]
    ema: optim.EMA[Denoiser[I, H, K, L]]
}

fn start[I, H, K, L](net: Denoiser[I, H, K, L]) -> State[I, H, K, L] =
    State(adam = optim.adam_init(net), ema = optim.ema_init(net))

fn step[B, I, H, K, L](net: Denoiser[I, H, K, L], s: State[I, H, K, L], x: f32[B, I], key: Key,
                       peak: f32, total: i64) -> (f32, Denoiser[I, H, K, L], State[I, H, K, L]) {
    let (l, g) = value_and_grad(loss)(net, x, key)
    let rate = schedule.warmup_cosine(s.adam.t, peak, 50, total)
    let (net2, adam) = optim.adam_update(net, optim.clip_norm(g, 1.0), s.adam, rate)
    (l, net2, State(adam = adam, ema = optim.ema_update(net2, s.ema, 0.995)))
}

fn averaged[I, H, K, L](net: Denoiser[I, H, K, L], s: State[I, H, K, L]) -> Denoiser[I, H, K, L] =
    optim.ema_model(net, s.ema)

## N images by T steps from noise. Each guesses the image, and mixes it with the noise told, and new
## noise, as they are one step earlier (Ho et al., 2020).
fn samples[N, T](net: Denoiser, key: Key) -> f32[N, net.I] {
    var x = normal[N, net.I](fold(key, 0))
    for s in 0..T {
        let t = f32(T - s) / f32(T)
        let a = angle(t)
        let b = angle(f32(T - s - 1) / f32(T))
        let guess = clamp((x - sin(a) * net(x, [_ in 0..N] => t)) / cos(a), -1.0, 1.0)
        let told = (x - cos(a) * guess) / sin(a)
        let added = sqrt(maximum(1.0 - (cos(a) / cos(b)) ** 2, 1e-12))
        let part = sin(b) / sin(a) * added
        let kept = sqrt(maximum(sin(b) ** 2 - part ** 2, 1e-12))
        let drawn: f32[N, net.I] = normal(fold(key, s + 1))
        x = if s == T - 1 { guess } else { cos(b) * guess + kept * told + part * drawn }
    }
    x
}
