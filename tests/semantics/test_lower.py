"""Lowered programs against NumPy, by the reference interpreter; and the structure of their IR."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dmc.diagnostics.errors import Error
from dmc.dialects import control, func, tensor
from dmc.ir.printer import print_module
from dmc.semantics.modules import check_text
from tests.semantics.running import bind, module, record, run, signature

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=4), RNG.normal(size=4)
A, B = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 2))
IDS = np.array([2, 0, 1, 1], np.int32)

# A function `f` over x, y (4), a (3, 4), b (4, 2), ids (4), and what NumPy says it gives.
EXPRESSIONS: dict[str, tuple[str, str, Any]] = {
    "arithmetic": ("f64[N]", "2 * x - y / 3.0 + x ** 2", 2 * X - Y / 3 + X**2),
    "negative power": ("f64[N]", "x ** -2", X**-2.0),
    "float power": ("f64[N]", "abs(x) ** 1.5", np.abs(X) ** 1.5),
    "suffix broadcast": ("f64[M, N]", "a * x + 1.0", A * X + 1),
    "stretched axis": ("f64[N, N]", "x[:, _] - y", X[:, None] - Y),
    "ellipsis": ("f64[M]", "a[..., 0]", A[:, 0]),
    "literal slices": ("f64[N - 2]", "x[1:-1]", X[1:-1]),
    "steps": ("f64[2]", "x[0:4:2]", X[0:4:2]),
    "gather": ("f64[N]", "x[ids]", X[IDS]),
    "gather of rows": ("f64[N, 2]", "b[ids]", B[IDS]),
    "contraction": ("f64[M, 2]", "a @ b", A @ B),
    "vector contraction": ("f64", "x @ y", X @ Y),
    "matrix and vector": ("f64[M]", "a @ x", A @ X),
    "vector and matrix": ("f64[2]", "x @ b", X @ B),
    "transpose": ("f64[N, M]", "a.T", A.T),
    "reduction of an axis": ("f64[M]", "sum[N](a)", A.sum(1)),
    "reduction from the end": ("f64[N]", "max[-2](a)", A.max(0)),
    "mean of everything": ("f64", "mean(a)", A.mean()),
    "logsumexp": ("f64[M]", "logsumexp[-1](a)", np.log(np.exp(A).sum(1))),
    "softmax": ("f64[M, N]", "softmax[-1](a)", np.exp(A) / np.exp(A).sum(1)[:, None]),
    "argmax": ("i32[M]", "argmax[-1](a)", A.argmax(1)),
    "builder": ("f64[N, M]", "[j, i] => a[i, j] * x[j]", (A * X).T),
    "outer product": ("f64[N, N]", "[i, j] => x[i] * y[j]", np.outer(X, Y)),
    "builder of arrays": ("f64[M, N]", "[i] => a[i] * x", A * X),
    "builder over elements": ("f64[N]", "[v in x] => 2.0 * v", 2 * X),
    "sigma": ("f64[M, 2]", "[i, k] => sum[j](a[i, j] * b[j, k])", A @ B),
    "stencil": ("f64[N - 1]", "[i in 0..N - 1] => x[i + 1] - x[i]", np.diff(X)),
    "running sum": ("f64[N]", "[i] => sum[j in 0..i + 1](x[j]) + 0.0 * x[i]", np.cumsum(X)),
    "running mean": (
        "f64[N]",
        "[i] => mean[j in 0..i + 1](x[j]) + 0.0 * x[i]",
        np.cumsum(X) / np.arange(1, 5),
    ),
    "running logsumexp": (
        "f64[N]",
        "[i] => logsumexp[j in 0..i + 1](x[j]) + 0.0 * x[i]",
        np.logaddexp.accumulate(X),
    ),
    "triangle": ("f64[N]", "[i] => x[i] + max[j in 0..i](y[j])", None),
    "branch in a builder": (
        "f64[N]",
        "[i] => if x[i] > 0.0 { sqrt(x[i]) } else { 0.0 }",
        np.sqrt(np.maximum(X, 0)),
    ),
    "where": ("f64[N]", "where(x > 0.0, x, -x)", np.abs(X)),
    "comparison": ("bool[N]", "x > y and x > 0.0", (X > Y) & (X > 0)),
    "conversion": ("f32[N]", "f32(x)", X.astype(np.float32)),
    "array literal": ("f64[2, N]", "[x, y]", np.stack([X, Y])),
    "concatenation": ("f64[N + N]", "concat[0](x, y)", np.concatenate([X, Y])),
    "reshape": ("f64[N * 2]", "reshape[N * 2](b)", B.reshape(-1)),
    "pick": ("f64[N]", "pick[-1]([x, y].T, ids // 2)", np.where(IDS // 2, Y, X)),
    "pick along the first axis": ("f64[N]", "pick[0]([x, y], ids // 2)", np.where(IDS // 2, Y, X)),
    "one hot": ("f64[N, 3]", "one_hot[3](ids)", np.eye(3)[IDS]),
    "identity": ("f64[N, N]", "eye[N]()", np.eye(4)),
    "indexes as numbers": ("f64[N]", "f64(arange[N]()) * x", np.arange(4) * X),
    "cumulative sum": ("f64[N]", "cumsum[0](x)", np.cumsum(X)),
    "cumulative product": ("f64[N]", "cumprod[-1](x)", np.cumprod(X)),
    "padding": ("f64[N + 3, 2]", "pad[N](b, 1, 2)", np.pad(B, ((1, 2), (0, 0)))),
    "padding by a number": (
        "f64[N + M]",
        "pad[0](x, M, 0, y[1])",
        np.pad(X, (3, 0), constant_values=Y[1]),
    ),
    "repetition": ("f64[M, 2 * N]", "repeat[-1](a, 2)", np.repeat(A, 2, -1)),
    "roll": ("f64[N]", "roll[0](x, 1)", np.roll(X, 1)),
    "roll back": ("f64[M, N]", "roll[1](a, -2)", np.roll(A, -2, 1)),
    "sort": ("f64[M, N]", "sort[M](a)", np.sort(A, 0)),
    "argsort": ("i32[N]", "argsort[0](x)", np.argsort(X)),
    "triangles": ("f64[M, N]", "tril(a) - triu(a)", np.tril(A) - np.triu(A)),
    "linspace": ("f64[5]", "linspace[5](x[0], y[0])", np.linspace(X[0], Y[0], 5)),
    "flip": ("f64[N]", "flip[0](x)", X[::-1]),
    "sizes are numbers": ("f64", "N * x[0] + M / 2", 4 * X[0] + 1.5),
    "pipe": ("f64", "x |> exp |> sum", np.exp(X).sum()),
    "relu": ("f64[N]", "maximum(x, 0.0)", np.maximum(X, 0)),
    "softplus": ("f64[N]", "softplus(x)", np.logaddexp(0, X)),
    "clamp": ("f64[N]", "clamp(x, -0.5, 0.5)", np.clip(X, -0.5, 0.5)),
    "dynamic slice": ("f64[2]", "x[i64(ids[2]) : i64(ids[2]) + 2]", X[1:3]),
    "dynamic element": ("f64", "a[ids[3], ids[0]]", A[1, 2]),
    "stop gradient": ("f64[N]", "stop_gradient(x)", X),
}
HEADER = "fn f[N, M](x: f64[N], y: f64[N], a: f64[M, N], b: f64[N, 2], ids: i32[N]) -> "


@pytest.mark.parametrize(
    ("type_", "text", "expected"), EXPRESSIONS.values(), ids=EXPRESSIONS.keys()
)
def test_expression(type_: str, text: str, expected: Any) -> None:
    if expected is None:
        running = [-np.inf, *np.maximum.accumulate(Y)[:-1]]
        expected = X + running
    source = f"{HEADER}{type_} = {text}\n"
    (value,) = run(source, "f", x=X, y=Y, a=A, b=B, ids=IDS)
    assert np.allclose(value, expected, rtol=1e-6)
    assert value.shape == np.shape(expected)


TOP = (np.sort(X)[::-1] * np.argsort(-X))[:2].sum()
STATEMENTS: dict[str, tuple[str, Any]] = {
    "fold": ("var t = 0.0\nfor v in x { t += v * v }\nt", (X**2).sum()),
    "scan": ("var t = 0.0\nlet s = for v in x {\nt += v\nt\n}\nsum(s)", np.cumsum(X).sum()),
    "loop over a range": ("var t = 0.0\nfor i in 1..N { t += x[i] }\nt", X[1:].sum()),
    "run-time count": ("var t = 1.0\nfor i in 0..n { t = t * 2.0 + f64(i) }\nt", 2.0**3 + 4),
    "negative count": ("var t = 1.0\nfor i in 0..n - 9 { t = 0.0 }\nt", 1.0),
    "while": ("var t = 1.0\nwhile t < 10.0 { t = t * 3.0 }\nt", 27.0),
    "limit": ("var t = 1.0\nwhile t < 1000.0 limit 4 { t = t * 2.0 }\nt", 16.0),
    "branch assigns": ("var t = 0.0\nif n > 2 { t = 5.0 } else { t = 7.0 }\nt", 5.0),
    "branch without else": ("var t = 1.0\nif n > 9 { t = 5.0 }\nt", 1.0),
    "tuples": ("let (p, q) = (x[0], y[0])\np - q", X[0] - Y[0]),
    "swap": ("var p = x[0]\nvar q = y[0]\n(p, q) = (q, p)\np - q", Y[0] - X[0]),
    "element assignment": ("var z = x\nz[1] = 9.0\nsum(z)", X.sum() - X[1] + 9),
    "slice assignment": ("var z = x\nz[1:3] = y[:2]\nsum(z)", X[[0, 3]].sum() + Y[:2].sum()),
    "element update": ("var z = x\nfor i in 0..N { z[i] *= 2.0 }\nsum(z)", 2 * X.sum()),
    "top k": ("let (v, i) = top_k[2](x)\nsum(v * f64(i))", TOP),
    "gathered update": ("var z = x\nz[ids] += y\nsum(z * x)", None),
    "gathered assignment": ("var z = x\nz[ids] = 1.0\nsum(z)", X[3] + 3),
    "closure": ("let k = x[0]\nlet g = fn(v: f64) => v * k\ng(y[0])", X[0] * Y[0]),
    "literals meet later": ("let one = 1\none * x[0] + one", X[0] + 1),
    "checkpoint": ("var t = x[0]\ncheckpoint for _ in 0..3 { t = sin(t) }\nt", None),
}


@pytest.mark.parametrize(("text", "expected"), STATEMENTS.values(), ids=STATEMENTS.keys())
def test_statements(text: str, expected: Any) -> None:
    if expected is None:
        z = X.copy()
        np.add.at(z, IDS, Y)
        expected = z @ X if "ids" in text else np.sin(np.sin(np.sin(X[0])))
    body = "".join(f"    {line}\n" for line in text.split("\n"))
    source = f"fn f[N](x: f64[N], y: f64[N], ids: i32[N], n: i64) -> f64 {{\n{body}}}\n"
    (value,) = run(source, "f", x=X, y=Y, ids=IDS, n=3)
    assert np.allclose(value, expected)


DERIVATIVES = """\
fn f[N](w: f64[N], x: f64[N]) -> f64 = sum(sin(w) * x) + sum(w ** 3)
fn slope[N](w: f64[N], x: f64[N]) -> f64[N] = grad(f)(w, x)
fn both[N](w: f64[N], x: f64[N]) -> (f64[N], f64[N]) = grad(f, wrt = (x, w))(w, x)
fn curvature[N](w: f64[N], x: f64[N]) -> f64[N, N] = hessian(f)(w, x)
fn product[N](w: f64[N], x: f64[N]) -> f64[N] = hvp(f, along = x)(w, x)
fn push[N](w: f64[N], x: f64[N]) -> (f64, f64) = jvp(f, along = x)(w, x)
fn pull[N](w: f64[N], x: f64[N]) -> f64[N] {
    let (y, back) = vjp(fn(q: f64[N]) => q * q * x)(w)
    back(y)
}
fn matrix[N](w: f64[N], x: f64[N]) -> f64[N, N] = jacobian(fn(q) => q * x + sum(q))(w)
fn third(x: f64) -> f64 = grad(fn(a) => grad(fn(b) => grad(fn(c) => c ** 5)(b))(a))(x)
fn tall[N](w: f64[N], x: f64[N]) -> f64[2 * N, N] = jacobian(fn(q) => concat[0](q * x, q))(w)
fn ends[N](w: f64[N], x: f64[N]) -> f64[N] = jacobian(fn(q: f64) => q * q * x)(w[0])
fn solve_(f: (f64) -> f64, x0: f64) -> f64 {
    var x = x0
    for _ in 0..20 { x -= f(x) / grad(f)(x) }
    x
}
fn minimum_[N](w: f64[N], x: f64[N]) -> f64 = solve_(grad(fn(q: f64) => q ** 4 - q), 1.0)
fn captured[N](w: f64[N], x: f64[N]) -> f64 {
    let k = sum(w)
    grad(fn(q: f64) => q * q * k)(x[0])
}
fn pair[N](w: f64[N]) -> (f64, f64[N]) = (sum(w * w), 2.0 * w)
fn beside[N](w: f64[N]) -> ((f64, f64[N]), f64[N]) = value_and_grad(pair)(w)
"""
HESSIAN = np.diag(-np.sin(X) * Y + 6 * X)
SLOPE = np.cos(X) * Y + 3 * X**2
OPERATORS: dict[str, list[Any]] = {
    "slope": [SLOPE],
    "both": [np.sin(X), SLOPE],
    "curvature": [HESSIAN],
    "product": [HESSIAN @ Y],
    "push": [(np.sin(X) * Y).sum() + (X**3).sum(), SLOPE @ Y],
    "pull": [2 * X * Y * (X * X * Y)],
    "matrix": [np.diag(Y) + 1],
    "tall": [np.concatenate([np.diag(Y), np.eye(4)])],
    "ends": [2 * X[0] * Y],
    "minimum_": [0.25 ** (1 / 3)],
    "captured": [2 * Y[0] * X.sum()],
}


@pytest.mark.parametrize(("name", "expected"), OPERATORS.items(), ids=OPERATORS.keys())
def test_operator(name: str, expected: list[Any]) -> None:
    values = run(DERIVATIVES, name, w=X, x=Y)
    assert len(values) == len(expected)
    for value, wanted in zip(values, expected, strict=True):
        assert np.allclose(value, wanted)


def test_operators_nest_and_carry_what_rides_along() -> None:
    assert np.isclose(run(DERIVATIVES, "third", x=2.0)[0], 60 * 4.0)
    value, rest, gradient = run(DERIVATIVES, "beside", w=X)
    assert np.isclose(value, X @ X)
    assert np.allclose(rest, 2 * X)
    assert np.allclose(gradient, 2 * X)


def test_declared_rules_replace_the_body() -> None:
    source = """\
