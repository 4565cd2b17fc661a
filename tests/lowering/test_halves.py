"""f16 and bf16: conversions in every bit, and native code of every operation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import pytest

from dmc.dialects import arith
from dmc.driver import Compilation
from dmc.ir import Array, Builder, DType, Interpreter, Module, Value, tensor
from dmc.ir.halves import rounded
from dmc.jit.engine import Engine
from dmc.jit.target import Target, named
from tests.dialects.checks import Sample, floats_of
from tests.dialects.op_table import ROWS
from tests.transforms.programs import add_function

HALVES = (DType.F16, DType.BF16)
BITS = {DType.F16: (11, -24, 65504.0), DType.BF16: (8, -133, 2.0**128 - 2.0**120)}
"""Digits, the exponent of the smallest number, and the largest."""


def nearest(number: Fraction, dtype: DType) -> float:
    """The number of the type that is nearest to an exact one, ties to even."""
    digits, least, largest = BITS[dtype]
    if number == 0:
        return 0.0
    size = abs(number)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= size < Fraction(2) ** exponent
    unit = Fraction(2) ** max(exponent - digits + 1, least)
    found = round(size / unit) * unit  # ties to even
    value = float("inf") if found > largest else float(found)
    return -value if number < 0 else value


def between(dtype: DType) -> Array:
    """Numbers of the type in f64, the middles of neighbours, and what lies just beside those."""
    with np.errstate(invalid="ignore"):
        every = np.arange(0, 1 << 16, 37).astype(np.uint16).view(dtype.numpy).astype(np.float64)
    finite = np.sort(every[np.isfinite(every)])
    digits, least, _ = BITS[dtype]
    unit = np.maximum(np.exp2(np.frexp(finite)[1] - digits), 2.0**least)
    middles = finite + unit / 2
    beside = [np.nextafter(middles, away) for away in (np.inf, -np.inf)]
    special = [0.0, -0.0, 5e-324, -1e-310, 1e300, -1e300, 2.0**-25, 65520.0, 3.4e38]
    return np.concatenate([finite, middles, *beside, special])


def whole() -> Array:
    """Integers of up to 64 bits, near ties of 8 digits."""
    ties = [sign * ((257 << s) + d) for s in range(54) for d in (-1, 0, 1) for sign in (1, -1)]
    return np.array([*ties, 0, 2**63 - 1, -(2**63)], np.int64)


def test_rounding_is_that_of_exact_numbers() -> None:
    for dtype in HALVES:
        for numbers in (between(dtype), whole()):
            got = rounded(numbers, dtype).astype(np.float64)
            wanted = [nearest(Fraction(n.item()), dtype) for n in numbers]
            np.testing.assert_array_equal(got, wanted)


def converting(source: DType, target: DType, count: int) -> Module:
    module = Module.empty()
    shape = tensor(source, count)
    add_function(module, "f", [shape], lambda b, v: [arith.convert(b, v[0], target)])
    return module


def bits(array: Array) -> Array:
    """The bits of numbers, all NaN alike."""
    integers = {2: np.uint16, 4: np.uint32, 8: np.uint64}[array.dtype.itemsize]
    with np.errstate(invalid="ignore"):
        return np.where(np.isnan(array.astype(np.float64)), 1, array.view(integers))


def targets() -> list[Target]:
    """With and without instructions that convert f16, as far as they run here."""
    return [target for name in ("native", "x86-64-v2") if (target := named(name)).is_host]


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.cpu)
def test_native_conversions(target: Target) -> None:
    engine = Engine(target)
    for dtype in HALVES:
        f64 = np.concatenate([between(dtype), [np.nan, np.inf, -np.inf]])
        with np.errstate(all="ignore"):
            narrow = f64.astype(np.float32)
        every = np.arange(1 << 16, dtype=np.uint16).view(dtype.numpy)
        other = next(half for half in HALVES if half is not dtype)
        given = [(DType.F64, dtype, f64), (DType.F32, dtype, narrow), (DType.I64, dtype, whole())]
        given += [(dtype, to, every) for to in (DType.F32, DType.F64, DType.I32, other)]
        for source, to, array in given:
            module = converting(source, to, array.size)
            (got,) = Compilation(module, "f", engine=engine).executable(array)
            (wanted,) = Interpreter(module).call("f", [array])
            if to.is_float:
                got, wanted = bits(got), bits(wanted)
            np.testing.assert_array_equal(got, wanted, f"{source} to {to}")


def some_rows(dtype: DType) -> Iterator[list[Sample]]:
    """The samples with floats of the type, in groups that are compiled as one."""
    rows = [row.with_dtype(dtype) for row in ROWS if floats_of(row) and row.op != "arith.convert"]
    for start in range(0, len(rows), 32):
        yield rows[start : start + 32]


@pytest.mark.parametrize("dtype", HALVES, ids=repr)
def test_every_operation(dtype: DType) -> None:
    """Native code and the interpreter differ by a rounding at most, where functions do in f32."""
    for rows in some_rows(dtype):
        types = [draw.type for row in rows for draw in row.inputs]
        owners: list[Sample] = []

        def code(
            builder: Builder,
            values: list[Value],
            rows: list[Sample] = rows,
            owners: list[Sample] = owners,
        ) -> Sequence[Value]:
            left, out = iter(values), list[Value]()
            for row in rows:
                made = row.build(builder, *(next(left) for _ in row.inputs))
                made = [made] if isinstance(made, Value) else list(made)
                out += made
                owners += [row] * len(made)
            return out

        module = Module.empty()
        add_function(module, "f", types, code)
        arrays = [array for row in rows for array in row.arrays()]
        wanted = Interpreter(module).call("f", arrays)
        got = Compilation(module, "f").executable(*arrays)
        for row, mine, expected in zip(owners, got, wanted, strict=True):
            assert mine.dtype == expected.dtype, row
            if mine.dtype == dtype.numpy:
                unit = 2.0 ** (1 - BITS[dtype][0])
                mine, expected = mine.astype(np.float64), expected.astype(np.float64)
                np.testing.assert_allclose(mine, expected, unit, unit, err_msg=str(row))
            else:
                np.testing.assert_array_equal(mine, expected, str(row))


@pytest.mark.parametrize("name", ["generic", "x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64"])
def test_no_library_function_is_called(name: str) -> None:
    engine = Engine(named(name))
    for half in HALVES:
        for source, to in ((DType.F64, half), (DType.I64, half), (half, DType.F64), (half, half)):
            module = Module.empty()

            def code(builder: Builder, values: list[Value], to: DType = to) -> Sequence[Value]:
                x = arith.convert(builder, values[0], to)
                return [arith.add(builder, x, x)]

            add_function(module, "f", [tensor(source, 37)], code)
            text = engine.assembly(Compilation(module, "f", engine=engine).llvm_text)
            assert not re.search(r"__\w*(half|h[fi]2|2h|bf2|hf2|sf2|df2)", text), (source, to)
