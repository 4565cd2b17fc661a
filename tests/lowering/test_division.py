"""Division of integers by constants, of vectors that are known beforehand and of others."""

from __future__ import annotations

import numpy as np
import pytest

import dmc
from dmc.dialects import arith, func
from dmc.driver import Compilation
from dmc.ir import DType, Interpreter, Module, TensorType

DIVISORS = (1, -1, 2, -2, 4, -4, 3, -6, 8, 1024, -(2**31))
ENDS = {"i32": (-(2**31), 2**31 - 1), "i64": (-(2**63), 2**63 - 1)}


@pytest.mark.parametrize("size", [2, 4, 5, 8])
@pytest.mark.parametrize("of", ["c * (c - 1)", "(c + 1) * (c - 1)", "(c - 3) * 2", "c - 2"])
def test_vectors_that_are_known_beforehand(of: str, size: int) -> None:
    """LLVM 20 gave x for x / 2 here."""
    made = [
        f"fn f{i}_{name}() -> i64[{size}] = [c in 0..{size}] => ({of}) {operator} ({divisor})"
        for i, divisor in enumerate(DIVISORS)
        for name, operator in (("quotient", "//"), ("rest", "%"))
    ]
    program = dmc.loads("\n".join(made))
    x = np.array([eval(of, {"c": c}) for c in range(size)])
    for i, divisor in enumerate(DIVISORS):
        np.testing.assert_array_equal(getattr(program, f"f{i}_quotient")(), x // divisor)
        np.testing.assert_array_equal(getattr(program, f"f{i}_rest")(), x % divisor)


@pytest.mark.parametrize("dtype", [DType.I32, DType.I64])
@pytest.mark.parametrize("divisor", DIVISORS)
@pytest.mark.parametrize("operation", [arith.FloorDivide, arith.Remainder, arith.Divide])
def test_every_number(operation: type[arith.FloorDivide], divisor: int, dtype: DType) -> None:
    low, high = ENDS[dtype.value]
    x = np.array([low, low + 1, -9, -8, -3, -2, -1, 0, 1, 2, 3, 8, 9, high - 1, high], dtype.numpy)
    type_ = TensorType(x.shape, dtype)
    module = Module.empty()
    function, builder = func.function(module, "f", [type_])
    by = arith.constant(builder, divisor, type_)
    result = builder.insert(operation([function.body.args[0], by])).results[0]
    func.finish(function, builder, [result])
    (wanted,) = Interpreter(module).call("f", [x])
    (got,) = Compilation(module, "f").executable(x)
    np.testing.assert_array_equal(got, wanted)
