"""Attributes: the constants an operation carries. They are immutable Python values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dmc.ir.affine import AffineMap
from dmc.ir.affine_set import AffineSet
from dmc.ir.halves import array_of
from dmc.ir.types import Array, TensorType, Type


class DenseElements:
    """A constant array, compared bit for bit (so NaN equals itself and 0.0 differs from -0.0)."""

    __slots__ = ("_bytes", "_hash", "array", "splat_value", "type")

    def __init__(self, array: Array, type_: TensorType) -> None:
        """`array` must have the shape and dtype of `type_`; it is copied and made read-only."""
        if array.shape != type_.shape or array.dtype != type_.dtype.numpy:
            raise ValueError(f"{array.dtype}{array.shape} is not a {type_}")
        # A splat keeps its one element: a broadcast view costs no memory.
        is_broadcast = array.size > 1 and all(stride == 0 for stride in array.strides)
        self.array: Array = array if is_broadcast else np.array(array, order="C")
        self.array.flags.writeable = False
        self.type = type_
        self._hash: int | None = None
        self._bytes: bytes | None = None
        self.splat_value = _common(self.array)
        """The value of all elements, or None when they differ or there are none."""

    @staticmethod
    def splat(value: float | int | bool, type_: TensorType) -> DenseElements:
        """Every element equal to `value`."""
        element = array_of(value, type_.dtype)
        return DenseElements(np.broadcast_to(element, type_.shape), type_)

    def _key(self) -> bytes:
        """The bytes of the elements, of a splat only one."""
        if self.splat_value is None:
            return self.array.tobytes()
        if self._bytes is None:
            self._bytes = self.array.reshape(-1)[:1].tobytes()
        return self._bytes

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DenseElements):
            return NotImplemented
        return self is other or (
            self.type == other.type
            and hash(self) == hash(other)
            and (self.splat_value is None) == (other.splat_value is None)
            and self._key() == other._key()
        )

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((self.type, self._key()))
        return self._hash

    def __repr__(self) -> str:
        return f"dense<{self.array.tolist()}> : {self.type}"


def _common(array: Array) -> float | int | bool | None:
    """The value that all elements have, bit for bit."""
    if array.size == 0:
        return None
    if array.size > 1 and any(array.strides):
        data = array.reshape(-1).view(np.uint8).reshape(array.size, -1)
        if not bool((data == data[0]).all()):
            return None
    return array.item(0)


@dataclass(frozen=True, slots=True)
class SymbolRef:
    """A reference to a named function: `@loss`."""

    name: str

    def __str__(self) -> str:
        return f"@{self.name}"


@dataclass(frozen=True, slots=True)
class ArrayAttr:
    """An ordered list of attributes: `[affine_map<…>, "add"]`."""

    items: tuple[Attribute, ...]


Attribute = (
    bool
    | int
    | float
    | str
    | tuple[int, ...]
    | Type
    | DenseElements
    | SymbolRef
    | AffineMap
    | AffineSet
    | ArrayAttr
)
