# A linear model and its training step, for the tests of `dmc train`.

model Linear[I] {
    param w: f32[I] = normal(key)
    param b: f32 = 0.0

    fn forward[B](x: f32[B, I]) -> f32[B] = x @ w + b
}

struct Momentum[M: record] {
    v: Grad[M]
    t: i64
}

fn loss[B](net: Linear, x: f32[B, net.I], y: f32[B]) -> f32 = mean((net(x) - y) ** 2)

fn start(net: Linear) -> Momentum[Linear] = Momentum(v = 0.0 * net.params, t = 0)

fn step[B](net: Linear, opt: Momentum[Linear], x: f32[B, net.I], y: f32[B], rate: f32)
        -> (f32, Linear, Momentum[Linear]) {
    let (l, g) = value_and_grad(loss)(net, x, y)
    let v = 0.9 * opt.v + g
    (l, net - rate * v, Momentum(v = v, t = opt.t + 1))
}

fn evaluate[B](net: Linear, x: f32[B, net.I], y: f32[B]) -> f32 = loss(net, x, y)
