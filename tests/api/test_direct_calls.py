"""Calls that take values apart and put them together in native code (`jit/trees.ll`)."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import dmc

SOURCE = """
struct Weights[D] {
    w: f32[D]
    b: f32
}

struct Heads[D, H] {
    w: f32[D]
}

struct Two[D] {
    first: Weights[D]
    scale: f64
}

model Layer[D] {
    param w: f32[D] = zeros
    state m: f32[D] = ones
}

fn loss[D](p: Weights[D], x: f32[D]) -> f32 = sum(p.w * x) + p.b
fn swapped[D](t: (Weights[D], f32[D]), a: f64) -> (f64, (Weights[D], f32)) {
    let (p, x) = t
    (2.0 * a, (Weights(x, p.b), sum(p.w)))
}
fn heads[D, H](p: Heads[D, H], x: f32[D]) -> f32 = f32(H) * sum(p.w * x)
fn nested[D](t: Two[D]) -> Two[D] = Two(Weights(t.first.w, f32(t.scale)), f64(t.first.b))
fn frozen[D](net: Layer[D], x: f32[D]) -> f32 = sum(net.w * net.m * x)
fn sums[N, D](p: N * Weights[D]) -> f32[N] = for i in 0..N { sum(p[i].w) + p[i].b }
fn at[N](x: f32[N], t: f32) -> f32 = x[i32(t + t)]
fn scaled[N](x: f32[N], t: f32) -> f32[N] = t * x
"""


@pytest.fixture(scope="module")
def m(tmp_path_factory: pytest.TempPathFactory) -> dmc.Module:
    path = tmp_path_factory.mktemp("direct") / "direct.dm"
    path.write_text(SOURCE)
    return dmc.load(path)


def weights(m: dmc.Module, n: int = 3, b: float = 0.5) -> dmc.Record:
    return m.Weights(w=np.arange(n, dtype=np.float32), b=np.float32(b))


def both(function: dmc.Function, *arguments: object) -> tuple[object, object]:
    """What a call gives with Python's way and natively."""
    compiled = function.compile(*arguments)
    function(*arguments)
    assert compiled.direct is not None
    assert function._shared.direct is compiled.direct
    return compiled.run(arguments), function(*arguments)


def assert_same(a: object, b: object) -> None:
    assert type(a) is type(b)
    assert repr(a) == repr(b)
    if isinstance(a, dmc.Record):
        assert isinstance(b, dmc.Record)
        assert a == b
        assert a._constants == b._constants
        assert a._stack == b._stack


def test_both_ways_give_the_same(m: dmc.Module) -> None:
    x = np.ones(3, np.float32)
    net = m.Layer(w=x, m=x, D=3)
    two = m.Two(first=weights(m), scale=2.5)
    stack = dmc.stack([weights(m), weights(m, b=2.0)])
    assert_same(*both(m.loss, weights(m), x))
    assert_same(*both(dmc.value_and_grad(m.loss), weights(m), x))
    assert_same(*both(m.swapped, (weights(m), x), 1.5))
    assert_same(*both(m.nested, two))
    assert_same(*both(dmc.grad(m.frozen), net, x))
    assert_same(*both(m.sums, stack))


def test_sizes_are_told_apart(m: dmc.Module) -> None:
    for n in (3, 5, 3, 4, 5):
        assert m.loss(weights(m, n), np.ones(n, np.float32)) == sum(range(n)) + 0.5
    x = np.ones(3, np.float32)
    for count in (2, 2, 7, 2):
        assert m.heads(m.Heads(w=x, D=3, H=count), x) == 3 * count
    for n in (2, 2, 3, 2):
        stack = dmc.stack([weights(m)] * n)
        assert m.sums(stack).shape == (n,)
    with pytest.raises(dmc.Error, match="loss"):
        m.loss(weights(m, 4), x)
    with pytest.raises(dmc.Error, match="loss"):
        m.loss(dmc.stack([weights(m)]), x)


def test_numbers_for_arrays_without_axes(m: dmc.Module) -> None:
    x = np.ones(3, np.float32)
    pair = (weights(m), x)
    for number in (1.5, np.float64(1.5), np.array(1.5), 2, 1.5):
        value, _ = m.swapped(pair, number)
        assert value == 2 * float(number)
        assert type(value) is np.float64
    with pytest.raises(dmc.Error, match="must be f64"):
        m.swapped(pair, np.float32(1.5))
    assert_same(*both(m.scaled, x, 2.5))
    assert_same(*both(m.scaled, x, np.float32(2.5)))


