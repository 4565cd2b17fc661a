# init: initial weights for a layer of I inputs and O outputs, f32 unless brackets say otherwise.
#
#     param w: f32[I, O] = init.glorot_uniform[I, O](key)
#
# A normal has the standard deviation s; a uniform of the same variance spans -sqrt(3) * s to
# sqrt(3) * s. For the kernel of a `Conv1` put a 1 before its width:
# `reshape[K, I, O](init.he_conv[1, K, I, O](key))`.

import random

## s = sqrt(2 / (I + O)) (Glorot and Bengio, 2010): for tanh and sigmoid.
fn glorot_normal[I, O, F: float = f32](key: Key) -> F[I, O] = sqrt(2.0 / (I + O)) * normal(key)

## The same variance, uniform.
fn glorot_uniform[I, O, F: float = f32](key: Key) -> F[I, O] =
    sqrt(6.0 / (I + O)) * (2.0 * uniform[I, O](key) - 1.0)

## s = sqrt(2 / I) (He et al., 2015): for relu.
fn he_normal[I, O, F: float = f32](key: Key) -> F[I, O] = sqrt(2.0 / I) * normal(key)

## The same variance, uniform.
fn he_uniform[I, O, F: float = f32](key: Key) -> F[I, O] =
    sqrt(6.0 / I) * (2.0 * uniform[I, O](key) - 1.0)

## s = sqrt(1 / I) (LeCun et al., 1998): keeps the variance of the input.
fn lecun_normal[I, O, F: float = f32](key: Key) -> F[I, O] = sqrt(1.0 / I) * normal(key)

## The same variance, uniform.
fn lecun_uniform[I, O, F: float = f32](key: Key) -> F[I, O] =
    sqrt(3.0 / I) * (2.0 * uniform[I, O](key) - 1.0)

# ---- kernels of convolutions --------------------------------------------------------------------

## `glorot_normal` for a K by L kernel, whose inputs are K * L * I.
fn glorot_conv[K, L, I, O, F: float = f32](key: Key) -> F[K, L, I, O] =
    sqrt(2.0 / (K * L * (I + O))) * normal(key)

## `he_normal` for a K by L kernel.
fn he_conv[K, L, I, O, F: float = f32](key: Key) -> F[K, L, I, O] =
    sqrt(2.0 / (K * L * I)) * normal(key)

## `lecun_normal` for a K by L kernel.
fn lecun_conv[K, L, I, O, F: float = f32](key: Key) -> F[K, L, I, O] =
    sqrt(1.0 / (K * L * I)) * normal(key)

## `glorot_uniform` for a K by L kernel.
fn glorot_conv_uniform[K, L, I, O, F: float = f32](key: Key) -> F[K, L, I, O] =
    sqrt(6.0 / (K * L * (I + O))) * (2.0 * uniform[K, L, I, O](key) - 1.0)

## `he_uniform` for a K by L kernel.
fn he_conv_uniform[K, L, I, O, F: float = f32](key: Key) -> F[K, L, I, O] =
    sqrt(6.0 / (K * L * I)) * (2.0 * uniform[K, L, I, O](key) - 1.0)

## `lecun_uniform` for a K by L kernel.
fn lecun_conv_uniform[K, L, I, O, F: float = f32](key: Key) -> F[K, L, I, O] =
    sqrt(3.0 / (K * L * I)) * (2.0 * uniform[K, L, I, O](key) - 1.0)

# ---- others -------------------------------------------------------------------------------------

## `std` times normal numbers between -`limit` and `limit`.
fn truncated_normal[I, O, F: float = f32](key: Key, std: F = 1.0, limit: F = 2.0) -> F[I, O] {
    let high: F[I, O] = limit * ones
    std * random.truncated_normal(key, -high, high)
}

## Orthonormal columns (or rows, if there are fewer of them), evenly distributed, times `gain`
## (Saxe et al., 2014): the orthogonal factor of a normal matrix, with the signs that make it unique.
fn orthogonal[I, O, F: float = f32](key: Key, gain: F = 1.0) -> F[I, O] {
    let drawn: F[I, O] = normal(key)
    gain * (if I >= O { _columns(drawn) } else { _columns(drawn.T).T })
}

fn _columns[N, M, F: float](a: F[N, M]) -> F[N, M] {
    let (q, r) = qr(a)
    q * ([j in 0..M] => if r[j, j] < 0.0 { -1.0 } else { 1.0 })
}

## The identity matrix, cut off or continued with zeros, times `gain`.
fn identity[I, O, F: float = f32](gain: F = 1.0) -> F[I, O] =
    [i in 0..I, o in 0..O] => if i == o { gain } else { 0.0 }

## The same number everywhere.
fn constant[I, O, F: float = f32](value: F) -> F[I, O] = value * ones