fn f(x: f64, n: i64) -> f64 = floor(x)
derivative f(x, n) -> y {
    jvp(dx) = 3.0 * dx
}
fn g(x: f64) -> f64 = grad(fn(v) => 2.0 * f(v, 1))(x)
fn h(x: f64) -> f64 = grad(f)(x, 1)
"""
    assert np.isclose(run(source, "g", x=2.5)[0], 6.0)
    assert np.isclose(run(source, "h", x=2.5)[0], 3.0)
    assert np.isclose(run(source, "f", x=2.5, n=1)[0], 2.0)


STATE = """\
model Mean[N](rate: f64 = 0.5) {
    state avg: f64[N] = zeros
    state seen: i64 = 0

    mut fn forward(x: f64[N], train: bool) -> f64[N] {
        if train {
            seen += 1
            avg = rate * avg + (1.0 - rate) * x
        }
        x - avg
    }
}

model Two[N] {
    a: Mean[N]
    b: Mean[N](rate = 0.25)

    mut fn forward(x: f64[N]) -> f64[N] = x |> a(true) |> b(true)
}

fn twice(var net: Two, x: f64[net.N]) -> (f64, Two) {
    let y = net(x)
    let z = net(y)
    (sum(z), net)
}
"""


def test_state_is_threaded() -> None:
    program = check_text(STATE)
    a = {"rate": 0.5, "avg": np.zeros(4), "seen": 0}
    net = record(
        program,
        "Two",
        a=record(program, "Mean", **a),
        b=record(program, "Mean", **{**a, "rate": 0.25}),
    )
    x = X
    total, rate_a, mean_a, seen_a, _, mean_b, seen_b = run(program, "twice", net=net, x=x)
    means = [np.zeros(4), np.zeros(4)]
    for _ in range(2):
        for i, rate in enumerate((0.5, 0.25)):
            means[i] = rate * means[i] + (1 - rate) * x
            x = x - means[i]
    assert np.isclose(total, x.sum())
    assert (rate_a, seen_a, seen_b) == (0.5, 2, 2)
    assert np.allclose(mean_a, means[0])
    assert np.allclose(mean_b, means[1])
    (result, *_) = str(signature(program, "Two.forward").result).split(",")
    assert result == "(f64[N]"


# ---- structure --------------------------------------------------------------------------------


def count(source: str, name: str, kind: type, **arguments: Any) -> int:
    return sum(isinstance(op, kind) for op in module(source, name, **arguments).walk())


def test_equal_instances_are_lowered_once() -> None:
    source = """\
