"""f16 and bf16 from Python: arrays, numbers, records, files, derivatives, and what is refused."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import dmc
from dmc.lints.lint import lint
from dmc.semantics import resolver
from dmc.semantics.modules import check_text
from dmc_runtime import keys

BF16, F16 = np.dtype(ml_dtypes.bfloat16), np.dtype(np.float16)

PROGRAM = """
model Dense[I, O, F: float = f32] {
    param w: F[I, O] = normal(key) / sqrt(I)
    frozen param b: F[O] = zeros
    state calls: i32 = 0

    fn forward[*S](x: F[*S, I]) -> F[*S, O] = x @ w + b
}

fn narrow(net: 2 * Dense[3, 3]) -> 2 * Dense[3, 3, bf16] = cast[bf16](net)

fn wide(net: 2 * Dense[3, 3, bf16]) -> 2 * Dense[3, 3] = cast[f32](net)

fn several(p: (Dense[3, 3], f64[2], i32)) -> (Dense[3, 3, f16], f16[2], i32) = cast[f16](p)

fn loss(net: 2 * Dense[3, 3], x: f32[3]) -> f32 {
    var h = bf16(x)
    for layer in cast[bf16](net) { h = tanh(layer(h)) }
    f32(sum(h))
}

fn smooth(x: bf16[5], w: f16[5]) -> f16 = sum(w * tanh(f16(x)))

fn twice(x: bf16) -> bf16 = 2.0 * x

fn product[M, K, N](a: bf16[M, K], b: bf16[K, N]) -> bf16[M, N] = a @ b

fn widened[M, K, N](a: bf16[M, K], b: bf16[K, N]) -> f32[M, N] = f32(a) @ f32(b)

fn drawn(a: Key, b: Key) -> (bf16[9], f16[9]) = (normal(a), uniform(b))

fn mixture[F: float](x: F[6]) -> F {
    var table = x
    for i in 1..6 { table[i] = table[i - 1] * 0.5 + sin(table[i]) }
    let pairs = [i, j in 0..6] => if j <= i { x[i] * table[j] } else { 0.0 }
    let rows = [n in 0..6] => {
        var s: F = 0.0
        for m in 0..6 { s = s * 0.5 + pairs[n, m] }
        s
    }
    var y = sum(solve(pairs + 2.0 * eye[6](), sort[-1](x))) + F(argmax(x))
    while y < 3.0 { y = y * 1.5 + rows[0] + 0.25 }
    y + sum(cumprod[-1](x) * rows)
}
"""


@pytest.fixture(scope="module")
def program():
    return dmc.loads(PROGRAM)


def test_records_are_cast_and_kept(program, tmp_path: Path) -> None:
    net = dmc.stack([program.Dense.init(dmc.key(i), I=3, O=3) for i in range(2)])
    low = program.narrow(net)
    assert low.w.dtype == low.b.dtype == BF16
    assert low.calls.dtype == np.int32
    np.testing.assert_array_equal(low.w, net.w.astype(BF16))
    assert "bf16[2, 3, 3]" in str(low)
    np.testing.assert_array_equal(program.wide(low).w, low.w.astype(np.float32))
    dmc.save(low, tmp_path / "low.safetensors")
    again = dmc.restore(tmp_path / "low.safetensors", low)
    np.testing.assert_array_equal(again.w, low.w)
    first, second, third = program.several((net[0], np.array([0.1, 1e9]), 3))
    assert first.w.dtype == second.dtype == F16
    assert (second[1], third) == (np.inf, 3)
    gradient = dmc.grad(program.loss)(net, np.ones(3, np.float32))
    assert gradient.w.dtype == np.float32


def test_numbers_are_rounded_once(program) -> None:
    above_a_tie = 1.0 + 2.0**-8 + 2.0**-40
    assert program.twice(above_a_tie) == 2.0 * (1.0 + 2.0**-7)
    assert program.twice(1.0 + 2.0**-8) == 2.0
    assert program.twice(BF16.type(3.0)).dtype == BF16


def test_products_of_matrices_take_no_subnormal_number_for_zero(program) -> None:
    """Neither as a factor nor on the way; with vectors that are not full."""
    rng = np.random.default_rng(0)
    a = (rng.integers(-100, 100, (17, 37)) * 2.0**-133).astype(BF16)
    b = rng.integers(-8, 8, (37, 21)).astype(BF16)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    assert 0.0 < np.abs(exact[exact != 0.0]).min() < np.finfo(np.float32).tiny
    np.testing.assert_array_equal(program.widened(a, b), exact)
    rounded = exact.astype(np.float32).astype(BF16)
    np.testing.assert_array_equal(program.product(a, b), rounded)


def test_draws_are_those_of_the_runtime(program) -> None:
    normal, uniform = program.drawn(dmc.key(3), dmc.key(4))
    np.testing.assert_array_equal(normal, keys.normal(dmc.key(3), 9, BF16))
    np.testing.assert_array_equal(uniform, keys.uniform(dmc.key(4), 9, F16))


@pytest.mark.parametrize("dtype", [F16, BF16], ids=str)
def test_derivatives_of_every_construct(program, dtype: np.dtype) -> None:
    x = np.linspace(0.5, 1.25, 6).astype(dtype)
    unit = 2.0**-10 if dtype == F16 else 2.0**-7
    for derivative in (dmc.value_and_grad, dmc.hessian):
        got = derivative(program.mixture)(x)
        wanted = derivative(program.mixture)(x.astype(np.float64))
        got, wanted = (pair if isinstance(pair, tuple) else (pair,) for pair in (got, wanted))
        for mine, exact in zip(got, wanted, strict=True):
            assert mine.dtype == dtype
            error = np.abs(np.asarray(mine, np.float64) - exact).max()
            assert error < 8 * unit * np.abs(exact).max()


def test_gradients_are_checked_and_sums_warned_of(program) -> None:
    x, w = np.linspace(-0.5, 0.5, 5), np.linspace(1.0, 2.0, 5)
    checks = dmc.check_grads(program.smooth, x.astype(BF16), w.astype(F16), wrt=("x", "w"))
    assert all(check.passed and check.checked for check in checks)
    text = "fn f() -> bf16 = sum(bf16(arange[300]()))\n"
    (found,) = lint(check_text(text))
    assert found.code == "lint.sum"


def test_what_is_refused(program, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(dmc.Error, match=r"ml_dtypes\.bfloat16"):
        program.twice(np.float32(1.0))
    with pytest.raises(dmc.Error, match=r"nothing in P\[N\] can be cast") as caught:
        dmc.loads(
            "struct P[N] {\n    w: f32[N]\n}\n\nfn f[N](p: P[N]) -> f32 = cast[f16](p).w[0]\n"
        )
    assert "`struct P[N, F: float = f32]`" in str(caught.value)
    monkeypatch.setattr(resolver, "has_bfloat16", lambda: False)
    with pytest.raises(dmc.Error, match="needs the package ml_dtypes") as missing:
        dmc.loads("fn f(x: bf16) -> bf16 = x\n")
    assert "pip install 'dmc[bf16]'" in str(missing.value)
