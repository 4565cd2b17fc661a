fn cube(x: f64[2], n: i64) -> f64[2] = x ** 3

derivative cube(x, n) -> y {
    jvp(dx) = 3.0 * x * x * dx
    vjp(dy) = 3.0 * x * x * dy
}

fn wrong(x: f64[2]) -> f64[2] = x ** 3

derivative wrong(x) -> y {
    jvp(dx) = 3.0 * x * x * dx
    vjp(dy) = 2.0 * x * dy
}

fn only_vjp(x: f64) -> f64 = x ** 3

derivative only_vjp(x) -> y {
    vjp(dy) = 3.0 * x * x * dy
}

fn by_vjp(x: f64) -> f64 = sin(only_vjp(x))

fn limited(x: f64) -> f64 = x * x

derivative unchecked limited(x) -> y {
    vjp(dy) = clamp(2.0 * x * dy, -1.0, 1.0)
}

fn steep(x: f64) -> f64 = 3.0 * limited(x)

fn rounded(x: f64[3]) -> f64[3] = round(x)

derivative unchecked rounded(x) -> y {
    jvp(dx) = dx
}

fn through(x: f64[3]) -> f64 = sum(rounded(x) ** 2)

fn root(f: (f64) -> f64, start: f64) -> f64 {
    var x = start
    for i in 0..60 { x -= f(x) / grad(f)(x) }
    x
}

derivative root(f, start) -> x {
    jvp(df, dstart) = -df(x) / grad(f)(x)
}

fn cubic(p: f64[2]) -> f64 {
    let q = exp(p[0])
    root(fn(x) => x * x * x + q * x - p[1], 1.0)
}

model Linear[N] {
    param w: f64[N] = normal(key)
    frozen param c: f64 = 2.0
    state t: f64 = 0.0

    fn forward(x: f64[N]) -> f64 = c * sum(w * x)

    mut fn count(x: f64) -> f64 {
        t += x
        t * t
    }
}

derivative unchecked Linear.forward(net, x) -> y {
    jvp(dnet, dx) = 10.0 * sum(dnet.w * x) + net.c * sum(net.w * dx)
}

derivative Linear.count(net, x) -> (y, after) {
    jvp(dnet, dx) = (2.0 * after.t * dx, dnet)
}

fn use(net: Linear, x: f64[net.N]) -> f64 = net(x)

fn counted(net: Linear, x: f64) -> f64 {
    var changed = net
    changed.count(x)
}
