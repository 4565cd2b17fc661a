# nn.pool: neighbourhoods of channels-last images, x[B, H, W, C], and sequences, x[B, T, C], made one.

# ---- images -------------------------------------------------------------------------------------

## The maximum of each P by P window of channels-last images.
fn max_pool[P, F: float, B, H, W, C](x: F[B, H, W, C]) -> F[B, H / P, W / P, C]
    requires H % P == 0, W % P == 0
    = [n, r in 0..H / P, c in 0..W / P, k] => max[i in 0..P, j in 0..P](x[n, P * r + i, P * c + j, k])

## The mean of each P by P window of channels-last images.
fn avg_pool[P, F: float, B, H, W, C](x: F[B, H, W, C]) -> F[B, H / P, W / P, C]
    requires H % P == 0, W % P == 0
    = [n, r in 0..H / P, c in 0..W / P, k] => mean[i in 0..P, j in 0..P](x[n, P * r + i, P * c + j, k])

## The maximum of K by K windows that are S apart, which may overlap.
fn max_pool2[K, S, F: float, B, H, W, C](x: F[B, H, W, C])
        -> F[B, (H - K) // S + 1, (W - K) // S + 1, C] requires K >= 1, S >= 1, H >= K, W >= K =
    [n, r in 0..(H - K) // S + 1, c in 0..(W - K) // S + 1, k] =>
        max[i in 0..K, j in 0..K](x[n, S * r + i, S * c + j, k])

## The mean of K by K windows that are S apart, which may overlap.
fn avg_pool2[K, S, F: float, B, H, W, C](x: F[B, H, W, C])
        -> F[B, (H - K) // S + 1, (W - K) // S + 1, C] requires K >= 1, S >= 1, H >= K, W >= K =
    [n, r in 0..(H - K) // S + 1, c in 0..(W - K) // S + 1, k] =>
        mean[i in 0..K, j in 0..K](x[n, S * r + i, S * c + j, k])

## Means of R by C windows that cover images of any size, as evenly as that goes.
fn adaptive_avg_pool[R, C, F: float, B, H, W, D](x: F[B, H, W, D]) -> F[B, R, C, D]
        requires R >= 1, C >= 1, H >= 1, W >= 1 {
    let rows = _spans[R, H, F]()
    let columns = _spans[C, W, F]()
    [n, r, c, k] => sum[i, j](rows[r, i] * columns[c, j] * x[n, i, j, k])
}

## Maxima of R by C windows that cover images of any size, as evenly as that goes.
fn adaptive_max_pool[R, C, F: float, B, H, W, D](x: F[B, H, W, D]) -> F[B, R, C, D]
        requires R >= 1, C >= 1, H >= 1, W >= 1 {
    let rows = _spans[R, H, F]()
    let columns = _spans[C, W, F]()
    [n, r, c, k] => max[i, j](if rows[r, i] * columns[c, j] > 0.0 { x[n, i, j, k] } else { -inf })
}

# ---- sequences ----------------------------------------------------------------------------------

## The maximum of windows of K places that are S apart, which may overlap.
fn max_pool1[K, S, F: float, B, T, C](x: F[B, T, C]) -> F[B, (T - K) // S + 1, C]
        requires K >= 1, S >= 1, T >= K =
    [n, t in 0..(T - K) // S + 1, k] => max[i in 0..K](x[n, S * t + i, k])

## The mean of windows of K places that are S apart, which may overlap.
fn avg_pool1[K, S, F: float, B, T, C](x: F[B, T, C]) -> F[B, (T - K) // S + 1, C]
        requires K >= 1, S >= 1, T >= K =
    [n, t in 0..(T - K) // S + 1, k] => mean[i in 0..K](x[n, S * t + i, k])

## Means of R windows that cover sequences of any length, as evenly as that goes.
fn adaptive_avg_pool1[R, F: float, B, T, D](x: F[B, T, D]) -> F[B, R, D] requires R >= 1, T >= 1 {
    let places = _spans[R, T, F]()
    [n, r, k] => sum[i](places[r, i] * x[n, i, k])
}

## Maxima of R windows that cover sequences of any length, as evenly as that goes.
fn adaptive_max_pool1[R, F: float, B, T, D](x: F[B, T, D]) -> F[B, R, D] requires R >= 1, T >= 1 {
    let places = _spans[R, T, F]()
    [n, r, k] => max[i](if places[r, i] > 0.0 { x[n, i, k] } else { -inf })
}

## The weights of N elements in R means: the i-th is of the elements from i N / R up to (i + 1) N / R.
fn _spans[R, N, F: float]() -> F[R, N] requires R >= 1 =
    [r in 0..R, i in 0..N] => {
        let first = (r * N) // R
        let last = ((r + 1) * N + R - 1) // R
        if i >= first and i < last { 1.0 / F(last - first) } else { 0.0 }
    }

# ---- both ---------------------------------------------------------------------------------------

## The mean of each channel of each example, over all its places: images, sequences or whatever else.
fn global_avg_pool[F: float, B, *S, C](x: F[B, *S, C]) -> F[B, C] = [n] => mean[*S](x[n])

## The maximum of each channel of each example, over all its places.
fn global_max_pool[F: float, B, *S, C](x: F[B, *S, C]) -> F[B, C] = [n] => max[*S](x[n])
