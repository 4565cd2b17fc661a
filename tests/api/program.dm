# Functions of every kind of signature, for the tests of the Python API.

from nn import Linear, relu

## A line.
struct Line {
    slope: f64
    offset: f64
}

struct Weights[D] {
    w: f64[D]
    b: f64
}

## Mean squared error of a line.
fn loss[N, D](p: Weights[D], x: f64[N, D], y: f64[N]) -> f64 = mean((x @ p.w + p.b - y) ** 2)

fn shifted(x: f64, by: f64 = 2.0) -> f64 = x + by

fn total[N](x: f64[N]) -> f64 = sum(x)

fn doubled[*S](x: f64[*S]) -> f64[*S] = 2.0 * x

fn power[N](x: f64) -> f64[N] = [n in 0..N] => x ** f64(n)

fn cubes[N](x: f64[N]) -> f64 = sum(x ** 3)

fn product(x: f64, y: f64) -> f64 = x * x * y

fn squares[N](x: f64[N]) -> f64[N] = x * x

## The loss and, beside it, the largest component and their number.
fn with_extras[N](x: f64[N]) -> (f64, f64, i64) = (sum(x * x), max(x), N)

fn count(n: i64) -> i64 = n + 1

fn small(n: i32) -> i32 = n + 1

fn flag(b: bool) -> bool = not b

fn single[N](x: f32[N]) -> f32[N] = x + 1.0

fn scaled[F: float, N](x: F[N], by: F) -> F[N] = by * x

fn apply_to[N](f: (f64[N]) -> f64, x: f64[N]) -> f64 = f(x)

fn spread[N](f: (f64) -> f64[N], x: f64) -> f64[N] = f(x)

fn noise[N](key: Key) -> f64[N] = normal(key)

fn evens[N](x: f64[N]) -> f64[N] requires N % 2 == 0 = x

model Net[I, H](rate: f32 = 0.5, std: f32 = 0.1) {
    param w: f32[I, H] = std * normal(key)
    head: Linear[H, 1]
    frozen base: Linear[I, I]

    fn forward[B](x: f32[B, I]) -> f32[B, 1] = rate * head(relu(base(x) @ w))

    fn norm() -> f32 = sqrt(sum(w * w))
}

fn output[B](net: Net, x: f32[B, net.I]) -> f32 = sum(net(x))

model Tower[D, L] {
    layers: L * Linear[D, D]

    fn forward(x: f32[D]) -> f32[D] {
        var h = x
        for layer in layers { h = tanh(h @ layer.w + layer.b) }
        h
    }
}

fn stacked[D, L](net: Tower[D, L], x: f32[D]) -> f32 = sum(net(x))

fn moved(line: Line) -> Line = line.with(offset = line.offset + 1.0)

fn fourth(x: f64) -> f64 = x ** 4

fn advanced[N](x: f64[N], v: f64[N], h: f64) -> f64[N] = x + h * v

fn moved_net(net: Net, rate: f32) -> Net = net.with(w = (1.0 - rate) * net.w)

## Its number of heads is in no shape.
model Heads[D, H] requires D % H == 0 {
    param w: f32[D, D] = normal(key)

    fn forward(x: f32[D]) -> f32[H, D / H] = reshape[H, D / H](x @ w)
}

model Wrapped[D, H] requires D % H == 0 {
    inner: Heads[D, H]

    fn forward(x: f32[D]) -> f32[H] = sum[-1](inner(x))
}
