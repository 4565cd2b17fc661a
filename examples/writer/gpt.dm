# A transformer that writes text letter by letter (Radford et al., 2018): `Block`s of the library,
# with positions as angles, and a cache of keys and values when it writes.

import optim
import random
import schedule
from nn import Block, cross_entropy, Embed, KVCache, LayerNorm

model GPT[V, D, H, L] requires H >= 1, D % H == 0 {
    letters: Embed[V, D](std = 0.1)
    blocks: L * Block[D, H, 4 * D](turned = true)
    norm: LayerNorm[D]

    ## For each place the logits of the letter behind it; the output is tied to the letters.
    fn forward[B, T](ids: i32[B, T]) -> f32[B, T, V] {
        var h = letters(ids)
        for block in blocks { h = block.causal(h) }
        norm(h) @ letters.w.T
    }
}

fn loss[B, T](net: GPT, ids: i32[B, T + 1]) -> f32 = cross_entropy(net(ids[:, :-1]), ids[:, 1:])

## Bits a letter.
fn bits[B, T](net: GPT, ids: i32[B, T + 1]) -> f32 = loss[B, T](net, ids) / log(2.0)

fn start(net: GPT) -> optim.AdamW[GPT] = optim.adamw_init(net)

fn step[B, T](net: GPT, opt: optim.AdamW[GPT], ids: i32[B, T + 1], peak: f32, total: i64)
        -> (f32, GPT, optim.AdamW[GPT]) {
    let (l, g) = value_and_grad(loss)(net, ids)
    let rate = schedule.warmup_cosine(opt.t, peak, 20, total)
    let (net2, opt2) = optim.adamw_update(net, optim.clip_norm(g, 1.0), opt, rate, beta2 = 0.99)
    (l, net2, opt2)
}

## `N` letters that follow `first`, each drawn from what the net says of it at this temperature.
fn write[N, V, D, H, L](net: GPT[V, D, H, L], first: i32, temperature: f32, key: Key) -> i32[N]
        requires H >= 1, D % H == 0 {
    var k: f32[L, 1, H, N, D / H] = zeros
    var v: f32[L, 1, H, N, D / H] = zeros
    var letter = first
    for n in 0..N {
        var h = net.letters([letter])
        for l in 0..L {
            let cache = KVCache(k = k[l], v = v[l], length = n)
            let (next, filled) = net.blocks[l].next(h, cache)
            h = next
            k[l] = filled.k
            v[l] = filled.v
        }
        let logits = net.norm(h) @ net.letters.w.T
        letter = random.categorical(fold(key, n), logits[0] / temperature)
        letter
    }
}
