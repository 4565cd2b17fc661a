# Layers of the library, in groups, differentiated through a weighted sum, for comparison with
# PyTorch's.

import nn
from nn import Attention, BatchNorm, BiGRU, Bilinear, BiLSTM, BiRNN, Block, CausalConv1, Conv1, Conv2,
    ConvTranspose1, ConvTranspose2, DecoderBlock, GroupedConv1, GroupedConv2, GroupNorm, GRU, Highway,
    InstanceNorm, KVCache, Linear, LSTM, RMSNorm, SameConv1, SameConv2, SpectralConv1, SpectralConv2,
    SpectralLinear

fn conv2[B, H, W](l: Conv2[3, 2, 1, 4, 6, f64], x: f64[B, H, W, 4])
        -> f64[B, (H - 1) // 2 + 1, (W - 1) // 2 + 1, 6]
    requires H >= 1, W >= 1 = l(x)
fn dilated[B, H, W](x: f64[B, H, W, 4], w: f64[3, 2, 4, 5]) -> f64[B, H - 4, W - 2, 5]
    requires H >= 5, W >= 3 = nn.conv2[1, 2](x, w)
fn conv1[B, T](l: Conv1[3, 2, 2, 4, 6, f64], x: f64[B, T, 4])
        -> f64[B, (T + 1) // 2 + 1, 6] requires T >= 1 = l(x)
fn causal1[B, T](l: CausalConv1[3, 2, 4, 6, f64], x: f64[B, T, 4])
        -> f64[B, T, 6] requires T >= 1 = l(x)
fn same1[B, T](l: SameConv1[4, 1, 2, 4, 6, f64], x: f64[B, T, 4]) -> f64[B, T, 6]
    requires T >= 1 = l(x)
fn same2[B, H, W](l: SameConv2[4, 2, 1, 4, 6, f64], x: f64[B, H, W, 4])
        -> f64[B, (H - 1) // 2 + 1, (W - 1) // 2 + 1, 6]
    requires H >= 1, W >= 1 = l(x)
fn grouped1[B, T](l: GroupedConv1[3, 1, 0, 2, 4, 6, f64], x: f64[B, T, 4]) -> f64[B, T - 2, 6]
    requires T >= 3 = l(x)
fn transposed1[B, T](l: ConvTranspose1[4, 2, 1, 4, 3, f64], x: f64[B, T, 4]) -> f64[B, 2 * T, 3]
    requires T >= 1 = l(x)
fn grouped[B, H, W](l: GroupedConv2[3, 1, 1, 2, 4, 6, f64], x: f64[B, H, W, 4]) -> f64[B, H, W, 6]
    requires H >= 1, W >= 1 = l(x)
fn depthwise[B, H, W](l: GroupedConv2[3, 2, 1, 4, 4, 8, f64], x: f64[B, H, W, 4])
        -> f64[B, (H - 1) // 2 + 1, (W - 1) // 2 + 1, 8]
    requires H >= 1, W >= 1 = l(x)
fn transposed[B, H, W](l: ConvTranspose2[4, 2, 1, 4, 3, f64], x: f64[B, H, W, 4])
        -> f64[B, 2 * H, 2 * W, 3]
    requires H >= 1, W >= 1 = l(x)

fn max_pool[B](x: f64[B, 9, 8, 4]) -> f64[B, 4, 3, 4] = nn.max_pool2[3, 2](x)
fn avg_pool[B](x: f64[B, 9, 8, 4]) -> f64[B, 4, 3, 4] = nn.avg_pool2[3, 2](x)
fn adaptive[B](x: f64[B, 9, 8, 4]) -> f64[B, 4, 3, 4] = nn.adaptive_avg_pool[4, 3](x)
fn adaptive_max[B](x: f64[B, 9, 8, 4]) -> f64[B, 4, 3, 4] = nn.adaptive_max_pool[4, 3](x)
fn global[B](x: f64[B, 9, 8, 4])
        -> f64[B, 8] = concat[1](nn.global_avg_pool(x), nn.global_max_pool(x))
fn pools1[B](x: f64[B, 9, 4]) -> f64[B, 18, 4] = concat[1](
    nn.max_pool1[3, 2](x), nn.avg_pool1[3, 2](x), nn.adaptive_avg_pool1[4](x),
    nn.adaptive_max_pool1[4](x), reshape[B, 1, 4](nn.global_avg_pool(x)),
    reshape[B, 1, 4](nn.global_max_pool(x)))

fn group_norm[B, H, W](l: GroupNorm[2, 4, f64], x: f64[B, H, W, 4]) -> f64[B, H, W, 4] = l(x)
## Of sequences, and of every place by itself.
fn group_norms[B, T](l: GroupNorm[2, 4, f64], x: f64[B, T, 4]) -> f64[B, 2 * T, 4] =
    concat[1](l(x), reshape[B, T, 4](l(reshape[B * T, 4](x))))
fn instance_norm1[B, T](l: InstanceNorm[4, f64], x: f64[B, T, 4]) -> f64[B, T, 4] = l(x)
fn instance_norm[B, H, W](l: InstanceNorm[4, f64], x: f64[B, H, W, 4]) -> f64[B, H, W, 4] = l(x)
fn rms_norm[B](l: RMSNorm[4, f64], x: f64[B, 4]) -> f64[B, 4] = l(x)
fn batch_norm[B, H, W](var l: BatchNorm[4, f64], x: f64[B, H, W, 4])
        -> (f64[B, H, W, 4], f64[4], f64[4], f64[B, H, W, 4]) {
    let y = l(x)
    (y, l.center, l.variance, l.infer(x))
}
fn spectral[B](var l: SpectralLinear[4, 3, f64], x: f64[B, 4]) -> f64[B, 3] {
    for _ in 0..50 { let _ = l(x) }
    l(x)
}

fn spectral1[B, T](var l: SpectralConv1[3, 2, 1, 4, 3, f64], x: f64[B, T, 4])
        -> f64[B, (T - 1) // 2 + 1, 3] requires T >= 1 = l(x)
fn spectral2[B, H, W](var l: SpectralConv2[3, 2, 1, 4, 3, f64], x: f64[B, H, W, 4])
        -> f64[B, (H - 1) // 2 + 1, (W - 1) // 2 + 1, 3] requires H >= 1, W >= 1 = l(x)
fn weight_norm(v: f64[3, 3, 4, 5], g: f64[5]) -> f64[3, 3, 4, 5] = nn.weight_norm(v, g)

fn rnn[B, T](l: BiRNN[4, 5, f64], x: f64[B, T, 4]) -> f64[B, T, 10] = l(x)
fn lstm[B, T](l: LSTM[4, 5, f64], x: f64[B, T, 4]) -> f64[B, T, 5] = l(x)
fn gru[B, T](l: GRU[4, 5, f64], x: f64[B, T, 4]) -> f64[B, T, 5] = l(x)
fn packed[B, T](l: BiLSTM[4, 5, f64], x: f64[B, T, 4], lengths: i32[B]) -> f64[B, T, 10] =
    l.run(x, lengths)
fn both_ways[B, T](l: BiGRU[4, 5, f64], x: f64[B, T, 4]) -> f64[B, T, 10] = l(x)
fn last[B, T](l: LSTM[4, 5, f64], x: f64[B, T, 4], lengths: i32[B]) -> (f64[B, 5], f64[B, 5]) {
    let (_, h, c) = l.run(x, zeros, zeros, lengths)
    (h, c)
}

model Joined[D, F: float = f32] {
    inner: Linear[D, D, F]
    gate: Highway[D, F]
    pair: Bilinear[D, D, 3, F]
}

fn joined[B](l: Joined[4, f64], x: f64[B, 4]) -> f64[B, 7] {
    let h = nn.residual(l.inner, l.gate(x, tanh(l.inner(x))))
    nn.dense(fn(at: f64[B, 4]) => l.pair(at, x), h)
}

fn grouped_attention[B, T, U](q: f64[B, 4, T, 6], k: f64[B, 2, U, 6], v: f64[B, 2, U, 3])
        -> f64[B, 4, T, 3] = nn.attend(q, k, v)
fn causal_attention[B, T](q: f64[B, 4, T, 6], k: f64[B, 2, T, 6], v: f64[B, 2, T, 3])
        -> f64[B, 4, T, 3] = nn.attend_causal(q, k, v)
fn seen_attention[B, T, U](q: f64[B, 4, T, 6], k: f64[B, 2, U, 6], v: f64[B, 2, U, 3], seen: bool[B, U])
        -> f64[B, 4, T, 3] =
    nn.attend_seen(q, k, v, seen)
fn alibi_attention[B, T](q: f64[B, 4, T, 6], k: f64[B, 2, T, 6], v: f64[B, 2, T, 3])
        -> f64[B, 4, T, 3] =
    nn.attend_biased(q, k, v, nn.alibi[4, T, T, f64]())
fn attention[B, T](l: Attention[8, 2, 2, f64], x: f64[B, T, 8]) -> f64[B, T, 8] = l(x)
fn cross[B, T, U](l: Attention[8, 2, 2, f64], x: f64[B, T, 8], memory: f64[B, U, 8])
        -> f64[B, T, 8] = l.cross(x, memory)
fn block[B, T](l: Block[8, 2, 16, f64], x: f64[B, T, 8]) -> f64[B, T, 8] = l.causal(x)
fn decoder[B, T, U](l: DecoderBlock[8, 2, 16, f64], x: f64[B, T, 8], memory: f64[B, U, 8])
        -> f64[B, T, 8] = l(x, memory)
fn generated[B, T](l: Block[8, 2, 16, f64], x: f64[B, T, 8]) -> f64[B, T, 8] {
    var cache: KVCache[B, 2, T, 4, f64] = KVCache(k = zeros, v = zeros, length = 0)
    let out = for t in 0..T {
        let (y, c) = l.next(x[:, t], cache)
        cache = c
        y
    }
    [b, t] => out[t, b]
}
fn positions[T]() -> f64[T, 6] = nn.sinusoidal[T, 6, f64]()
fn turned[B, T](x: f64[B, T, 6]) -> f64[B, T, 6] = nn.rotary(x, 3)
