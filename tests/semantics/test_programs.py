"""Natural variations of the example programs, by the reference interpreter against NumPy."""

from __future__ import annotations

import numpy as np

from dmc.semantics.modules import check_text
from tests.semantics.running import record, run

RNG = np.random.default_rng(11)
X = RNG.normal(size=4)


def test_a_generic_optimizer_takes_the_loss_as_a_function() -> None:
    program = check_text("""\
struct W[D] {
    w: f64[D]
    b: f64
}
fn loss[N, D](p: W[D], x: f64[N, D], y: f64[N]) -> f64 = mean((x @ p.w + p.b - y) ** 2)
fn sgd[M: record](f: (M) -> f64, net: M, lr: f64) -> M = net - lr * grad(f)(net)
fn train[N, D](p0: W[D], x: f64[N, D], y: f64[N]) -> W[D] {
    var p = p0
    for _ in 0..10 { p = sgd(fn(q) => loss(q, x, y), p, 0.1) }
    p
}
""")
    x, y = RNG.normal(size=(6, 3)), RNG.normal(size=6)
    w, b = run(program, "train", p0=record(program, "W", w=np.zeros(3), b=0.0), x=x, y=y)
    v, c = np.zeros(3), 0.0
    for _ in range(10):
        error = 2 * (x @ v + c - y) / 6
        v, c = v - 0.1 * x.T @ error, c - 0.1 * error.sum()
    assert np.allclose(w, v)
    assert np.isclose(b, c)


def test_optimizer_state_is_a_struct_over_any_record() -> None:
    program = check_text("""\
struct Momentum[M: record] {
    v: Grad[M]
    beta: f64
}
struct W {
    w: f64[3]
    n: i64
}
fn start[M: record](net: M) -> Momentum[M] = Momentum(v = zeros, beta = 0.8)
fn step[M: record](s: Momentum[M], net: M, g: Grad[M], lr: f64) -> (M, Momentum[M]) {
    let v = s.beta * s.v + g
    (net - lr * v, s.with(v = v))
}
fn f(p: W) -> f64 = sum(p.w) * f64(p.n)
fn go(p0: W) -> W {
    var p = p0
    var s = start(p)
    for _ in 0..3 { (p, s) = step(s, p, grad(f)(p), 1.0) }
    p
}
""")
    w, n = run(program, "go", p0=record(program, "W", w=np.zeros(3), n=1))
    # Velocities 1, 1.8, 2.44 on a constant gradient of 1.
    assert np.allclose(w, -(1 + 1.8 + 2.44))
    assert n == 1


def test_gradients_of_every_example() -> None:
    source = """\
fn l[D](w: f64[D], x: f64[D], y: f64) -> f64 = (w @ x - y) ** 2
fn each[N, D](w: f64[D], x: f64[N, D], y: f64[N]) -> f64[N, D] = [n] => grad(l)(w, x[n], y[n])
"""
    x, y = RNG.normal(size=(5, 4)), RNG.normal(size=5)
    (value,) = run(source, "each", w=X, x=x, y=y)
    assert np.allclose(value, 2 * (x @ X - y)[:, None] * x)


def test_a_solver_in_every_element() -> None:
    source = """\
fn root(a: f64) -> f64 {
    var x = a
    while abs(x * x - a) > 1e-12 limit 50 { x = 0.5 * (x + a / x) }
    x
}
fn roots[N](a: f64[N]) -> f64[N] = [v in a] => if v > 0.0 { root(v) } else { 0.0 }
"""
    assert np.allclose(run(source, "roots", a=X)[0], np.sqrt(np.maximum(X, 0)))


STRUCTS = """\
struct Point {
    x: f64
    y: f64
}
struct Line {
    a: Point
    b: Point
}
fn length(l: Line) -> f64 {
    let d = l.b - l.a
    hypot(d.x, d.y)
}
fn longest[N](ls: N * Line) -> f64 = max[i](length(ls[i]))
fn choose(c: bool, p: Point, q: Point) -> Point = if c { p } else { q.with(x = 0.0) }
fn total[N](ps: N * Point) -> Point {
    var t: Point = zeros
    for p in ps { t = t + p }
    t
}
fn many[N](x: f64[N]) -> N * Point = [i] => Point(x = x[i], y = 2.0 * x[i])
fn slope(l: Line) -> Line = grad(length)(l)
"""


