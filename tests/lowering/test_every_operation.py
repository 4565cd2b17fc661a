"""Native code of every operation against the interpreter: sample rows, and special values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from dmc.dialects import arith, func
from dmc.driver import Compilation
from dmc.ir import (
    Array,
    Builder,
    DType,
    Interpreter,
    Module,
    Operation,
    TensorType,
    Trait,
    Value,
)
from dmc.transforms.canonicalize import Canonicalize
from dmc.transforms.dce import Dce
from tests.dialects.checks import Sample, floats_of
from tests.dialects.op_table import ROWS
from tests.transforms.programs import add_function

FLOATS = (DType.F64, DType.F32)
TOLERANCES = {np.dtype("f8"): 1e-13, np.dtype("f4"): 1e-6}
RUN = [
    (row.with_dtype(dtype), dtype)
    for row in ROWS
    for dtype in (FLOATS if floats_of(row) and row.op != "arith.convert" else FLOATS[:1])
]


def values_of(made: Value | tuple[Value, ...]) -> Sequence[Value]:
    return [made] if isinstance(made, Value) else made


def both(sample: Sample, types: Sequence[TensorType], arrays: Sequence[Array]) -> list[list[Array]]:
    """Results of native code and of the interpreter."""

    def code(builder: Builder, values: list[Value]) -> Sequence[Value]:
        return values_of(sample.build(builder, *values))

    module = Module.empty()
    add_function(module, "f", types, code)
    with np.errstate(all="ignore"):
        wanted = Interpreter(module).call("f", list(arrays))
    return [list(Compilation(module, "f").executable(*arrays)), wanted]


def same(got: Array, wanted: Array, tiny: float = 0.0) -> None:
    assert got.dtype == wanted.dtype
    if got.dtype.kind != "f":
        np.testing.assert_array_equal(got, wanted)
    else:
        np.testing.assert_allclose(got, wanted, TOLERANCES[got.dtype], tiny)


@pytest.mark.parametrize(("row", "dtype"), RUN, ids=str)
def test_rows(row: Sample, dtype: DType) -> None:
    arrays = row.arrays()
    got, wanted = both(row, [draw.type for draw in row.inputs], arrays)
    for mine, expected in zip(got, wanted, strict=True):
        # Operands are of order one, so what is far below that is a cancellation.
        same(mine, expected, tiny=TOLERANCES.get(mine.dtype, 0.0))


EDGES = {
    DType.F64: [
        *(5e-324, -5e-324, 1e-310, 2.0**-1022, -1e-300, 1e308, -1e308, 2.0**53 + 2, 1e17, 1e15),
        *(1 / 3, 700.0, -746.0, np.finfo(np.float64).max),
    ],
    DType.F32: [
        *(1e-45, -1e-45, 1e-40, 2.0**-126, -1e-35, 3e38, -3e38, 2.0**24, 1e10, 1e7),
        *(1 / 3, 88.0, -104.0, np.finfo(np.float32).max),
    ],
    DType.I64: [2**63 - 1, -(2**63), 1 - 2**63, 63, 64, 65],
    DType.I32: [2**31 - 1, -(2**31), 1 - 2**31, 31, 32, 33],
}
COMMON = [0.0, 1.0, -1.0, 3.0, -3.0, 7.0, -7.0]
FLOATING = [-0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 0.1, 0.2, 6.0, 1e-20, np.inf, -np.inf, np.nan]

GAMMA = ("math.lgamma", "math.digamma", "math.trigamma", "math.polygamma")
"""Natively a negative number next to their pole at 0 is the pole."""

ROUNDED = frozenset(
    name
    for name in Operation.registry
    if name.startswith("math.") and name.split(".")[1] not in ("floor", "ceil", "round", "sqrt")
)
"""Polynomials natively, the C library's functions in the interpreter; all others are exact."""


