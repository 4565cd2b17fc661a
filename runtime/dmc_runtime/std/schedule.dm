# schedule: learning rates as functions of t, the number of steps already taken. `dmc schedule` plots
# one. They are ordinary functions, so they join with `if`, and `warmup` takes any rate:
#
#     let rate = schedule.warmup(t, schedule.cosine(t, 0.1, 1000), 50)

# ---- flat pieces --------------------------------------------------------------------------------

## The same rate always.
fn constant[F: float = f32](t: i64, peak: F) -> F = peak

## `peak`, times `factor` after every `every` steps.
fn step[F: float = f32](t: i64, peak: F, every: i64, factor: F = 0.1) -> F =
    peak * factor ** F(t // every)

## `peak`, times `factor` at each of the steps in `at`.
fn multi_step[N, F: float = f32](t: i64, peak: F, at: i64[N], factor: F = 0.1) -> F =
    peak * factor ** F(sum[i](if t >= at[i] { 1 } else { 0 }))

## values[i] up to step at[i], the last value behind all of them; `at` rises.
fn piecewise[N, F: float = f32](t: i64, at: i64[N], values: F[N + 1]) -> F =
    values[sum[i](if t >= at[i] { 1 } else { 0 })]

# ---- decay --------------------------------------------------------------------------------------

## peak * factor^t.
fn exponential[F: float = f32](t: i64, peak: F, factor: F) -> F = peak * factor ** F(t)

## From `peak` to `last` in `total` steps, by the power of the time that is left; then it stays.
fn polynomial[F: float = f32](t: i64, peak: F, total: i64, last: F = 0.0, power: F = 1.0) -> F =
    last + (peak - last) * (1.0 - _passed[F](t, total)) ** power

## From `first` to `last` in `total` equal steps; then it stays.
fn linear[F: float = f32](t: i64, first: F, last: F, total: i64) -> F =
    first + (last - first) * _passed[F](t, total)

## A linear rise to `peak` at step `warmup`, then peak * sqrt(warmup / t) (Vaswani et al., 2017).
fn inverse_sqrt[F: float = f32](t: i64, peak: F, warmup: i64) -> F {
    let at = F(maximum(t, 1))
    let top = F(maximum(warmup, 1))
    peak * minimum(at / top, sqrt(top / at))
}

## Half a cosine from `peak` at step 0 down to `last` at step `total` (Loshchilov and Hutter, 2017).
fn cosine[F: float = f32](t: i64, peak: F, total: i64, last: F = 0.0) -> F =
    last + 0.5 * (peak - last) * (1.0 + cos(pi * _passed[F](t, total)))

## Half cosines that start again after `period` steps, each `growth` times as long as the one before
## (Loshchilov and Hutter, 2017).
fn cosine_restarts[F: float = f32](t: i64, peak: F, period: i64, growth: i64 = 1, last: F = 0.0)
        -> F {
    var at = if growth > 1 { t } else { t % period }
    var length = period
    for _ in 0..40 {
        let over = at >= length
        at = if over { at - length } else { at }
        length = if over { length * growth } else { length }
    }
    last + 0.5 * (peak - last) * (1.0 + cos(pi * F(at) / F(length)))
}

# ---- up and down --------------------------------------------------------------------------------

## Rises in equal steps to `peak`, reached after `steps` steps, then stays. In front of another
## schedule, `peak` is its rate.
fn warmup[F: float = f32](t: i64, peak: F, steps: i64) -> F =
    peak * minimum(F(t + 1) / F(maximum(steps, 1)), 1.0)

## A linear rise over `warmup` steps, then half a cosine down to `last` at step `total`.
fn warmup_cosine[F: float = f32](t: i64, peak: F, warmup: i64, total: i64, last: F = 0.0) -> F =
    if t < warmup {
        peak * F(t + 1) / F(warmup)
    } else {
        cosine(t - warmup, peak, total - warmup, last)
    }

## Half a cosine up from peak / start to `peak` in the share `rise` of `total` steps, then half a
## cosine down to peak / (start * last) (Smith and Topin, 2018).
fn one_cycle[F: float = f32](t: i64, peak: F, total: i64, rise: F = 0.3, start: F = 25.0,
                             last: F = 10000.0) -> F {
    let top = rise * F(total) - 1.0
    let low = peak / start
    let end = F(total - 1)
    let up = 0.5 * (1.0 - cos(pi * minimum(F(t) / top, 1.0)))
    let down = 0.5 * (1.0 + cos(pi * minimum((F(t) - top) / (end - top), 1.0)))
    if F(t) <= top { low + (peak - low) * up } else { low / last + (peak - low / last) * down }
}

## Straight lines from `low` up to `high` in `rise` steps and down again in `fall`, over and over; the
## height is multiplied by `shrink` after each (Smith, 2017).
fn cyclic[F: float = f32](t: i64, low: F, high: F, rise: i64, fall: i64, shrink: F = 1.0) -> F {
    let period = rise + fall
    let at = F(t % period)
    let share = if t % period <= rise { at / F(rise) } else { (F(period) - at) / F(fall) }
    low + (high - low) * share * shrink ** F(t // period)
}

# ---- by what is measured ------------------------------------------------------------------------

## rate: what to use now; best: the lowest score so far; bad: scores since that were no better;
## wait: scores that count as neither yet.
struct Plateau[F: float = f32] {
    rate: F
    best: F
    bad: i64
    wait: i64
}

## Before the first score.
fn plateau_init[F: float = f32](rate: F) -> Plateau[F] =
    Plateau(rate = rate, best = inf, bad = 0, wait = 0)

## Takes in a score, such as a validation loss. After more than `patience` in a row that are not lower
## than the best by the share `margin`, the rate falls by `factor`, not below `least`, and `rest`
## scores do not count.
fn plateau[F: float](s: Plateau[F], score: F, factor: F = 0.1, patience: i64 = 10,
                     margin: F = 0.0001, rest: i64 = 0, least: F = 0.0) -> Plateau[F] {
    let better = score < s.best * (1.0 - margin)
    let best = if better { score } else { s.best }
    let waiting = s.wait > 0
    let bad = if better or waiting { 0 } else { s.bad + 1 }
    let falls = bad > patience
    Plateau(
        rate = if falls { maximum(s.rate * factor, least) } else { s.rate },
        best = best,
        bad = if falls { 0 } else { bad },
        wait = if falls { rest } else { if waiting { s.wait - 1 } else { 0 } }
    )
}

## The share of `total` steps that have passed, at most 1.
fn _passed[F: float](t: i64, total: i64) -> F = minimum(F(t) / F(maximum(total, 1)), 1.0)