def test_structs_nest_stack_and_differentiate() -> None:
    program = check_text(STRUCTS)

    def point(x: float, y: float) -> object:
        return record(program, "Point", x=x, y=y)

    line = record(program, "Line", a=point(1.0, 1.0), b=point(4.0, 5.0))
    assert np.allclose(run(program, "slope", l=line), [-0.6, -0.8, 0.6, 0.8])
    assert np.allclose(
        run(program, "choose", c=False, p=point(1.0, 2.0), q=point(3.0, 4.0)), [0, 4]
    )
    stacked = record(program, "Point", x=X, y=-X)
    assert np.allclose(run(program, "total", ps=stacked), [X.sum(), -X.sum()])
    assert np.allclose(run(program, "many", x=X), [X, 2 * X])
    zero = record(program, "Point", x=np.zeros(4), y=np.zeros(4))
    lines = record(program, "Line", a=zero, b=stacked)
    assert np.allclose(run(program, "longest", ls=lines), np.hypot(X, X).max())


def test_leapfrog_keeps_the_energy() -> None:
    source = """\
fn potential(q: f64[2]) -> f64 = 0.5 * (q @ q) + 0.25 * q[0] ** 4
fn leapfrog[D](u: (f64[D]) -> f64, q0: f64[D], p0: f64[D], eps: f64, steps: i64)
        -> (f64[D], f64[D]) {
    var q = q0
    var p = p0 - 0.5 * eps * grad(u)(q0)
    for i in 0..steps {
        q += eps * p
        p -= (if i + 1 < steps { eps } else { 0.5 * eps }) * grad(u)(q)
    }
    (q, p)
}
fn energy(q: f64[2], p: f64[2]) -> f64 = potential(q) + 0.5 * (p @ p)
fn drift(q: f64[2], p: f64[2], eps: f64) -> f64 {
    let (q1, p1) = leapfrog(potential, q, p, eps, 10)
    energy(q1, p1) - energy(q, p)
}
"""
    q, p = np.array([1.0, 0.5]), np.array([0.3, -0.2])
    coarse, fine = (abs(run(source, "drift", q=q, p=p, eps=e)[0]) for e in (0.04, 0.02))
    assert 0 < fine < coarse < 1e-2


def test_functions_see_the_names_around_them() -> None:
    source = """\
fn both(f: (f64) -> f64, g: (f64) -> f64, x: f64) -> f64 = f(g(x))
fn compose(x: f64, k: f64) -> f64 {
    let double = fn(v: f64) => v * 2.0
    let shift = fn(v: f64) => double(v) + k
    both(shift, exp, x) + both(double, fn(v) => { let w = v * k; w * w }, x)
}
"""
    x, k = 0.3, 1.5
    expected = 2 * np.exp(x) + k + 2 * (x * k) ** 2
    assert np.isclose(run(source, "compose", x=x, k=k)[0], expected)


def test_a_model_is_a_function_value() -> None:
    """Passed on it is its `forward`; its other functions have names; its gradient flows."""
    program = check_text("""\
model Map[N] {
    param w: f64[N, N] = zeros
    fn forward[M](x: f64[M, N]) -> f64[M, N] = x @ w
    fn row(x: f64[N]) -> f64[N] = tanh(w @ x)
    fn rows(x: f64[N]) -> f64[N] = twice(row, x)
}
fn twice[*S](f: (f64[*S]) -> f64[*S], x: f64[*S]) -> f64[*S] = f(f(x))
fn of_model[M](net: Map[2], x: f64[M, 2]) -> f64[M, 2] = twice(net, x)
fn of_stack(nets: 2 * Map[2], x: f64[2]) -> f64[2] = twice(nets[1].row, x) + nets[0].rows(x)
fn loss(net: Map[2], x: f64[2]) -> f64 {
    let f = net.row
    sum(twice(f, x))
}
fn slope(net: Map[2], x: f64[2]) -> Grad[Map[2]] = grad(loss)(net, x)
""")
    w, x, y = RNG.normal(size=(2, 2, 2)), RNG.normal(size=(3, 2)), X[:2]
    net = record(program, "Map", w=w[0])
    assert np.allclose(run(program, "of_model", net=net, x=x), x @ w[0] @ w[0])
    row = [np.tanh(v @ np.tanh(v @ y)) for v in w]
    nets = record(program, "Map", w=w)
    assert np.allclose(run(program, "of_stack", nets=nets, x=y), row[0] + row[1])
    h = np.tanh(w[0] @ y)
    outer = 1 - np.tanh(w[0] @ h) ** 2
    slope = np.outer(outer, h) + np.outer((w[0].T @ outer) * (1 - h**2), y)
    assert np.allclose(run(program, "slope", net=net, x=y), slope)


def test_draws_depend_on_key_and_position_only() -> None:
    source = """\
fn builder[N](key: Key) -> f64[N] = [i in 0..N] => uniform(fold(key, i))
fn loop[N](key: Key) -> f64[N] = for i in 0..N { uniform(fold(key, i)) }
fn noisy[N](key: Key, x: f32[N]) -> (f32[N], f32[N]) {
    let (a, b) = split(key)
    (x + normal[N](a), where(bernoulli[N](b, 0.5), x, 0.0))
}
"""
    key = np.int64(5)
    (first,), (second,) = (run(source, name, 6, key=key) for name in ("builder", "loop"))
    assert np.array_equal(first, second)
    assert len(set(first.tolist())) == 6
    noise, dropped = run(source, "noisy", key=key, x=np.ones(50, np.float32))
    assert 0.5 < noise.std() < 1.5
    assert 5 < dropped.sum() < 45


