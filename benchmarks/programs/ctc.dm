# Connectionist temporal classification (Graves et al., 2006). Class 0 is the blank.

## log(exp(a) + exp(b) + exp(c)), where the largest is finite.
fn log_sum(a: f32, b: f32, c: f32) -> f32 {
    let m = maximum(a, maximum(b, c))
    m + log(exp(a - m) + exp(b - m) + exp(c - m))
}

## Negative log-likelihood of the labels y: over all ways to stretch them to T steps.
fn of_one[T, V, L](logp: f32[T, V], y: i32[L]) -> f32 requires T >= 1, L >= 1 {
    let class = [s in 0..2 * L + 1] => if s % 2 == 1 { y[s // 2] } else { 0 }
    var a = [s in 0..2 * L + 1] => if s < 2 { logp[0, class[s]] } else { -1e30 }
    for t in 1..T {
        a = [s] => {
            let one = if s >= 1 { a[maximum(s - 1, 0)] } else { -1e30 }
            let skips = s >= 2 and s % 2 == 1 and class[s] != class[maximum(s - 2, 0)]
            let two = if skips { a[maximum(s - 2, 0)] } else { -1e30 }
            logp[t, class[s]] + log_sum(a[s], one, two)
        }
    }
    -log_sum(a[2 * L], a[2 * L - 1], -1e30)
}

fn loss[B, T, V, L](logits: f32[B, T, V], y: i32[B, L]) -> f32 requires T >= 1, L >= 1 {
    let logp = logits - logsumexp[-1](logits)[..., _]
    mean([b] => of_one(logp[b], y[b]))
}