def test_a_float_that_f32_does_not_hold_is_refused(m: dmc.Module) -> None:
    x = np.ones(3, np.float32)
    both(m.scaled, x, 1.0)
    largest = float(np.finfo(np.float32).max)
    for value in (largest, -largest, np.inf, -np.inf, np.nan, 1e-60):
        np.testing.assert_array_equal(m.scaled(x, value), x * np.float32(value))
    for value in (1e300, -1e300, largest * (1 + 1e-6)):
        with pytest.raises(dmc.Error, match="does not hold"):
            m.scaled(x, value)


def test_an_index_outside_its_axis_is_reported(m: dmc.Module) -> None:
    x = np.arange(3, dtype=np.float32)
    assert_same(*both(m.at, x, 0.5))
    for _ in range(3):
        assert m.at(x, 1.0) == 2
        with pytest.raises(dmc.IndexError, match="index 7"):
            m.at(x, 3.5)


def test_arrays_that_were_given_up_are_refused(m: dmc.Module) -> None:
    p, x = weights(m), np.ones(3, np.float32)
    two = m.Two(first=p, scale=2.5)
    m.loss(p, x)
    m.nested(two)
    m.nested(dmc.donate(two))
    with pytest.raises(dmc.Error, match="donated"):
        m.nested(two)
    with pytest.raises(dmc.Error, match="donated"):
        m.loss(p, x)


def test_values_of_other_kinds_are_refused(m: dmc.Module) -> None:
    p, x = weights(m), np.ones(3, np.float32)
    m.loss(p, x)
    m.loss(p, x)
    unfinished = m.Weights.__new__(m.Weights)
    for wrong in (None, 1, "w", [x, x], (x, x), m.Heads(w=x, D=3, H=1), m.Weights, object()):
        with pytest.raises(dmc.Error):
            m.loss(wrong, x)
    with pytest.raises((dmc.Error, AttributeError)):
        m.loss(unfinished, x)
    for wrong in (np.ones(3), np.ones((3, 1), np.float32), np.ones(3, ">f4"), [1, 2, 3]):
        with pytest.raises(dmc.Error):
            m.loss(p, wrong)
    with pytest.raises(dmc.Error):
        m.loss(p)
    with pytest.raises(dmc.Error):
        m.swapped([p, x], 1.0)
    assert m.loss(p, np.ones(6, np.float32)[::2]) == 3.5


def test_references_are_given_back(m: dmc.Module) -> None:
    f, p, x = m.swapped, weights(m), np.ones(3, np.float32)
    f((p, x), 1.0)
    watched = [p, x, m.Weights, p._values, np.float32, np.float64, np.dtype(np.float32), f]

    def counts() -> list[int]:
        return [sys.getrefcount(value) for value in watched]

    before = counts()
    for _ in range(100):
        f((p, x), 1.0)
        with pytest.raises(dmc.Error):
            f((p, None), 1.0)
    assert counts() == before
    direct, other = f((p, x), 1.0), f.compile((p, x), 1.0).run(((p, x), 1.0))
    for path in ((), (0,), (1,), (1, 0), (1, 1)):
        a, b = direct, other
        for step in path:
            a, b = a[step], b[step]
        assert sys.getrefcount(a) == sys.getrefcount(b)
    assert sys.getrefcount(direct[1][0]._values) == sys.getrefcount(other[1][0]._values)
    assert sys.getrefcount(direct[1][0]._constants) == sys.getrefcount(other[1][0]._constants)


def test_programs_share_their_variants(m: dmc.Module) -> None:
    p, x = weights(m), np.ones(3, np.float32)
    dmc.grad(m.loss)(p, x)
    assert dmc.grad(m.loss)._shared.direct is not None
    assert dmc.grad(m.loss)(p, x).b == 1


def test_a_tangent_comes_with_the_arguments(m: dmc.Module) -> None:
    p, x = weights(m), np.ones(3, np.float32)
    for scale in (1.0, 2.0, 3.0):
        tangent = m.Weights(w=np.full(3, scale, np.float32), b=np.float32(0))
        _, slope = dmc.jvp(m.loss, tangent, wrt="p")(p, x)
        assert slope == 3 * scale
