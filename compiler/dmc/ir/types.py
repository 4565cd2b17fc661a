"""Types of values. All are immutable and compare by structure."""

from __future__ import annotations

import enum
import importlib
import importlib.util
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
"""Any NumPy array: the runtime dtype of interpreted values is not known statically."""


class DType(enum.Enum):
    """Element types, by their name in the textual IR (MLIR's builtin names)."""

    F16 = "f16"
    BF16 = "bf16"
    F32 = "f32"
    F64 = "f64"
    I8 = "i8"
    I32 = "i32"
    I64 = "i64"
    BOOL = "i1"

    __hash__ = object.__hash__
    """Members are compared by identity; the hash that enums have by themselves is slow."""

    @property
    def is_float(self) -> bool:
        return self in _FLOATS

    @property
    def is_integer(self) -> bool:
        """True of the integers; `BOOL` is neither integer nor float."""
        return self in _INTEGERS

    @property
    def bytes(self) -> int:
        """Size in memory; a `BOOL` takes one byte."""
        return _BYTES[self]

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The NumPy dtype with the same values.

        That of `BF16` is of the package `ml_dtypes`. Raises ModuleNotFoundError without it.
        """
        return _bfloat16() if self is DType.BF16 else _NUMPY[self]

    @property
    def is_half(self) -> bool:
        """Whether it is a float of 16 bits, which is stored but not computed with."""
        return self in _HALVES

    @property
    def wide(self) -> DType:
        """What numbers of the type are computed in: f32 for those of 16 bits, else the type."""
        return DType.F32 if self in _HALVES else self

    @staticmethod
    def of(dtype: np.dtype[np.generic]) -> DType:
        """The element type of a native NumPy dtype. Raises KeyError when there is none."""
        return DType.BF16 if dtype.name == "bfloat16" else _FROM_NUMPY[dtype]

    def __repr__(self) -> str:
        return self.value


_FLOATS = frozenset({DType.F16, DType.BF16, DType.F32, DType.F64})
_HALVES = frozenset({DType.F16, DType.BF16})
_INTEGERS = frozenset({DType.I8, DType.I32, DType.I64})
_BYTES = {
    DType.F16: 2,
    DType.BF16: 2,
    DType.F32: 4,
    DType.F64: 8,
    DType.I8: 1,
    DType.I32: 4,
    DType.I64: 8,
    DType.BOOL: 1,
}
_NUMPY: dict[DType, np.dtype[np.generic]] = {
    DType.F16: np.dtype(np.float16),
    DType.F32: np.dtype(np.float32),
    DType.F64: np.dtype(np.float64),
    DType.I8: np.dtype(np.int8),
    DType.I32: np.dtype(np.int32),
    DType.I64: np.dtype(np.int64),
    DType.BOOL: np.dtype(np.bool_),
}
_FROM_NUMPY = {dtype: element for element, dtype in _NUMPY.items()}


@cache
def has_bfloat16() -> bool:
    """Whether the package is installed that has arrays of bf16."""
    return importlib.util.find_spec("ml_dtypes") is not None


@cache
def _bfloat16() -> np.dtype[np.generic]:
    return np.dtype(importlib.import_module("ml_dtypes").bfloat16)


@dataclass(frozen=True, slots=True, repr=False)
class Type:
    """Base of all types; `str` gives the textual form."""

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True, repr=False)
class ScalarType(Type):
    """One element held in a register: `f32`."""

    dtype: DType

    def __str__(self) -> str:
        return self.dtype.value


@dataclass(frozen=True, slots=True, repr=False)
class ShapedType(Type):
    """Elements of one type over a static shape."""

    shape: tuple[int, ...]
    dtype: DType

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.size * self.dtype.bytes

    def _dimensions(self) -> str:
        return "".join(f"{n}x" for n in self.shape) + self.dtype.value


@dataclass(frozen=True, slots=True, repr=False)
class TensorType(ShapedType):
    """An immutable array value: `tensor<2x3xf32>`; `tensor<f32>` is a scalar at tensor level."""

    def __str__(self) -> str:
        return f"tensor<{self._dimensions()}>"


@dataclass(frozen=True, slots=True, repr=False)
class VectorType(ShapedType):
    """A SIMD value: `vector<16xf32>`."""

    def __str__(self) -> str:
        return f"vector<{self._dimensions()}>"


@dataclass(frozen=True, slots=True, repr=False)
class MemRefType(ShapedType):
    """A buffer in memory. `strides` (in elements) is None for the contiguous row-major layout."""

    strides: tuple[int, ...] | None = None

    def __str__(self) -> str:
        if self.strides is None:
            return f"memref<{self._dimensions()}>"
        strides = ", ".join(map(str, self.strides))
        return f"memref<{self._dimensions()}, strided<[{strides}]>>"


@dataclass(frozen=True, slots=True, repr=False)
class TapeType(Type):
    """What a loop has kept of each iteration that it ran: `!dmc.tape<tensor<2xf32>>`.

    How many there are is known only at run time.
    """

    element: TensorType | TapeType

    def __str__(self) -> str:
        return f"!dmc.tape<{self.element}>"


@dataclass(frozen=True, slots=True, repr=False)
class FunctionType(Type):
    """`(inputs) -> (results)`."""

    inputs: tuple[Type, ...]
    results: tuple[Type, ...]

    def __str__(self) -> str:
        inputs = ", ".join(map(str, self.inputs))
        results = ", ".join(map(str, self.results))
        return f"({inputs}) -> ({results})"


def tensor(dtype: DType, *shape: int) -> TensorType:
    """`tensor(DType.F32, 2, 3)` is `tensor<2x3xf32>`."""
    return TensorType(shape, dtype)


def dtype_of(type_: Type) -> DType:
    """The element type of a scalar, shaped type or tape. Raises TypeError for a function type."""
    if isinstance(type_, (ShapedType, ScalarType)):
        return type_.dtype
    if isinstance(type_, TapeType):
        return dtype_of(type_.element)
    raise TypeError(f"{type_} has no element type")


def shape_of(type_: Type) -> tuple[int, ...]:
    """The shape of a shaped type; that of a scalar or tape is empty.

    Raises TypeError for a function type.
    """
    if isinstance(type_, ShapedType):
        return type_.shape
    if isinstance(type_, ScalarType | TapeType):
        return ()
    raise TypeError(f"{type_} has no shape")


def with_dtype(type_: Type, dtype: DType) -> Type:
    """`type_` with another element type; `compare` turns vectors into vectors of `i1` so."""
    match type_:
        case ScalarType():
            return ScalarType(dtype)
        case TensorType(shape, _):
            return TensorType(shape, dtype)
        case VectorType(shape, _):
            return VectorType(shape, dtype)
        case _:
            raise TypeError(f"{type_} has no element type to replace")


def conforms(array: Array, type_: Type) -> bool:
    """Whether a computed array may stand for a value of the type."""
    match type_:
        case ScalarType(dtype):
            shape: tuple[int, ...] = ()
        case ShapedType(shape, dtype):
            pass
        case _:
            return True
    return array.shape == shape and array.dtype == dtype.numpy