def test_sizes_are_solved_through_convolution_and_pooling() -> None:
    source = """\
fn conv[N, K](x: f64[N], w: f64[K]) -> f64[N - K + 1] requires K <= N =
    [i in 0..N - K + 1] => sum[k](x[i + k] * w[k])
fn pool[P, N](x: f64[N]) -> f64[N / P] requires N % P == 0 =
    [i in 0..N / P] => max[j in 0..P](x[P * i + j])
fn both(x: f64[9], w: f64[2]) -> f64[4] = conv(x, w) |> pool[2]
"""
    x, w = RNG.normal(size=9), RNG.normal(size=2)
    expected = np.convolve(x, w[::-1], "valid").reshape(4, 2).max(1)
    assert np.allclose(run(source, "both", x=x, w=w)[0], expected)


def test_state_of_a_stack_is_threaded_by_index() -> None:
    program = check_text("""\
model Count {
    state seen: i64 = 0
    mut fn forward(x: f64) -> f64 {
        seen += 1
        x * f64(seen)
    }
}
model Tower[L] {
    layers: L * Count
    mut fn forward(x: f64) -> f64 {
        var h = x
        for i in 0..L { h = layers[i](h) }
        layers[0](h)
    }
}
""")
    counts = record(program, "Count", seen=np.array([0, 4, 1], np.int64))
    tower = record(program, "Tower", layers=counts)
    value, seen = run(program, "Tower.forward", self=tower, x=1.0)
    assert value == 1.0 * 5 * 2 * 2
    assert seen.tolist() == [2, 5, 2]


def test_untaken_branches_are_exact_zeros() -> None:
    source = """\
fn f(x: f64) -> f64 = where(x > 0.0, sqrt(x), 0.0)
fn g(x: f64) -> f64 = grad(f)(x)
fn h[N](x: f64[N]) -> f64 = sum(maximum(x, 0.0))
fn k[N](x: f64[N]) -> f64[N] = grad(h)(x)
"""
    assert run(source, "g", x=0.0) == [0.0]
    assert run(source, "k", x=np.array([-2.0, 1.0, 3.0]))[0].tolist() == [0, 1, 1]


def test_loops_over_nothing_write_nothing() -> None:
    """A table without elements is written only where nothing runs."""
    source = """
fn f[N](x: f64[N]) -> f64 {
    var r: f64[N] = zeros
    var t: f64[N, 2] = zeros
    for i in 0..N {
        r[i] += x[i]
        t[i] = x[i] * ones[2]
        t[i, 1] += r[i]
    }
    sum(r) + sum(t)
}
fn slope[N](x: f64[N]) -> f64[N] = grad(f)(x)
"""
    for n in (0, 1, 3):
        x = np.arange(1.0, n + 1)
        assert run(source, "f", x=x) == [4 * x.sum()]
        assert run(source, "slope", x=x)[0].tolist() == [4.0] * n


def test_ranges_of_a_reduction_may_depend_on_earlier_ones() -> None:
    source = """
fn total[N](x: f64[N]) -> f64 = sum[i in 0..N, j in 0..i](x[j])
fn pairs[N](x: f64[N]) -> f64 = sum[i in 0..N, j in 0..i, k in j..i + 1](x[j] * x[k])
fn average[N](x: f64[N]) -> f64 = mean[i in 0..N, j in 0..i + 1](x[j])
fn soft[N](x: f64[N]) -> f64 = logsumexp[i in 0..N, j in 0..i + 1](x[j])
fn counted[N](x: f64[N], n: i64) -> f64 = sum[j in 0..n, i in 0..N](x[i] * f64(j))
fn slope[N](x: f64[N]) -> f64[N] = grad(total)(x)
"""
    x = RNG.normal(size=5)
    n = range(5)
    below = [x[j] for i in n for j in range(i + 1)]
    wanted = {
        "total": sum(x[j] for i in n for j in range(i)),
        "pairs": sum(x[j] * x[k] for i in n for j in range(i) for k in range(j, i + 1)),
        "average": np.mean(below),
        "soft": np.log(np.sum(np.exp(below))),
        "slope": [4, 3, 2, 1, 0],
    }
    for name, value in wanted.items():
        np.testing.assert_allclose(run(source, name, x=x)[0], value, rtol=1e-12, err_msg=name)
    assert run(source, "counted", x=x, n=3)[0] == 3 * np.sum(x)