fn g[N](x: f64[N]) -> f64 = sum(x * x)
fn f[N, M](x: f64[N], y: f64[M]) -> f64 = g(x) + g(x) + g(y)
"""
    assert count(source, "f", func.Func, x=X, y=Y) == 2
    assert count(source, "f", func.Func, x=X, y=Y[:2]) == 3


def test_function_arguments_are_specialised_away() -> None:
    source = """\
fn twice(g: (f64) -> f64, x: f64) -> f64 = g(g(x))
fn f(x: f64, k: f64) -> f64 = twice(fn(v) => v * k, x)
"""
    assert count(source, "f", func.Func, x=1.0, k=2.0) == 1
    assert np.isclose(run(source, "f", x=3.0, k=2.0)[0], 12.0)


def test_a_stack_is_one_loop() -> None:
    source = """\
model Layer[D] {
    param w: f64[D, D] = normal(key)
    fn forward(x: f64[D]) -> f64[D] = tanh(x @ w)
}
model Net[L, D] {
    layers: L * Layer[D]
    fn forward(x: f64[D]) -> f64[D] {
        var h = x
        for layer in layers { h = layer(h) }
        h
    }
}
"""
    program = check_text(source)
    weights = RNG.normal(size=(5, 4, 4))
    net = record(program, "Net", layers=record(program, "Layer", w=weights))
    (value,) = run(program, "Net.forward", self=net, x=X)
    h = X
    for w in weights:
        h = np.tanh(h @ w)
    assert np.allclose(value, h)
    lowered = module(program, "Net.forward", self=net, x=X)
    assert sum(isinstance(op, control.For) for op in lowered.walk()) == 1
    assert sum(isinstance(op, tensor.DotGeneral) for op in lowered.walk()) == 1


def test_operations_carry_the_names_and_places_of_the_source() -> None:
    lowered = module("fn f(x: f64) -> f64 {\n    let root = sqrt(x)\n    root * x\n}\n", "f", x=2.0)
    text = print_module(lowered, locations=True)
    assert "%root = math.sqrt %x" in text
    assert 'loc("m.dm":2:16' in text


def test_numbers_known_at_compile_time_cost_nothing() -> None:
    source = "fn f[N](x: f64[N]) -> f64[N] = x / sqrt(2.0 * N)\n"
    lowered = module(source, "f", x=X)
    (function,) = func.functions(lowered)
    assert [op.name for op in function.body] == ["arith.constant", "arith.divide", "func.return"]


def test_sizes_that_do_not_work_are_refused_when_known() -> None:
    source = "fn f[N](x: f64[N]) -> f64 = max(x)\n"
    with pytest.raises(Error) as caught:
        module(source, "f", x=np.zeros(0))
    assert caught.value.diagnostics[0].code == "shape.empty"
    source = "fn f[N, M](x: f64[N], y: f64[M]) -> f64[N] = [i in 0..N] => x[i] + y[2]\n"
    with pytest.raises(Error) as caught:
        module(source, "f", x=X, y=Y[:2])
    assert caught.value.diagnostics[0].code == "index.bounds"


def test_sums_and_products_of_nothing() -> None:
    source = "fn f[N](x: f64[N]) -> (f64, f64) = (sum(x), prod(x))\n"
    assert run(source, "f", x=np.zeros(0)) == [0.0, 1.0]


def test_builders_of_nothing() -> None:
    source = "fn f[N](x: f64[N], ids: i32[N]) -> f64 = sum([i] => x[i] * x[ids[i]])\n"
    assert run(source, "f", x=np.zeros(0), ids=np.zeros(0, np.int32)) == [0.0]


def test_axes_beside_a_pack() -> None:
    source = """\
