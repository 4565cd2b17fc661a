"""LLVM types and constants of loop-level values."""

from __future__ import annotations

from functools import cache

import numpy as np

from dmc.ir.halves import rounded
from dmc.ir.types import DType, MemRefType, ScalarType, Type, VectorType, dtype_of
from dmc.lowering import llvm_ir as ir

POINTER = ir.PointerType()
I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
HALF, F32, F64 = ir.HalfType(), ir.FloatType(), ir.DoubleType()
VOID = ir.VoidType()

_ELEMENTS: dict[DType, ir.Type] = {
    DType.F16: I16,
    DType.BF16: I16,
    DType.F32: F32,
    DType.F64: F64,
    DType.I8: I8,
    DType.I32: I32,
    DType.I64: I64,
    DType.BOOL: I1,
}


def element(dtype: DType) -> ir.Type:
    """The type of one element in a register; f16 and bf16 are there as their bits."""
    return _ELEMENTS[dtype]


def stored(dtype: DType) -> ir.Type:
    """The type of one element in memory: a bool takes a byte."""
    return I8 if dtype is DType.BOOL else element(dtype)


def shaped(element_type: ir.Type, lanes: int) -> ir.Type:
    """A vector of elements; the element itself for one lane."""
    return element_type if lanes == 1 else ir.VectorType(element_type, lanes)


def lanes_of(type_: Type) -> int:
    """The lanes of a vector; 1 for a scalar."""
    return type_.shape[0] if isinstance(type_, VectorType) else 1


def llvm_type(type_: Type) -> ir.Type:
    """The LLVM type of a loop-level value: a memref is the address of its first element."""
    match type_:
        case MemRefType():
            return POINTER
        case ScalarType(dtype):
            return element(dtype)
        case VectorType((lanes,), dtype):
            return ir.VectorType(element(dtype), lanes)
        case _:
            raise TypeError(f"{type_} does not exist at loop level")


def integer(value: int, type_: ir.Type = I64) -> ir.Constant:
    """An integer constant."""
    return ir.Constant(type_, value)


def repeated(scalar: ir.Constant, lanes: int) -> ir.Constant:
    """One constant in every lane."""
    return ir.Literal(ir.VectorType(scalar.type, lanes), f"splat ({scalar})")


@cache
def lane_numbers(numbers: tuple[int, ...]) -> ir.Constant:
    """A vector of `i32`, as shuffles want them."""
    return ir.Constant(ir.VectorType(I32, len(numbers)), list(numbers))


def splat(value: float | int | bool, type_: Type) -> ir.Constant:
    """A constant scalar, or vector with it in every lane."""
    dtype = dtype_of(type_)
    if dtype.is_half:
        value = int(rounded(np.asarray(value), dtype).view(np.uint16))
    else:
        value = float(value) if dtype.is_float else int(value)
    scalar = ir.Constant(element(dtype), value)
    return repeated(scalar, lanes_of(type_)) if isinstance(type_, VectorType) else scalar
