"""Buffers that a caller gives up, so that a result may be written over them."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.lib.array_utils import byte_bounds

from dmc.ir.types import Array
from dmc_runtime.arguments import shallow
from dmc_runtime.records import Record, tree_map


@dataclass(frozen=True, slots=True)
class Donated:
    """A value whose arrays the caller does not need any more; made by `dmc.donate`."""

    value: Any


def donate(value: Any) -> Any:
    """Give up the arrays of an argument: `step(dmc.donate(net), …)`, `step(…, donate="net")`.

    The function may write its results over them. A later call that is given one of them, or a view
    of one, raises dmc.Error (`call.donated`).
    """
    return value if isinstance(value, Donated) else Donated(value)


@dataclass(slots=True)
class _Memory:
    """What was given up of the memory of an array: from one address up to another."""

    owner: weakref.ref[Array]
    parts: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])


class GivenUp:
    """The memory that was donated, for as long as the array that it belonged to is around."""

    def __init__(self) -> None:
        self._memory: dict[int, _Memory] = {}

    def __len__(self) -> int:
        return len(self._memory)

    def __contains__(self, array: Array) -> bool:
        """Whether any of it is memory that was given up, as this array or another view of it."""
        memory = self._memory.get(id(_owner(array)))
        if memory is None:
            return False
        start, stop = byte_bounds(array)
        return any(low < stop and start < high for low, high in memory.parts)

    def add(self, arrays: Iterable[Array]) -> None:
        """Give up the memory of arrays; what `successor` makes of one is not meant."""
        for array in arrays:
            owner = _owner(array)
            key = id(owner)
            memory = self._memory.get(key)
            if memory is None:
                reference = weakref.ref(owner, lambda _, key=key: self._forget(key))
                memory = self._memory[key] = _Memory(reference)
            memory.parts.append(byte_bounds(array))

    def _forget(self, key: int) -> None:
        self._memory.pop(key, None)


GIVEN_UP = GivenUp()


def _owner(array: Array) -> Array:
    """The array that the memory of a view belongs to."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def successor(array: Array) -> Array:
    """An array in the memory of a donated one, which owns it from now on.

    It holds the memory as a buffer, so that its views are told from those of the donated array.
    """
    lent: Any = array.base
    if not _is_lent(lent):
        lent = (ctypes.c_byte * array.nbytes).from_buffer(cast("Any", array))
    return np.ndarray(array.shape, array.dtype, lent)


def _is_lent(base: object) -> bool:
    return isinstance(base, ctypes.Array)


def can_be_donated(array: Array) -> bool:
    """Whether compiled code may write over it."""
    flags = array.flags
    return flags.c_contiguous and flags.aligned and flags.writeable


def kept(value: Any, *, is_donated: bool = False) -> Any:
    """A value that its owner can no longer change: arrays are copied, records are shared.

    A record that may be donated is copied, too.
    """
    with shallow("an argument"):
        return _kept(value, is_donated)


def _kept(value: Any, is_donated: bool = False) -> Any:
    if isinstance(value, Donated):
        return _kept(value.value, is_donated=True)
    if isinstance(value, Record) and is_donated:
        return tree_map(_kept, value)
    if isinstance(value, np.ndarray):
        return cast("Array", value).copy()
    return tuple(map(_kept, cast("tuple[Any, ...]", value))) if isinstance(value, tuple) else value
