# nn.norm: layers that bring activations, or weights, to a common scale.

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
## and shifts (Ioffe and Szegedy, 2015). `mean` and `variance` are running averages, to which a batch
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

## Normalises each of G groups of the C channels of each image, then scales and shifts
## (Wu and He, 2018).
model GroupNorm[G, C, F: float = f32](eps: F = 1e-5) requires G >= 1, C % G == 0 {
    param gain: F[C] = ones
    param bias: F[C] = zeros

    fn forward[B, H, W](x: F[B, H, W, C]) -> F[B, H, W, C] {
        let parts = reshape[B, H, W, G, C / G](x)
        let c = parts - mean[1, 2, 4](parts)[:, _, _, :, _]
        let y = c / sqrt(mean[1, 2, 4](c * c) + eps)[:, _, _, :, _]
        gain * reshape[B, H, W, C](y) + bias
    }
}

## Normalises each channel of each image, then scales and shifts (Ulyanov et al., 2016).
model InstanceNorm[C, F: float = f32](eps: F = 1e-5) {
    param gain: F[C] = ones
    param bias: F[C] = zeros

    fn forward[B, H, W](x: F[B, H, W, C]) -> F[B, H, W, C] {
        let c = x - mean[1, 2](x)[:, _, _, :]
        gain * c / sqrt(mean[1, 2](c * c) + eps)[:, _, _, :] + bias
    }
}

# ---- weights ------------------------------------------------------------------------------------

## The columns of v brought to the lengths g (Salimans and Kingma, 2016).
fn weight_norm[F: float, I, O](v: F[I, O], g: F[O]) -> F[I, O] = g * v / sqrt(sum[I](v * v))

## A linear layer whose matrix is divided by its largest singular value, which one step of power
## iteration for each call keeps up to date (Miyato et al., 2018).
model SpectralLinear[I, O, F: float = f32] {
    param w: F[I, O] = normal(key) / sqrt(I)
    param b: F[O] = zeros
    state u: F[O] = normal(key)

    mut fn forward[*S](x: F[*S, I]) -> F[*S, O] {
        let matrix = stop_gradient(w)
        let left = matrix @ u
        let v = left / (sqrt(sum(left * left)) + 1e-12)
        let right = v @ matrix
        u = right / (sqrt(sum(right * right)) + 1e-12)
        x @ w / (v @ w @ u) + b
    }
}
