# A recurrent net that writes text letter by letter (Sutskever et al., 2011; Karpathy, 2015).

import optim
import random
import schedule
from nn import cross_entropy, Embed, Linear, LSTM

model Writer[V, D, H] {
    letters: Embed[V, D](std = 0.5)
    memory: LSTM[D, H]
    last: Linear[H, V]

    fn forward[B, T](ids: i32[B, T]) -> f32[B, T, V] = last(memory(letters(ids)))
}

fn loss[B, T](net: Writer, ids: i32[B, T + 1]) -> f32 =
    cross_entropy(net(ids[:, :-1]), ids[:, 1:])

## Bits a letter.
fn bits[B, T](net: Writer, ids: i32[B, T + 1]) -> f32 = loss[B, T](net, ids) / log(2.0)

fn start(net: Writer) -> optim.AdamW[Writer] = optim.adamw_init(net)

fn step[B, T](net: Writer, opt: optim.AdamW[Writer], ids: i32[B, T + 1], peak: f32, total: i64)
        -> (f32, Writer, optim.AdamW[Writer]) {
    let (l, g) = value_and_grad(loss)(net, ids)
    let rate = schedule.warmup_cosine(opt.t, peak, 20, total)
    let (net2, opt2) = optim.adamw_update(net, optim.clip_norm(g, 1.0), opt, rate, beta2 = 0.99)
    (l, net2, opt2)
}

## `N` letters that follow `first`, each drawn from what the net says of it at this temperature.
fn write[N, V, D, H](net: Writer[V, D, H], first: i32, temperature: f32, key: Key) -> i32[N] {
    var h: f32[1, H] = zeros
    var c: f32[1, H] = zeros
    var letter = first
    for n in 0..N {
        (h, c) = net.memory.step(net.letters([letter]), h, c)
        let logits = net.last(h)
        letter = random.categorical(fold(key, n), logits[0] / temperature)
        letter
    }
}
