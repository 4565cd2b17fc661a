# nn.pool: neighbourhoods of channels-last images, x[B, H, W, C], made one.

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

## The weights of N elements in R means: the i-th is of the elements from i N / R up to (i + 1) N / R.
fn _spans[R, N, F: float]() -> F[R, N] requires R >= 1 =
    [r in 0..R, i in 0..N] => {
        let first = (r * N) // R
        let last = ((r + 1) * N + R - 1) // R
        if i >= first and i < last { 1.0 / F(last - first) } else { 0.0 }
    }

## The mean of each channel.
fn global_avg_pool[F: float, B, H, W, C](x: F[B, H, W, C]) -> F[B, C] = mean[1, 2](x)

## The maximum of each channel.
fn global_max_pool[F: float, B, H, W, C](x: F[B, H, W, C]) -> F[B, C] = max[1, 2](x)
