import optim

model Lin[D] {
    param w: f64[D, D] = normal(key)
    param b: f64[D] = zeros
    state n: f64 = 0.0
}

model Net[L, D] {
    layers: L * Lin[D]
    head: Lin[D]
}

fn totals[M: record](net: M) -> (Rows[M], Columns[M]) =
    (map[R, C](fn(w) => sum[C](w), net), map[R, C](fn(w) => sum[R](w), net))

fn of_net(net: Net) -> (Rows[Net], Columns[Net]) = totals(net)

fn doubled(net: Net, rows: Rows[Net]) -> Rows[Net] = 2.0 * rows + map[R, C](fn(w) => mean[C](w), net)

fn spread(net: Net, rows: Rows[Net], columns: Columns[Net]) -> Net =
    map[R, C](fn(w, a, b) => w + a[:, _] * b, net, rows, columns)

fn size(net: Net, rows: Rows[Net], columns: Columns[Net]) -> f64 = sum(spread(net, rows, columns) ** 2)

fn update(net: Net, g: Grad[Net], s: optim.Adafactor[Net]) -> (Net, optim.Adafactor[Net]) =
    optim.adafactor_update(net, g, s, 0.01)

fn start(net: Net) -> optim.Adafactor[Net] = optim.adafactor_init(net)
