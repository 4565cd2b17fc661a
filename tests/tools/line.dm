# A straight line, for the tests of the command line.

struct Line {
    slope: f64
    offset: f64
}

## The line at each x.
fn predict[N](line: Line, x: f64[N]) -> f64[N] = line.slope * x + line.offset

## Mean squared error.
fn loss[N](line: Line, x: f64[N], y: f64[N]) -> f64 = mean((predict(line, x) - y) ** 2)

fn pick_one[N](x: f64[N], i: i64) -> f64 = sum(x) + f64(i)

fn both(a: i64, b: bool) -> (i64, bool) = (a, b)

fn of(f: (f64) -> f64, x: f64) -> f64 = f(x)

fn cube(x: f64) -> f64 = x ** 3

fn pairs[N](x: f64[N]) -> f64[N] requires N % 2 == 0 = x

fn norm[M: record](tree: M) -> f64 = f64(sum(tree * tree))

model Net[I] {
    param w: f64[I] = normal(key)

    fn forward(x: f64[I]) -> f64 = tanh(sum(w * x))
}

fn fit(net: Net, x: f64[net.I], y: f64) -> f64 = (net(x) - y) ** 2
