# nn.transformer: blocks of transformers, x[B, T, D] to the same. They normalise before each part
# (Xiong et al., 2020), and M is the width of the layer in between, often 4 * D.

from nn.attention import Attention, KVCache
from nn.norm import LayerNorm

## Self-attention and two linear layers around gelu, each added to what it is of. `causal` for models
## of what comes next; `masked` for sequences with padding; `next` for one more place, with a cache.
model Block[D, H, M, F: float = f32](turned: bool = false)
        requires H >= 1, D % H == 0 {
    norm1: LayerNorm[D, F]
    attention: Attention[D, H, H, F](turned = turned)
    norm2: LayerNorm[D, F]
    param up: F[D, M] = normal(key) / sqrt(D)
    param up_bias: F[M] = zeros
    param down: F[M, D] = normal(key) / sqrt(M)
    param down_bias: F[D] = zeros

    fn dense[*S](x: F[*S, D]) -> F[*S, D] =
        x + gelu(norm2(x) @ up + up_bias) @ down + down_bias

    fn forward[B, T](x: F[B, T, D]) -> F[B, T, D] = dense(x + attention(norm1(x)))

    fn causal[B, T](x: F[B, T, D]) -> F[B, T, D] = dense(x + attention.causal(norm1(x)))

    fn masked[B, T](x: F[B, T, D], seen: bool[B, T]) -> F[B, T, D] =
        dense(x + attention.masked(norm1(x), seen))

    fn next[B, U](x: F[B, D], cache: KVCache[B, H, U, D / H, F])
            -> (F[B, D], KVCache[B, H, U, D / H, F]) {
        let (a, cache2) = attention.next(norm1(x), cache)
        (dense(x + a), cache2)
    }
}

## A `Block` that also attends to the output of an encoder: causal self-attention, attention to the
## memory, two linear layers.
model DecoderBlock[D, H, M, F: float = f32] requires H >= 1, D % H == 0 {
    norm1: LayerNorm[D, F]
    attention: Attention[D, H, H, F]
    norm2: LayerNorm[D, F]
    crossing: Attention[D, H, H, F]
    norm3: LayerNorm[D, F]
    param up: F[D, M] = normal(key) / sqrt(D)
    param up_bias: F[M] = zeros
    param down: F[M, D] = normal(key) / sqrt(M)
    param down_bias: F[D] = zeros

    fn forward[B, T, U](x: F[B, T, D], memory: F[B, U, D]) -> F[B, T, D] {
        let y = x + attention.causal(norm1(x))
        let z = y + crossing.cross(norm2(y), memory)
        z + gelu(norm3(z) @ up + up_bias) @ down + down_bias
    }
}
