# nn.conv: convolutions of channels-last images, x[B, H, W, C], and sequences, x[B, T, C]. As
# everywhere in this field they are correlations. Kernels are w[K, K, I, O] and w[K, I, O].

# ---- functions ----------------------------------------------------------------------------------

## Zeros around images: `top`, `bottom` rows and `left`, `right` columns of them.
fn pad2[TOP, BOTTOM, LEFT, RIGHT, F: float, B, H, W, C](x: F[B, H, W, C])
        -> F[B, TOP + H + BOTTOM, LEFT + W + RIGHT, C] =
    [n, r in 0..TOP + H + BOTTOM, c in 0..LEFT + W + RIGHT, k] =>
        if r >= TOP and r < TOP + H and c >= LEFT and c < LEFT + W {
            x[n, r - TOP, c - LEFT, k]
        } else {
            0.0
        }

## Zeros before and after sequences.
fn pad1[BEFORE, AFTER, F: float, B, T, C](x: F[B, T, C]) -> F[B, BEFORE + T + AFTER, C] =
    [n, t in 0..BEFORE + T + AFTER, k] =>
        if t >= BEFORE and t < BEFORE + T { x[n, t - BEFORE, k] } else { 0.0 }

## Zeros around images, as many before as after or one less, such that K by L windows with stride S and
## dilation D go (H - 1) // S + 1 and (W - 1) // S + 1 times over them: "same" padding, as TensorFlow has
## it. What no window reaches is left out.
fn pad_same2[K, L, S, D, F: float, B, H, W, C](x: F[B, H, W, C])
        -> F[B, S * ((H - 1) // S) + D * (K - 1) + 1, S * ((W - 1) // S) + D * (L - 1) + 1, C]
        requires K >= 1, L >= 1, S >= 1, D >= 1, H >= 1, W >= 1 {
    let top = maximum(S * ((H - 1) // S) + D * (K - 1) + 1 - H, 0) // 2
    let left = maximum(S * ((W - 1) // S) + D * (L - 1) + 1 - W, 0) // 2
    [n, r in 0..S * ((H - 1) // S) + D * (K - 1) + 1, c in 0..S * ((W - 1) // S) + D * (L - 1) + 1, k] =>
        if r >= top and r < top + H and c >= left and c < left + W {
            x[n, r - top, c - left, k]
        } else {
            0.0
        }
}

## `pad_same2` of sequences, for windows of K places.
fn pad_same1[K, S, D, F: float, B, T, C](x: F[B, T, C])
        -> F[B, S * ((T - 1) // S) + D * (K - 1) + 1, C]
        requires K >= 1, S >= 1, D >= 1, T >= 1 {
    let before = maximum(S * ((T - 1) // S) + D * (K - 1) + 1 - T, 0) // 2
    [n, t in 0..S * ((T - 1) // S) + D * (K - 1) + 1, k] =>
        if t >= before and t < before + T { x[n, t - before, k] } else { 0.0 }
}

## Convolution with stride S and dilation D, without padding (`pad2` pads).
fn conv2[S, D, F: float, B, H, W, I, K, L, O](x: F[B, H, W, I], w: F[K, L, I, O])
        -> F[B, (H - D * (K - 1) - 1) // S + 1, (W - D * (L - 1) - 1) // S + 1, O]
        requires S >= 1, D >= 1, K >= 1, L >= 1, H >= D * (K - 1) + 1, W >= D * (L - 1) + 1 =
    [n, r in 0..(H - D * (K - 1) - 1) // S + 1, c in 0..(W - D * (L - 1) - 1) // S + 1, o] =>
        sum[i, j, k](x[n, S * r + D * i, S * c + D * j, k] * w[i, j, k, o])

## `conv2` of sequences.
fn conv1[S, D, F: float, B, T, I, K, O](x: F[B, T, I], w: F[K, I, O])
        -> F[B, (T - D * (K - 1) - 1) // S + 1, O]
        requires S >= 1, D >= 1, K >= 1, T >= D * (K - 1) + 1 =
    [n, t in 0..(T - D * (K - 1) - 1) // S + 1, o] =>
        sum[i, k](x[n, S * t + D * i, k] * w[i, k, o])

## `conv2` in G groups of channels that do not meet; with as many groups as inputs it is depthwise.
fn grouped_conv2[G, S, D, F: float, B, H, W, I, K, L, O](x: F[B, H, W, I], w: F[K, L, I / G, O])
        -> F[B, (H - D * (K - 1) - 1) // S + 1, (W - D * (L - 1) - 1) // S + 1, O]
        requires G >= 1, I % G == 0, O % G == 0, S >= 1, D >= 1, K >= 1, L >= 1,
                 H >= D * (K - 1) + 1, W >= D * (L - 1) + 1 {
    let xs = reshape[B, H, W, G, I / G](x)
    let ws = reshape[K, L, I / G, G, O / G](w)
    let y = [n, r in 0..(H - D * (K - 1) - 1) // S + 1, c in 0..(W - D * (L - 1) - 1) // S + 1, g, o] =>
        sum[i, j, k](xs[n, S * r + D * i, S * c + D * j, g, k] * ws[i, j, k, g, o])
    reshape[B, (H - D * (K - 1) - 1) // S + 1, (W - D * (L - 1) - 1) // S + 1, O](y)
}

## `conv1` in G groups of channels that do not meet.
fn grouped_conv1[G, S, D, F: float, B, T, I, K, O](x: F[B, T, I], w: F[K, I / G, O])
        -> F[B, (T - D * (K - 1) - 1) // S + 1, O]
        requires G >= 1, I % G == 0, O % G == 0, S >= 1, D >= 1, K >= 1, T >= D * (K - 1) + 1 {
    let xs = reshape[B, T, G, I / G](x)
    let ws = reshape[K, I / G, G, O / G](w)
    let y = [n, t in 0..(T - D * (K - 1) - 1) // S + 1, g, o] =>
        sum[i, k](xs[n, S * t + D * i, g, k] * ws[i, k, g, o])
    reshape[B, (T - D * (K - 1) - 1) // S + 1, O](y)
}

## The transpose of `conv1` with stride S and P zeros around: every element spreads the kernel.
fn conv_transpose1[S, P, F: float, B, T, I, K, O](x: F[B, T, I], w: F[K, I, O])
        -> F[B, S * (T - 1) + K - 2 * P, O] requires S >= 1, K >= 2 * P + 1, T >= 1 =
    [n, t in 0..S * (T - 1) + K - 2 * P, o] =>
        sum[i in 0..K, k](
            if (t + P - i) % S == 0 and t + P - i >= 0 and (t + P - i) // S < T {
                x[n, (t + P - i) // S, k] * w[i, k, o]
            } else {
                0.0
            })

## The transpose of a convolution with stride S and P zeros around: every element of x spreads the
## kernel into S times as large an image (Zeiler et al., 2010).
fn conv_transpose2[S, P, F: float, B, H, W, I, K, L, O](x: F[B, H, W, I], w: F[K, L, I, O])
        -> F[B, S * (H - 1) + K - 2 * P, S * (W - 1) + L - 2 * P, O]
        requires S >= 1, K >= 2 * P + 1, L >= 2 * P + 1, H >= 1, W >= 1 =
    [n, r in 0..S * (H - 1) + K - 2 * P, c in 0..S * (W - 1) + L - 2 * P, o] =>
        sum[i in 0..K, j in 0..L, k](
            if (r + P - i) % S == 0 and r + P - i >= 0 and (r + P - i) // S < H
                    and (c + P - j) % S == 0 and c + P - j >= 0 and (c + P - j) // S < W {
                x[n, (r + P - i) // S, (c + P - j) // S, k] * w[i, j, k, o]
            } else {
                0.0
            })

# ---- layers -------------------------------------------------------------------------------------

## Two-dimensional convolution of channels-last images with a K by K kernel, without padding.
model Conv[K, I, O, F: float = f32] {
    param w: F[K, K, I, O] = sqrt(2.0 / (K * K * I)) * normal(key)
    param b: F[O] = zeros

    fn forward[B, H, W](x: F[B, H, W, I]) -> F[B, H - K + 1, W - K + 1, O] =
        [n, r in 0..H - K + 1, c in 0..W - K + 1, o] =>
            sum[i, j, k](x[n, r + i, c + j, k] * w[i, j, k, o]) + b[o]
}

## Convolution with stride S and P zeros around. `Conv2[3, 1, 1, I, O]` keeps the size of images.
model Conv2[K, S, P, I, O, F: float = f32] requires K >= 1, S >= 1 {
    param w: F[K, K, I, O] = sqrt(2.0 / (K * K * I)) * normal(key)
    param b: F[O] = zeros

    fn forward[B, H, W](x: F[B, H, W, I])
            -> F[B, (2 * P + H - K) // S + 1, (2 * P + W - K) // S + 1, O]
            requires 2 * P + H >= K, 2 * P + W >= K =
        conv2[S, 1](pad2[P, P, P, P](x), w) + b
}

## `Conv2` of sequences.
model Conv1[K, S, P, I, O, F: float = f32] requires K >= 1, S >= 1 {
    param w: F[K, I, O] = sqrt(2.0 / (K * I)) * normal(key)
    param b: F[O] = zeros

    fn forward[B, T](x: F[B, T, I]) -> F[B, (2 * P + T - K) // S + 1, O] requires 2 * P + T >= K =
        conv1[S, 1](pad1[P, P](x), w) + b
}

## Convolution with stride S, dilation D and "same" padding: images become (H - 1) // S + 1 by
## (W - 1) // S + 1, for any kernel, so they keep their size where S is 1.
model SameConv2[K, S, D, I, O, F: float = f32] requires K >= 1, S >= 1, D >= 1 {
    param w: F[K, K, I, O] = sqrt(2.0 / (K * K * I)) * normal(key)
    param b: F[O] = zeros

    fn forward[B, H, W](x: F[B, H, W, I]) -> F[B, (H - 1) // S + 1, (W - 1) // S + 1, O]
            requires H >= 1, W >= 1 =
        conv2[S, D](pad_same2[K, K, S, D](x), w) + b
}

## `SameConv2` of sequences.
model SameConv1[K, S, D, I, O, F: float = f32] requires K >= 1, S >= 1, D >= 1 {
    param w: F[K, I, O] = sqrt(2.0 / (K * I)) * normal(key)
    param b: F[O] = zeros

    fn forward[B, T](x: F[B, T, I]) -> F[B, (T - 1) // S + 1, O] requires T >= 1 =
        conv1[S, D](pad_same1[K, S, D](x), w) + b
}

## Convolution with dilation D of what is at t and before: as long as its input, and blind to the
## future (van den Oord et al., 2016).
model CausalConv1[K, D, I, O, F: float = f32] requires K >= 1, D >= 1 {
    param w: F[K, I, O] = sqrt(2.0 / (K * I)) * normal(key)
    param b: F[O] = zeros

    fn forward[B, T](x: F[B, T, I]) -> F[B, T, O] requires T >= 1 =
        conv1[1, D](pad1[D * (K - 1), 0](x), w) + b
}

## `Conv1` in G groups of channels; `GroupedConv1[K, S, P, C, C, C]` is depthwise.
model GroupedConv1[K, S, P, G, I, O, F: float = f32]
        requires K >= 1, S >= 1, G >= 1, I % G == 0, O % G == 0 {
    param w: F[K, I / G, O] = sqrt(2.0 * G / (K * I)) * normal(key)
    param b: F[O] = zeros

    fn forward[B, T](x: F[B, T, I]) -> F[B, (2 * P + T - K) // S + 1, O] requires 2 * P + T >= K =
        grouped_conv1[G, S, 1](pad1[P, P](x), w) + b
}

## `ConvTranspose2` of sequences.
model ConvTranspose1[K, S, P, I, O, F: float = f32] requires S >= 1, K >= 2 * P + 1 {
    param w: F[K, I, O] = sqrt(2.0 / (K * I)) * normal(key)
    param b: F[O] = zeros

    fn forward[B, T](x: F[B, T, I]) -> F[B, S * (T - 1) + K - 2 * P, O] requires T >= 1 =
        conv_transpose1[S, P](x, w) + b
}

## `Conv2` in G groups of channels; `GroupedConv2[K, S, P, C, C, C]` is depthwise (Sifre, 2014).
model GroupedConv2[K, S, P, G, I, O, F: float = f32]
        requires K >= 1, S >= 1, G >= 1, I % G == 0, O % G == 0 {
    param w: F[K, K, I / G, O] = sqrt(2.0 * G / (K * K * I)) * normal(key)
    param b: F[O] = zeros

    fn forward[B, H, W](x: F[B, H, W, I])
            -> F[B, (2 * P + H - K) // S + 1, (2 * P + W - K) // S + 1, O]
            requires 2 * P + H >= K, 2 * P + W >= K =
        grouped_conv2[G, S, 1](pad2[P, P, P, P](x), w) + b
}

## Transposed convolution with stride S and P zeros around, which makes images larger.
model ConvTranspose2[K, S, P, I, O, F: float = f32] requires S >= 1, K >= 2 * P + 1 {
    param w: F[K, K, I, O] = sqrt(2.0 / (K * K * I)) * normal(key)
    param b: F[O] = zeros

    fn forward[B, H, W](x: F[B, H, W, I])
            -> F[B, S * (H - 1) + K - 2 * P, S * (W - 1) + K - 2 * P, O] requires H >= 1, W >= 1 =
        conv_transpose2[S, P](x, w) + b
}
