# The determinant by expansion into minors. Each minor of the first rows is computed once: that of
# the columns whose bits are set in s is minors[s], and S is 2 to the number of columns.

fn has(s: i64, column: i64) -> bool = s // 2 ** column % 2 == 1

fn primal[S, N](a: f64[N, N]) -> f64 requires S >= 2 {
    var minors: f64[S] = zeros
    minors[0] = 1.0
    for s in 1..S {
        let row = sum[c in 0..N](if has(s, c) { 1 } else { 0 }) - 1
        var minor = 0.0
        var sign = 1.0
        for i in 0..N {
            let c = N - 1 - i
            if has(s, c) {
                minor += sign * a[row, c] * minors[s - 2 ** c]
                sign = -sign
            }
        }
        minors[s] = minor
    }
    minors[S - 1]
}

fn gradient[S, N](a: f64[N, N]) -> f64[N, N] requires S >= 2 = grad(primal[S, N])(a)
