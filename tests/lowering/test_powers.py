"""Powers by subscripts are products that loops share, rounded once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

import dmc
from dmc.dialects import loop, math
from dmc.ir import DType, Operation
from dmc.ir.parser import parse_module
from dmc.jit.target import Target, host, named
from tests.growth.measure import compiled
from tests.lowering.native import check

TARGETS = [t for t in (host(), named("x86-64-v3"), named("x86-64-v2")) if t.is_host]

PROGRAM = dmc.loads(
    """
    fn misfit[N, M](x: f64[M], t: f64[N]) -> f64 =
        sum([i] => (sign(t[i]) - sum[j](x[j] * t[i] ** f64(j))) ** 2)
    fn both[N, M](x: f64[M], t: f64[N]) -> (f64[M], f64[N]) = grad(misfit, wrt = (x, t))(x, t)
    fn slope[N, M](x: f64[M], t: f64[N]) -> f64 = sum(grad(misfit, wrt = t)(x, t))
    fn bend[N, M](x: f64[M], t: f64[N]) -> f64[N] = grad(slope, wrt = t)(x, t)
    fn along[N, M](t: f64[N], _m: f64[M]) -> f64[N, M] = [i, j in 0..M] => t[i] ** f64(j)
    fn across[N, M](t: f64[N], _m: f64[M]) -> f64[M, N] = [j in 0..M, i] => t[i] ** f64(j)
    fn down[N, M](t: f64[N], _m: f64[M]) -> f64[N, M] = [i, j in 0..M] => t[i] ** f64(M - 1 - j)
    fn below[N, M](t: f32[N], _m: f32[M]) -> f32[N, M] =
        [i, j in 0..M] => t[i] ** (-3.0 - f32(2 * j))
    fn far[N, M](t: f32[N], _m: f32[M]) -> f32[N, M] = [i, j in 0..M] => t[i] ** f32(5 * j + 1)
    fn crosses[N, M](t: f64[N], _m: f64[M]) -> f64[N, M] = [i, j in 0..M] => t[i] ** f64(j - 2)
    """
)

EXPONENTS = {
    "along": np.arange,
    "across": np.arange,
    "down": lambda m: np.arange(m)[::-1],
    "below": lambda m: -3 - 2 * np.arange(m),
    "far": lambda m: 5 * np.arange(m) + 1,
}


def operations(name: str, *arguments: Any) -> list[Operation]:
    return list(compiled(getattr(PROGRAM, name), arguments).loops.module.walk())


def powers(ops: list[Operation]) -> list[Operation]:
    return [op for op in ops if isinstance(op, math.Power | math.PowerPartial)]


def test_inner_loops_have_one_product_a_vector() -> None:
    x, t = np.ones(128), np.linspace(-1.0, 1.0, 1000)
    assert not powers(operations("both", x, t))
    loops = [op for op in operations("misfit", x, t) if isinstance(op, loop.For)]
    counts = [
        (op.step, sum(isinstance(each, loop.ExactProduct) for each in op.body)) for op in loops
    ]
    step, products = next((step, n) for step, n in counts if step > 1 and n)
    # The power by the loop's variable is shared by its vectors: a product fewer than it has bits.
    shared = (128 // step - 1).bit_length() - 1
    assert products == step // host().machine.lanes(DType.F64) + shared
    assert powers(operations("crosses", np.ones(4), np.ones(40))), "of either sign"


@pytest.mark.parametrize("name", EXPONENTS)
def test_rounded_once(name: str) -> None:
    dtype = np.float32 if name in ("below", "far") else np.float64
    bits, least = (24, -149) if dtype == np.float32 else (53, -1074)
    rng = np.random.default_rng(0)
    bases = np.concatenate([rng.uniform(-1.3, 1.3, 9), [-3.7, 9.1, 1.007, -0.9991]]).astype(dtype)
    for m in (5, 77, 1600):
        out = np.asarray(getattr(PROGRAM, name)(bases, np.ones(m, dtype)))
        out = (out.T if name == "across" else out)[:, :: 1 + m // 100]
        for (i, j), got in np.ndenumerate(out):
            x, n = bases[i], EXPONENTS[name](m)[j * (1 + m // 100)]
            with mp.workprec(300):
                exact = mpf(float(x)) ** int(n)
                if abs(exact) > mpf(float(np.finfo(dtype).max)):
                    assert np.isinf(got), (x, n)
                    assert (got > 0) == (exact > 0), (x, n)
                    continue
                exponent = mp.frexp(exact)[1] - bits
                # Beside the smallest numbers what a product lacks is itself rounded.
                most = 0.501 if exponent > least + 2 * bits else 1.5
                unit = mpf(2) ** max(exponent, least)
                assert abs(mpf(float(got)) - exact) <= most * unit, (x, n, got)


def test_exceptional_bases() -> None:
    tiny, huge = 5e-324, 1.7e308
    bases = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, tiny, -tiny, huge, -huge])
    single = np.where(abs(bases) == tiny, 1e-45, np.where(abs(bases) == huge, 3e38, bases))
    single = np.copysign(single, bases).astype(np.float32)
    with np.errstate(all="ignore"):
        for name, exponents in EXPONENTS.items():
            given = single if name in ("below", "far") else bases
            wide = given.astype(np.float64)[:, None]
            want = np.power(wide, exponents(40).astype(float)).astype(given.dtype)
            out = np.asarray(getattr(PROGRAM, name)(given, np.ones(40, given.dtype)))
            out = out.T if name == "across" else out
            np.testing.assert_allclose(out, want, rtol=1e-6, err_msg=name)
            np.testing.assert_array_equal(np.signbit(out), np.signbit(want), err_msg=name)


@pytest.mark.parametrize("m", [3, 9, 40, 200])
def test_derivatives(m: int) -> None:
    """Also at 0, and where rows are too short to be summed by themselves."""
    rng = np.random.default_rng(m)
    x, t = rng.standard_normal(m), np.append(rng.uniform(-1.0, 1.0, 60), [0.0, 1.0])
    j = np.arange(m)

    def lowered(order: int) -> Any:
        factor = np.prod([j - i for i in range(order)], axis=0) * np.ones(m)
        return factor * t[:, None] ** np.maximum(j - order, 0)

    value, first, second = (lowered(order) @ x for order in range(3))
    error = np.sign(t) - value
    in_x, in_t = PROGRAM.both(x, t)
    np.testing.assert_allclose(in_x, -2 * error @ lowered(0), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(in_t, -2 * error * first, rtol=1e-9, atol=1e-9 * m)
    bend = 2 * first**2 - 2 * error * second
    np.testing.assert_allclose(PROGRAM.bend(x, t), bend, rtol=1e-8, atol=1e-8 * m**2)


def reduction(dtype: str, n: int, m: int, partial: bool, inner: str) -> str:
    """A sum of powers along the subscript `inner` of two, of which the other is kept."""
    kept = "ij".replace(inner, "")
    names = [kept, inner]
    sizes = {"i": n, "j": m}
    maps = {d: f"affine_map<(d0, d1) -> (d{names.index(d)})>" for d in names}
    order = [names.index("i"), names.index("j")]
    op = "math.power_partial" if partial else "math.power"
    orders = " {base_order = 1, exponent_order = 0}" if partial else ""
    t, out = f"tensor<{n}x{dtype}>", f"tensor<{sizes[kept]}x{dtype}>"
    return f"""