fn last[*S, D](x: f64[*S, D]) -> f64[*S, D + D] = concat[-1](x, cumsum[D](x))
fn first[D, *S](x: f64[D, *S]) -> f64[D, *S] = flip[0](x) + sum[*S](x)[0]
fn wide(x: f64[2, 3, 4]) -> (f64[2, 3, 8], f64[2, 3, 4]) = (last(x), first(x))
"""
    x = RNG.normal(size=(2, 3, 4))
    last, first = run(source, "wide", x=x)
    assert np.allclose(last, np.concatenate([x, np.cumsum(x, -1)], -1))
    assert np.allclose(first, x[::-1] + x[0].sum())


def test_defaults_are_lowered_in_the_callee() -> None:
    source = "fn f[N](x: f64[N], scale: f64 = 1.0 / N) -> f64 = scale * sum(x)\n"
    program = check_text(source)
    assert bind(program, "f", {"x": X}).instance.defaults == {"scale"}
    assert np.isclose(run(program, "f", x=X)[0], X.mean())


def test_a_model_is_made_of_its_fields() -> None:
    source = (
        "model M[I](rate: f64 = 0.5) {\n    param w: f64[I] = ones\n    state n: f64 = 0.0\n"
        "    fn forward(x: f64[I]) -> f64 = rate * (x @ w) + n\n}\n"
        "fn f(w: f64[4], x: f64[4]) -> f64 = M(rate = 0.1, w = w, n = 2.0)(x)\n"
        "fn g(w: f64[4], x: f64[4]) -> f64[4] = grad(f)(w, x)\n"
    )
    np.testing.assert_allclose(run(source, "f", w=X, x=Y)[0], 0.1 * X @ Y + 2)
    np.testing.assert_allclose(run(source, "g", w=X, x=Y)[0], 0.1 * Y)
    with pytest.raises(Error, match="are given by name"):
        check_text(source + "fn h(w: f64[4]) -> f64 = M(0.1, w, 2.0)(w)\n")


def test_a_probability_for_each_draw() -> None:
    source = (
        "fn f(k: Key, p: f64[4]) -> (bool[4], bool[3, 4]) {\n    let (a, b) = split(k)\n"
        "    (bernoulli(a, p), bernoulli[3, 4](b, p))\n}\n"
    )
    one, several = run(source, "f", k=np.int64(5), p=np.array([0.0, 0.0, 1.0, 1.0]))
    np.testing.assert_array_equal(one, [False, False, True, True])
    np.testing.assert_array_equal(several, [[False, False, True, True]] * 3)
    with pytest.raises(Error, match="no probability for each"):
        check_text("fn f(k: Key, p: f64[4]) -> bool[4, 3] = bernoulli[4, 3](k, p)\n")
