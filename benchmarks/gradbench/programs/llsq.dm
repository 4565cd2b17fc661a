# How far a polynomial is from the signs of N places between -1 and 1.

fn polynomial[M](x: f64[M], t: f64) -> f64 {
    var y = 0.0
    for j in 0..M { y = y * t + x[M - 1 - j] }
    y
}

fn primal[N, M](x: f64[M]) -> f64 {
    let error = [i in 0..N] => {
        let t = f64(i) * 2.0 / f64(N - 1) - 1.0
        sign(t) - polynomial(x, t)
    }
    0.5 * sum(error ** 2)
}

fn gradient[N, M](x: f64[M]) -> f64[M] = grad(primal[N, M])(x)
