"""Reading the small parts of textual IR that the grammar leaves whole: types and constants.

Every function raises ValueError with a message for the user when the text is not sound.
"""

from __future__ import annotations

import functools
import json
import re
import struct
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from dmc.ir.affine import AffineMap, read_map
from dmc.ir.affine_set import AffineSet, read_set
from dmc.ir.attributes import DenseElements
from dmc.ir.halves import array_of
from dmc.ir.types import (
    Array,
    DType,
    MemRefType,
    ScalarType,
    TapeType,
    TensorType,
    Type,
    VectorType,
)

_SHAPED = re.compile(r"(\w+)<((?:\d+x)*)(\w+)\s*(?:,\s*strided<\[([-\d,\s]*)\]>)?>")
_BITS = re.compile(r"0x[0-9A-Fa-f]+")
_ESCAPE = re.compile(rb'\\([0-9A-Fa-f]{2}|[nt"\\])')
_Tree: TypeAlias = "bool | int | float | str | list[_Tree]"
_NAMED_ESCAPES = {b"n": b"\n", b"t": b"\t", b'"': b'"', b"\\": b"\\"}


def read_string(text: str) -> str:
    """The string that a quoted literal stands for; `\\C3\\A9` are bytes of UTF-8."""
    if "\\" not in text:
        return text[1:-1]

    def plain(match: re.Match[bytes]) -> bytes:
        return _NAMED_ESCAPES.get(match[1]) or bytes.fromhex(match[1].decode())

    try:
        return _ESCAPE.sub(plain, text[1:-1].encode()).decode()
    except UnicodeDecodeError:
        raise ValueError(f"{text} is not UTF-8") from None


@functools.lru_cache(maxsize=4096)
def read_type(text: str) -> Type:
    """A scalar, tensor, vector or memref type."""
    match = _SHAPED.fullmatch(text)
    if match is None:
        return ScalarType(_dtype(text))
    kind, dimensions, element, strides = match.groups()
    shape = tuple(int(n) for n in dimensions.split("x")[:-1])
    dtype = _dtype(element)
    if kind == "memref":
        if strides is None:
            return MemRefType(shape, dtype)
        steps = tuple(int(n) for n in strides.split(",") if n.strip())
        return MemRefType(shape, dtype, steps)
    if strides is not None:
        raise ValueError(f"a {kind} has no strides")
    return TensorType(shape, dtype) if kind == "tensor" else VectorType(shape, dtype)


def tape_of(element: Type) -> TapeType:
    """The type of a tape."""
    if not isinstance(element, TensorType | TapeType):
        raise ValueError(f"a tape keeps tensors, not {element}")
    return TapeType(element)


def _dtype(text: str) -> DType:
    try:
        return DType(text)
    except ValueError:
        raise ValueError(f"`{text}` is not an element type") from None


def read_float_bits(text: str) -> float:
    """An f64 from its bits, `0x7FF0000000000000`."""
    if len(text) != 18:
        raise ValueError("the bits of an f64 are 16 hexadecimal digits")
    return struct.unpack(">d", bytes.fromhex(text[2:]))[0]


def read_integers(text: str) -> tuple[int, ...]:
    """The numbers in `array<i64: 1, 2>`."""
    numbers = text.removeprefix("array<i64").removesuffix(">").lstrip(":")
    try:
        return tuple(int(n) for n in numbers.split(",")) if numbers.strip() else ()
    except ValueError:
        raise ValueError(f"`{text}` is not a list of integers") from None


def read_affine_map(text: str) -> AffineMap:
    """A map, affine (`affine_map<…>`) or with clamps (`#dmc.map<"…">`)."""
    if text.startswith("#"):
        return read_map(text.removeprefix('#dmc.map<"').removesuffix('">'))
    return read_map(text.removeprefix("affine_map<").removesuffix(">"))


def read_affine_set(text: str) -> AffineSet:
    """A set of points (`affine_set<…>`)."""
    return read_set(text.removeprefix("affine_set<").removesuffix(">"))


def read_dense(text: str, type_: Type) -> DenseElements:
    """`dense<…>` of a tensor type: one value for all elements, nested lists, or bytes."""
    if not isinstance(type_, TensorType):
        raise ValueError(f"a dense constant is a tensor, not a {type_}")
    content = text.removeprefix("dense<").removesuffix(">").strip()
    if content.startswith('"'):
        return DenseElements(_from_bytes(content.strip('"'), type_), type_)
    if not content and type_.size == 0:
        return DenseElements(np.empty(type_.shape, type_.dtype.numpy), type_)
    try:
        # Quoted, a hexadecimal number is a JSON string; what is left is JSON as it stands.
        quoted = _BITS.sub(lambda match: f'"{match[0]}"', content)
        tree: _Tree = json.loads(quoted or "[]", parse_constant=_reject)
    except ValueError:
        raise ValueError(f"`{text}` is not a dense constant") from None
    elements = [_element(leaf, type_.dtype) for leaf in _leaves(tree)]
    if not isinstance(tree, list):
        return DenseElements(np.broadcast_to(elements[0], type_.shape), type_)
    if _shape(tree) != type_.shape:
        raise ValueError(f"the elements listed do not form a {type_}")
    return DenseElements(np.stack(elements).reshape(type_.shape), type_)


def _from_bytes(text: str, type_: TensorType) -> Array:
    try:
        data = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise ValueError("the bytes of a constant are hexadecimal digits") from None
    if len(data) != type_.bytes or type_.dtype is DType.BOOL:
        raise ValueError(f"{len(data)} bytes are not a {type_}")
    array = np.frombuffer(data, _little(type_.dtype)).reshape(type_.shape)
    return array.astype(type_.dtype.numpy)


def _reject(name: str) -> float:
    raise ValueError(f"{name} is written as bits")


def _leaves(tree: _Tree) -> Iterator[bool | int | float | str]:
    if isinstance(tree, list):
        for item in tree:
            yield from _leaves(item)
    else:
        yield tree


def _shape(tree: _Tree) -> tuple[int, ...] | None:
    """The shape of nested lists, or None when they are ragged."""
    if not isinstance(tree, list):
        return ()
    inner = {_shape(item) for item in tree}
    if len(inner) > 1:
        return None
    shape = inner.pop() if inner else ()
    return None if shape is None else (len(tree), *shape)


def _element(leaf: bool | int | float | str, dtype: DType) -> Array:
    """A 0-d array of `dtype`; a string holds the bits of a float."""
    if isinstance(leaf, str):
        if not dtype.is_float or len(leaf) != 2 + 2 * dtype.bytes:
            raise ValueError(f"`{leaf}` is not the bits of an {dtype.value}")
        return np.array(np.frombuffer(bytes.fromhex(leaf[2:])[::-1], _little(dtype))[0])
    is_right = {bool: dtype is DType.BOOL, int: dtype.is_integer, float: dtype.is_float}
    if not is_right[type(leaf)]:
        raise ValueError(f"`{json.dumps(leaf)}` is not an {dtype.value}")
    try:
        return array_of(leaf, dtype)
    except OverflowError:
        raise ValueError(f"{leaf} does not fit an {dtype.value}") from None


def _little(dtype: DType) -> np.dtype[np.generic]:
    return dtype.numpy.newbyteorder("<")
