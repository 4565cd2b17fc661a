# ADBench's LSTM: layers whose weights meet one number each, and a prediction of the next input.

struct Net[L, B] {
    w: f64[L, 4, B]
    b: f64[L, 4, B]
    in_w: f64[B]
    out_w: f64[B]
    out_b: f64[B]
}

fn loss[L, B, T](p: Net[L, B], hidden0: f64[L, B], cell0: f64[L, B], x: f64[T, B]) -> f64
    requires T >= 2 {
    var hidden = hidden0
    var cell = cell0
    let scores = for t in 0..T - 1 {
        var h = x[t] * p.in_w
        for l in 0..L {
            let forget = sigmoid(h * p.w[l, 0] + p.b[l, 0])
            let enter = sigmoid(hidden[l] * p.w[l, 1] + p.b[l, 1])
            let leave = sigmoid(h * p.w[l, 2] + p.b[l, 2])
            let change = tanh(hidden[l] * p.w[l, 3] + p.b[l, 3])
            cell[l] = cell[l] * forget + enter * change
            h = leave * tanh(cell[l])
            hidden[l] = h
        }
        let y = h * p.out_w + p.out_b
        sum(x[t + 1] * (y - log(2.0 + sum(exp(y)))))
    }
    -sum(scores) / (B * (T - 1))
}
