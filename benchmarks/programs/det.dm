# The determinant by elimination without a choice of pivots.

fn det[N](m: f64[N, N]) -> f64 {
    var a = m
    var d = 1.0
    for k in 0..N {
        d *= a[k, k]
        for i in k + 1..N {
            let f = a[i, k] / a[k, k]
            for j in k + 1..N { a[i, j] -= f * a[k, j] }
        }
    }
    d
}