func.func @main(%t: {t}) -> {out} {{
  %r = kernel.generic %t {{combiners = ["add"], maps = [{maps["i"]}, {maps[kept]}],
      order = {order}, reduction = [1], sizes = [{sizes[kept]}, {sizes[inner]}]}}
      : ({t}) -> {out} (%x: tensor<{dtype}>) {{
    %0 = kernel.index {{dim = {names.index("j")}}} : tensor<i64>
    %1 = arith.convert %0 : (tensor<i64>) -> tensor<{dtype}>
    %2 = {op} %x, %1{orders} : tensor<{dtype}>
    kernel.yield %2 : tensor<{dtype}>
  }}, (%3: tensor<{dtype}>) {{
    kernel.yield %3 : tensor<{dtype}>
  }}
  func.return %r : {out}
}}
"""


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.cpu)
def test_interpreters_and_native_code_agree(target: Target) -> None:
    cases = [("f64", 20, 41, False, "j"), ("f64", 33, 20, True, "i"), ("f32", 9, 70, False, "i")]
    for dtype, n, m, partial, inner in cases:
        module = parse_module(reduction(dtype, n, m, partial, inner))
        bases = np.linspace(-1.1, 1.05, n, dtype=np.float32 if dtype == "f32" else np.float64)
        check(module, [bases], target, 1e-6 if dtype == "f32" else 1e-13, plans=(False,))
