# A Kalman filter for a body that drifts with an almost constant velocity and whose place is
# measured with noise (Kalman, 1960). How noisy both are is learned by maximum likelihood.

## Logarithms of the two variances: of a step's push, and of a measurement.
struct Noise {
    push: f64
    measure: f64
}

## Log-likelihood of the measurements y, and the place that the filter makes out after each.
fn filter[T](p: Noise, y: f64[T]) -> (f64, f64[T]) {
    let step = [[1.0, 1.0], [0.0, 1.0]]
    let see = [1.0, 0.0]
    let spread = exp(p.push) * [[1.0 / 3.0, 0.5], [0.5, 1.0]]
    var mean: f64[2] = zeros
    var cov = 100.0 * eye[2]()
    var total = 0.0
    let places = for t in 0..T {
        mean = step @ mean
        cov = step @ cov @ step.T + spread
        let variance = see @ cov @ see + exp(p.measure)
        let surprise = y[t] - see @ mean
        let gain = cov @ see / variance
        cov -= [i, j] => gain[i] * gain[j] * variance
        mean += gain * surprise
        total -= 0.5 * (log(2.0 * pi * variance) + surprise ** 2 / variance)
        mean[0]
    }
    (total, places)
}

## Negative log-likelihood of one measurement, on average.
fn loss[T](p: Noise, y: f64[T]) -> f64 {
    let (total, _) = filter(p, y)
    -total / T
}

## Newton's method in both logarithms.
fn fit[T](start: Noise, y: f64[T], steps: i64) -> Noise {
    var p = start
    for _ in 0..steps {
        let g = grad(loss)(p, y)
        let a = hvp(loss, along = Noise(push = 1.0, measure = 0.0))(p, y)
        let b = hvp(loss, along = Noise(push = 0.0, measure = 1.0))(p, y)
        let det = a.push * b.measure - a.measure * b.push
        p = Noise(
            push = p.push - (b.measure * g.push - b.push * g.measure) / det,
            measure = p.measure - (a.push * g.measure - a.measure * g.push) / det,
        )
    }
    p
}