def elementwise_rows() -> list[tuple[Sample, DType]]:
    """One row of each elementwise operation for each dtype that all its operands can have."""
    chosen: dict[tuple[str, str, DType], tuple[Sample, DType]] = {}
    for row in ROWS:
        if row.op.startswith("random."):
            continue  # positions, not any integers
        dtypes = {draw.dtype for draw in row.inputs}
        if Trait.ELEMENTWISE not in Operation.registry[row.op].traits or len(dtypes) != 1:
            continue
        (own,) = dtypes
        kinds = ("arith.compare", "arith.convert", "math.polygamma", "math.power_partial")
        kind = row.label if row.op in kinds else ""
        for dtype in FLOATS if own.is_float and row.op != "arith.convert" else (own,):
            if dtype in EDGES:
                chosen.setdefault((row.op, kind, dtype), (row.with_dtype(dtype), dtype))
    return list(chosen.values())


def special_operands(row: Sample, dtype: DType) -> list[Array]:
    """Every pair of zeros, infinities, NaN, subnormal numbers, halves and the ends of the range."""
    values = [*COMMON, *(FLOATING if dtype.is_float else []), *EDGES[dtype]]
    if row.op in GAMMA:
        values = [x for x in values if not -1e-20 < x < 0]
    grids = np.meshgrid(*[np.array(values, dtype.numpy)] * len(row.inputs))
    return [grid.ravel().copy() for grid in grids]


def identical(got: Array, wanted: Array) -> None:
    """The same numbers and signs of zeros; NaN is NaN."""
    np.testing.assert_array_equal(got, wanted)
    if got.dtype.kind == "f":
        number = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(wanted[number]))


@pytest.mark.parametrize(("row", "dtype"), elementwise_rows(), ids=str)
def test_special_values(row: Sample, dtype: DType) -> None:
    """Native code of vectors and of scalars, and folded constants, as the interpreter has it."""
    arrays = special_operands(row, dtype)
    (got,), (wanted,) = both(row, [TensorType(array.shape, dtype) for array in arrays], arrays)
    (folded,) = fold(row, arrays)
    identical(folded, wanted)
    scalars = scalar_results(row, dtype, arrays)
    if row.op in ROUNDED:
        smallest = {DType.F64: 5e-324, DType.F32: 1.5e-45}.get(dtype, 0.0)
        same(got, wanted, tiny=4 * smallest)
    else:
        identical(got, wanted)
    identical(scalars, got)


def fold(row: Sample, arrays: Sequence[Array]) -> list[Array]:
    """What canonicalization makes of the operation on constants."""

    def code(builder: Builder, _: list[Value]) -> Sequence[Value]:
        types = [TensorType(array.shape, DType.of(array.dtype)) for array in arrays]
        constants = [arith.constant(builder, a, t) for a, t in zip(arrays, types, strict=True)]
        return values_of(row.build(builder, *constants))

    module = Module.empty()
    add_function(module, "f", [], code)
    Canonicalize().run(module)
    Dce().run(module)
    assert [op.name for op in func.lookup(module, "f").body] == ["arith.constant", "func.return"]
    return Interpreter(module).call("f", [])


def scalar_results(row: Sample, dtype: DType, arrays: Sequence[Array]) -> Array:
    """Native code of the operation on single numbers."""

    def code(builder: Builder, values: list[Value]) -> Sequence[Value]:
        return values_of(row.build(builder, *values))

    module = Module.empty()
    add_function(module, "f", [TensorType((), dtype)] * len(arrays), code)
    executable = Compilation(module, "f").executable
    points = zip(*arrays, strict=True)
    return np.array([executable(*(np.asarray(x) for x in point))[0] for point in points])


def test_a_wrong_zero_is_found() -> None:
    """The checks can fail: of a zero's sign, and of one bit."""
    with pytest.raises(AssertionError):
        identical(np.array([0.0]), np.array([-0.0]))
    with pytest.raises(AssertionError):
        identical(np.array([1.0]), np.array([1.0 + 2**-52]))
