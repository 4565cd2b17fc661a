"""What follows cheaply from another result of a kernel is not moved through memory."""

from __future__ import annotations

import numpy as np

import dmc
from dmc.dialects import kernel
from dmc.ir import Interpreter, Module, verify
from dmc.transforms.derive_results import DeriveResults
from tests.lowering.native import compile_native
from tests.transforms.test_join_reductions import kernels

PROGRAM = dmc.loads("""
fn dense[N, M, K](x: f32[N, M], w: f32[M, K], v: f32[K, M]) -> f32 {
    let z = x @ w
    let bent = minimum(maximum(z, -1.0), 1.0)
    let y = (0.5 * maximum(z, -1.0) * tanh(bent * bent)) @ v
    sum(y * y)
}
fn both[N](x: f64[N]) -> (f64[N], f64[N]) {
    let z = exp(x)
    (z, 2.0 * z)
}
fn product[N](x: f64, y: f64[N]) -> f64 =
    sum(sin(cumprod[0](sin([i in 0..N] => hypot(1.0, x))) + y))
fn first[N](x: f64, y: f64[N]) -> f64 {
    let (_, slope) = jvp(product, wrt = x, along = 1.0)(x, y)
    slope
}
fn second[N](x: f64, y: f64[N]) -> f64 {
    let (_, slope) = jvp(first, wrt = x, along = 1.0)(x, y)
    slope
}
fn third[N](x: f64, y: f64[N]) -> f64 {
    let (_, slope) = jvp(second, wrt = x, along = 1.0)(x, y)
    slope
}
""")


def moved(module: Module) -> int:
    """How many arrays are written by kernels, and read again."""
    ops = [op for op in module.walk() if isinstance(op, kernel.Generic)]
    return sum(
        any(isinstance(user, kernel.Generic) for user in v.users) for op in ops for v in op.results
    )


def test_a_gradient_reads_the_argument_of_an_activation_alone() -> None:
    rng = np.random.default_rng(0)
    shapes = ((37, 20), (20, 53), (53, 20))
    arrays = [rng.standard_normal(shape).astype("f4") for shape in shapes]
    f = dmc.value_and_grad(PROGRAM.dense, wrt=("w", "v"))
    derived, apart = (kernels(f, *arrays, without=names) for names in ((), (DeriveResults.name,)))
    verify(derived)
    assert moved(derived) < moved(apart)
    runs = [compile_native(module, planned=True)(*arrays) for module in (derived, apart)]
    bits = [[array.tobytes() for array in outputs] for outputs in runs]
    assert bits[0] == bits[1]


def test_results_of_the_function_are_computed_once() -> None:
    x = np.linspace(-1, 1, 30)
    z, twice = PROGRAM.both(x)
    np.testing.assert_array_equal(twice, 2 * z)
    module = kernels(PROGRAM.both, x)
    (op,) = [op for op in module.walk() if isinstance(op, kernel.Generic)]
    assert len(op.results) == 2


def test_a_kernel_that_reads_a_result_in_two_places() -> None:
    """One of two equal operands goes, and those behind it move."""
    arguments = [np.array(1.0), np.zeros(3)]
    compilation = PROGRAM.third.compile(*arguments).compilation
    (wanted,) = Interpreter(compilation.expanded).call(compilation.entry, arguments)
    np.testing.assert_allclose(compilation.executable(*arguments)[0], wanted, rtol=1e-12)
