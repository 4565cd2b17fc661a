"""Guarded and masked contractions: native code against the interpreter, where it matters."""

from __future__ import annotations

import numpy as np
import pytest

from dmc.dialects import func, kernel, tensor
from dmc.driver import Compilation
from dmc.ir import Array, Builder, DType, Interpreter, TensorType, Value
from tests.transforms.programs import program

SIZES = [(1, 1, 1), (3, 5, 2), (13, 40, 70), (70, 33, 9), (4, 5000, 40), (40, 17, 1)]


def operands(sizes: tuple[int, int, int], dtype: DType) -> tuple[Array, Array, Array]:
    """Zeros on both sides, infinities and NaN; what is not selected is worst."""
    m, k, n = sizes
    rng = np.random.default_rng(m + k + n)
    x, y = rng.normal(size=(m, k)), rng.normal(size=(k, n))
    chosen = rng.random((m, k)) > 0.3
    bad = rng.random(k) > 0.7
    x[:, bad] = 0.0
    chosen[::2, bad] = False
    y[bad] = rng.choice([np.inf, -np.inf, np.nan, 1.0], size=(int(bad.sum()), n))
    x[rng.random(m) > 0.9] = np.nan
    return x.astype(dtype.numpy), y.astype(dtype.numpy), chosen


NEITHER, LEFT, RIGHT, BOTH = (False, False), (True, False), (False, True), (True, True)
GUARDS = [(LEFT, False), (RIGHT, False), (BOTH, False), (NEITHER, True), (LEFT, True)]
"""Whose zeros absorb, and whether there is a mask."""
LAYOUTS = [(DType.F64, 0, 0), (DType.F64, 0, 1), (DType.F64, 1, 0), (DType.F32, 1, 1)]


@pytest.mark.parametrize(("absorb", "selected"), GUARDS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_native_code(
    sizes: tuple[int, int, int], absorb: tuple[bool, bool], selected: bool
) -> None:
    """In each layout of both operands, since each takes another way through the schedule."""
    for dtype, left, right in LAYOUTS:
        x, y, chosen = operands(sizes, dtype)
        types = [
            TensorType(x.shape[:: 1 - 2 * left], dtype),
            TensorType(y.shape[:: 1 - 2 * right], dtype),
        ]
        types += [TensorType(types[0].shape, DType.BOOL)] if selected else []

        def code(
            b: Builder, args: list[Value], left: int = left, right: int = right
        ) -> list[Value]:
            lhs, rhs, *mask = args
            contracting = ([1 - left], [right])
            return [tensor.dot_general(b, lhs, rhs, ([], []), contracting, absorb, mask)]

        given = [x.T if left else x, y.T if right else y, chosen.T if left else chosen]
        arrays = [np.ascontiguousarray(a) for a in given[: len(types)]]
        module = program(types, code)
        (wanted,) = Interpreter(module).call("main", arrays)
        (got,) = Compilation(module, "main").executable(*arrays)
        rtol, atol = (1e-9, 1e-10) if dtype is DType.F64 else (1e-3, 1e-3)
        np.testing.assert_allclose(got, wanted, rtol, atol)


def test_the_kernel_stays_a_contraction() -> None:
    """A mask does not make a contraction a plain reduction."""
    f64 = DType.F64
    types = [TensorType((40, 50), f64), TensorType((50, 60), f64), TensorType((40, 50), DType.BOOL)]

    def code(b: Builder, args: list[Value]) -> list[Value]:
        lhs, rhs, mask = args
        return [tensor.dot_general(b, lhs, rhs, ([], []), ([1], [0]), (False, False), [mask])]

    kernels = Compilation(program(types, code), "main").kernels
    found = [op for op in func.lookup(kernels, "main").walk() if isinstance(op, kernel.Generic)]
    assert any(op.contraction() is not None for op in found)
