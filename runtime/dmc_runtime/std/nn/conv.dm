# nn.conv: convolutions of channels-last images and sequences.

## Two-dimensional convolution of channels-last images with a K by K kernel, without padding.
model Conv[K, I, O, F: float = f32] {
    param w: F[K, K, I, O] = sqrt(2.0 / (K * K * I)) * normal(key)
    param b: F[O] = zeros

    fn forward[B, H, W](x: F[B, H, W, I]) -> F[B, H - K + 1, W - K + 1, O] =
        [n, r in 0..H - K + 1, c in 0..W - K + 1, o] =>
            sum[i, j, k](x[n, r + i, c + j, k] * w[i, j, k, o]) + b[o]
}
