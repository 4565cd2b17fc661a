# nn.norm: layers that bring activations to a common scale.

## Normalises the last axis to mean 0 and variance 1, then scales and shifts (Ba et al., 2016).
model LayerNorm[D, F: float = f32](eps: F = 1e-5) {
    param gain: F[D] = ones
    param bias: F[D] = zeros

    fn forward[*S](x: F[*S, D]) -> F[*S, D] {
        let c = x - mean[-1](x)[..., _]
        gain * c / sqrt(mean[-1](c * c) + eps)[..., _] + bias
    }
}
