# The heat equation on a square whose borders let nothing through, by explicit steps.

fn energy[N](start: f64[N, N]) -> f64 {
    var u = start
    for _ in 0..100 {
        u = [i, j] => u[i, j] + 0.1 * (u[maximum(i - 1, 0), j] + u[minimum(i + 1, N - 1), j]
            + u[i, maximum(j - 1, 0)] + u[i, minimum(j + 1, N - 1)] - 4.0 * u[i, j])
    }
    sum(u * u)
}
