# nn.norm: layers that bring activations, or weights, to a common scale.

from nn.conv import conv1, conv2, pad1, pad2

## Normalises the last axis to mean 0 and variance 1, then scales and shifts (Ba et al., 2016).
model LayerNorm[D, F: float = f32](eps: F = 1e-5) {
    param gain: F[D] = ones
    param bias: F[D] = zeros

    fn forward[*S](x: F[*S, D]) -> F[*S, D] {
        let c = x - mean[-1](x)[..., _]
        gain * c / sqrt(mean[-1](c * c) + eps)[..., _] + bias
    }
}

## Divides the last axis by its root mean square, then scales (Zhang and Sennrich, 2019).
model RMSNorm[D, F: float = f32](eps: F = 1e-6) {
    param gain: F[D] = ones

    fn forward[*S](x: F[*S, D]) -> F[*S, D] = gain * x / sqrt(mean[-1](x * x) + eps)[..., _]
}

## Normalises each of C channels, the last axis, to mean 0 and variance 1 over all else, then scales
## and shifts (Ioffe and Szegedy, 2015). `center` and `variance` are running averages, to which a batch
## contributes the share `momentum`; `infer` uses them in place of the batch's own.
model BatchNorm[C, F: float = f32](momentum: F = 0.1, eps: F = 1e-5) {
    param gain: F[C] = ones
    param bias: F[C] = zeros
    state center: F[C] = zeros
    state variance: F[C] = ones

    mut fn forward[*S](x: F[*S, C]) -> F[*S, C] {
        let m = mean[*S](x)
        let c = x - m
        let v = mean[*S](c * c)
        let each: F[*S] = ones
        let n = sum(each)
        center = (1.0 - momentum) * center + momentum * m
        variance = (1.0 - momentum) * variance + momentum * v * n / maximum(n - 1.0, 1.0)
        gain * c / sqrt(v + eps) + bias
    }

    fn infer[*S](x: F[*S, C]) -> F[*S, C] = gain * (x - center) / sqrt(variance + eps) + bias
}

## Normalises each of G groups of the C channels of each example, over all its places (of an image, a
## sequence or one vector of features), then scales and shifts (Wu and He, 2018).
model GroupNorm[G, C, F: float = f32](eps: F = 1e-5) requires G >= 1, C % G == 0 {
    param gain: F[C] = ones
    param bias: F[C] = zeros

    fn forward[B, *S](x: F[B, *S, C]) -> F[B, *S, C] {
        let parts = reshape[B, *S, G, C / G](x)
        let y = [n] => {
            let c = parts[n] - mean[*S, -1](parts[n])[:, _]
            c / sqrt(mean[*S, -1](c * c) + eps)[:, _]
        }
        gain * reshape[B, *S, C](y) + bias
    }
}

## Normalises each channel of each example over all its places, of an image or a sequence, then scales
## and shifts (Ulyanov et al., 2016).
model InstanceNorm[C, F: float = f32](eps: F = 1e-5) {
    param gain: F[C] = ones
    param bias: F[C] = zeros

    fn forward[B, *S](x: F[B, *S, C]) -> F[B, *S, C] = [n] => {
        let c = x[n] - mean[*S](x[n])
        gain * c / sqrt(mean[*S](c * c) + eps) + bias
    }
}

# ---- weights ------------------------------------------------------------------------------------

## v with the weights of each output, its last axis, brought to the length g (Salimans and Kingma, 2016).
fn weight_norm[F: float, *S, O](v: F[*S, O], g: F[O]) -> F[*S, O] = g * v / sqrt(sum[*S](v * v))

## The largest singular value of w by one step of power iteration from u, its right singular vector as
## far as it is known; and the better u (Miyato et al., 2018).
fn _spectral[F: float, N, O](w: F[N, O], u: F[O]) -> (F, F[O]) {
    let matrix = stop_gradient(w)
    let left = matrix @ u
    let v = left / (sqrt(sum(left * left)) + 1e-12)
    let right = v @ matrix
    let better = right / (sqrt(sum(right * right)) + 1e-12)
    (v @ w @ better, better)
}

## A linear layer whose matrix is divided by its largest singular value, which one step of power
## iteration for each call keeps up to date (Miyato et al., 2018).
model SpectralLinear[I, O, F: float = f32] {
    param w: F[I, O] = normal(key) / sqrt(I)
    param b: F[O] = zeros
    state u: F[O] = normal(key)

    mut fn forward[*S](x: F[*S, I]) -> F[*S, O] {
        let (size, better) = _spectral(w, u)
        u = better
        x @ w / size + b
    }
}

## `Conv2` whose kernel, as a matrix from its K * K * I inputs to its outputs, is divided by its
## largest singular value, as in `SpectralLinear`.
model SpectralConv2[K, S, P, I, O, F: float = f32] requires K >= 1, S >= 1 {
    param w: F[K, K, I, O] = sqrt(1.0 / (K * K * I)) * normal(key)
    param b: F[O] = zeros
    state u: F[O] = normal(key)

    mut fn forward[B, H, W](x: F[B, H, W, I])
            -> F[B, (2 * P + H - K) // S + 1, (2 * P + W - K) // S + 1, O]
            requires 2 * P + H >= K, 2 * P + W >= K {
        let (size, better) = _spectral(reshape[K * K * I, O](w), u)
        u = better
        conv2[S, 1](pad2[P, P, P, P](x), w / size) + b
    }
}

## `SpectralConv2` of sequences.
model SpectralConv1[K, S, P, I, O, F: float = f32] requires K >= 1, S >= 1 {
    param w: F[K, I, O] = sqrt(1.0 / (K * I)) * normal(key)
    param b: F[O] = zeros
    state u: F[O] = normal(key)

    mut fn forward[B, T](x: F[B, T, I]) -> F[B, (2 * P + T - K) // S + 1, O] requires 2 * P + T >= K {
        let (size, better) = _spectral(reshape[K * I, O](w), u)
        u = better
        conv1[S, 1](pad1[P, P](x), w / size) + b
    }
}
