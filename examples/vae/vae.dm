# A variational autoencoder (Kingma and Welling, 2014): images through a narrow code that is drawn
# from a normal distribution, and back.

import optim
import schedule
from nn import bce_with_logits_terms, kl_normal_terms, Linear, silu

model VAE[I, H, Z] {
    up: Linear[I, H](std = sqrt(2.0 / I))
    mean_code: Linear[H, Z]
    spread: Linear[H, Z](std = 0.01)
    down: Linear[Z, H](std = sqrt(2.0 / Z))
    deeper: Linear[H, H](std = sqrt(2.0 / H))
    out: Linear[H, I]

    ## Mean and log-variance of the code of each image.
    fn encode[B](x: f32[B, I]) -> (f32[B, Z], f32[B, Z]) {
        let h = silu(up(2.0 * x - 1.0))
        (mean_code(h), spread(h))
    }

    ## Logits of the pixels of each code.
    fn decode[B](z: f32[B, Z]) -> f32[B, I] = z |> down |> silu |> deeper |> silu |> out
}

## Nats for a code and the image that it gives, on average: a bound on what the images hold.
fn loss[B](net: VAE, x: f32[B, net.I], key: Key) -> f32 {
    let (mu, log_variance) = net.encode(x)
    let noise: f32[B, net.Z] = normal(key)
    let logits = net.decode(mu + exp(0.5 * log_variance) * noise)
    (sum(bce_with_logits_terms(logits, x)) + sum(kl_normal_terms(mu, log_variance))) / f32(B)
}

fn start(net: VAE) -> optim.Adam[VAE] = optim.adam_init(net)

fn step[B](net: VAE, opt: optim.Adam[VAE], x: f32[B, net.I], key: Key, peak: f32, total: i64)
        -> (f32, VAE, optim.Adam[VAE]) {
    let (l, g) = value_and_grad(loss)(net, x, key)
    let (net2, opt2) = optim.adam_update(net, g, opt, schedule.warmup_cosine(opt.t, peak, 20, total))
    (l, net2, opt2)
}

## Images of N codes that are drawn.
fn samples[N](net: VAE, key: Key) -> f32[N, net.I] = sigmoid(net.decode(normal[N, net.Z](key)))

## Images there and back, by the means of their codes.
fn again[B](net: VAE, x: f32[B, net.I]) -> f32[B, net.I] {
    let (mu, _) = net.encode(x)
    sigmoid(net.decode(mu))
}
