# stats: summaries of data. `mean`, `variance`, `std`, `min` and `max` are in the prelude.

## The middle of the elements, halfway between two if they are even in number.
fn median[F: float, N](x: F[N]) -> F requires N >= 1 {
    let y = sort[0](x)
    0.5 * (y[(N - 1) // 2] + y[N // 2])
}

## The value below which the share q of the elements is, between elements on a straight line (NumPy's
## default).
fn quantile[F: float, N](x: F[N], q: F) -> F requires N >= 1 {
    let y = sort[0](x)
    let at = q * F(N - 1)
    let i = i64(floor(stop_gradient(at)))
    let low = clamp(i, 0, N - 1)
    let high = clamp(i + 1, 0, N - 1)
    y[low] + (at - F(i)) * (y[high] - y[low])
}

## For each v the number of elements of the rising array x that are less than it.
fn searchsorted[F: float, N, M](x: F[N], v: F[M]) -> i64[M] =
    [m] => {
        var low = 0
        var high = N
        for _ in 0..40 {
            let middle = (low + high) // 2
            let less = low < high and x[minimum(middle, N - 1)] < v[m]
            high = if low < high and not less { middle } else { high }
            low = if less { middle + 1 } else { low }
        }
        low
    }

## Values on the straight lines through the points (x, y), x rising; those of the ends beyond them.
fn interp[F: float, N, M](at: F[M], x: F[N], y: F[N]) -> F[M] requires N >= 2 {
    let right = searchsorted(stop_gradient(x), stop_gradient(at))
    [m] => {
        let j = clamp(right[m], 1, N - 1)
        let share = clamp((at[m] - x[j - 1]) / (x[j] - x[j - 1]), 0.0, 1.0)
        y[j - 1] + share * (y[j] - y[j - 1])
    }
}

## How many elements lie in each of K equal cells from `low` to `high`.
fn histogram[K, F: float, N](x: F[N], low: F, high: F) -> i64[K] {
    var counts: i64[K] = zeros
    for n in 0..N {
        let inside = x[n] >= low and x[n] <= high
        let cell = clamp(i64(floor((x[n] - low) / (high - low) * F(K))), 0, K - 1)
        counts[cell] += if inside { 1 } else { 0 }
    }
    counts
}

## The covariances of D columns, with N - 1 in the denominator.
fn covariance[F: float, N, D](x: F[N, D]) -> F[D, D] requires N >= 2 {
    let c = x - mean[0](x)
    c.T @ c / F(N - 1)
}

## The correlations of D columns.
fn correlation[F: float, N, D](x: F[N, D]) -> F[D, D] requires N >= 2 {
    let c = covariance(x)
    [i, j] => c[i, j] / sqrt(c[i, i] * c[j, j])
}

## For each of K segments the sum of the elements whose id it is.
fn segment_sum[K, F: float, N](x: F[N], ids: i32[N]) -> F[K] {
    var total: F[K] = zeros
    total[ids] += x
    total
}

## For each of K segments the mean of its elements, 0 of none.
fn segment_mean[K, F: float, N](x: F[N], ids: i32[N]) -> F[K] {
    let one: F[N] = ones
    segment_sum[K](x, ids) / maximum(segment_sum[K](one, ids), 1.0)
}

## For each of K segments the largest of its elements, -inf of none.
fn segment_max[K, F: float, N](x: F[N], ids: i32[N]) -> F[K] {
    var top: F[K] = -inf * ones
    for n in 0..N { top[ids[n]] = maximum(top[ids[n]], x[n]) }
    top
}
