# schedule: learning rates as functions of t, the number of steps already taken.

## The same rate always.
fn constant(t: i64, peak: f32) -> f32 = peak

## Rises in equal steps to `peak`, reached after `steps` steps, then stays.
fn warmup(t: i64, peak: f32, steps: i64) -> f32 =
    peak * minimum(f32(t + 1) / f32(maximum(steps, 1)), 1.0)

## Half a cosine from `peak` at step 0 down to `last` at step `total` (Loshchilov and Hutter, 2017).
fn cosine(t: i64, peak: f32, total: i64, last: f32 = 0.0) -> f32 {
    let u = minimum(f32(t) / f32(maximum(total, 1)), 1.0)
    last + 0.5 * (peak - last) * (1.0 + cos(pi * u))
}

## A linear rise over `warmup` steps, then half a cosine down to `last` at step `total`.
fn warmup_cosine(t: i64, peak: f32, warmup: i64, total: i64, last: f32 = 0.0) -> f32 =
    if t < warmup {
        peak * f32(t + 1) / f32(warmup)
    } else {
        cosine(t - warmup, peak, total - warmup, last)
    }
