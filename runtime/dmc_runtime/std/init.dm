# init: initial weights for a layer of I inputs and O outputs, f32 unless brackets say otherwise.
#
#     param w: f32[I, O] = init.glorot_uniform[I, O](key)
#
# A normal has the standard deviation s; a uniform of the same variance spans -sqrt(3) * s to sqrt(3) * s.

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
