# Numbers that each grow as the one before: y[i]' = x[i] * y[i - 1], by Runge and Kutta's method.

fn field[N](x: f64[N], y: f64[N]) -> f64[N] = [i] => if i == 0 { x[0] } else { x[i] * y[i - 1] }

## y at time 2, from zeros, in as many steps as it says.
fn primal[N](x: f64[N], steps: i64) -> f64[N] {
    let h = 2.0 / f64(steps)
    var y: f64[N] = zeros
    for _ in 0..steps {
        let k1 = field(x, y)
        let k2 = field(x, y + 0.5 * h * k1)
        let k3 = field(x, y + 0.5 * h * k2)
        let k4 = field(x, y + h * k3)
        y += h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    }
    y
}

fn last[N](x: f64[N], steps: i64) -> f64 requires N >= 1 = primal(x, steps)[N - 1]

fn gradient[N](x: f64[N], steps: i64) -> f64[N] requires N >= 1 = grad(last)(x, steps)
