"""Buffers that a caller gives up, so that a result may be written over them."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dmc.ir.types import Array


@dataclass(frozen=True, slots=True)
class Donated:
    """A value whose arrays the caller does not need any more; made by `dmc.donate`."""

    value: Any


def donate(value: Any) -> Any:
    """Give up the arrays of an argument: `step(dmc.donate(net), …)`, `step(…, donate="net")`.

    The function may write its results over them. A later call that is given one of them raises
    dmc.Error (`call.donated`).
    """
    return value if isinstance(value, Donated) else Donated(value)


class GivenUp:
    """The arrays that were donated and are still around, by identity."""

    def __init__(self) -> None:
        self._arrays: dict[int, weakref.ref[Array]] = {}

    def __len__(self) -> int:
        return len(self._arrays)

    def __contains__(self, array: Array) -> bool:
        return id(array) in self._arrays

    def add(self, arrays: Iterable[Array]) -> None:
        """Remember arrays for as long as they live."""
        for array in arrays:
            key = id(array)
            self._arrays[key] = weakref.ref(array, lambda _, key=key: self._forget(key))

    def _forget(self, key: int) -> None:
        self._arrays.pop(key, None)


GIVEN_UP = GivenUp()


def can_be_donated(array: Array) -> bool:
    """Whether compiled code may write over it."""
    flags = array.flags
    return flags.c_contiguous and flags.aligned and flags.writeable


def is_given_twice(arrays: list[Array], index: int) -> bool:
    """Whether the memory of one array is that of another, too."""
    mine = arrays[index]
    return any(i != index and np.may_share_memory(mine, other) for i, other in enumerate(arrays))
