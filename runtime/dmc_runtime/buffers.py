"""Flat buffers: the leaves of a tree as named views of one aligned allocation for each dtype.

Packing `{"net": net, "grad": grad, "opt": opt}` puts parameters, gradients and optimizer state of
one dtype side by side, so one pointer crosses into compiled code and an update is one pass. Every
leaf starts at a multiple of 64 bytes (a cache line, and the widest vector); the gaps are zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import DTypeLike

from dmc_runtime.errors import ArgumentError
from dmc_runtime.trees import Array, Tree, TreeDef, tree_flatten, tree_paths, tree_unflatten

ALIGNMENT = 64

T = TypeVar("T", bound=Tree)


def aligned_zeros(shape: int | Sequence[int], dtype: DTypeLike) -> Array:
    """A zeroed, C-contiguous array whose first byte lies at a multiple of `ALIGNMENT`."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    raw = np.zeros(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(kind).reshape(shape)


@dataclass(frozen=True)
class Slot:
    """Where a leaf lies: its path, type, and extent in elements of its dtype's buffer."""

    path: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Layout:
    """The slots of a tree in order, and the length of each dtype's buffer in elements."""

    treedef: TreeDef
    slots: tuple[Slot, ...]
    lengths: dict[np.dtype[Any], int]

    @property
    def nbytes(self) -> int:
        return sum(length * dtype.itemsize for dtype, length in self.lengths.items())


def layout(tree: Tree) -> Layout:
    """The layout of a tree of arrays and numbers."""
    leaves, treedef = tree_flatten(tree)
    lengths: dict[np.dtype[Any], int] = {}
    slots: list[Slot] = []
    for path, leaf in zip(tree_paths(tree), leaves, strict=True):
        dtype = np.asarray(leaf).dtype
        offset = lengths.get(dtype, 0)
        slot = Slot(path, dtype, np.shape(leaf), offset)
        per_line = max(1, ALIGNMENT // dtype.itemsize)
        lengths[dtype] = offset + -(-slot.size // per_line) * per_line
        slots.append(slot)
    return Layout(treedef, tuple(slots), lengths)


class Packed(Generic[T]):
    """A tree whose leaves are views of flat buffers.

    Attributes:
        layout: where each leaf lies.
        buffers: one flat array for each dtype.
        tree: the views, in the structure that was packed; writing into a view writes the buffer.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.buffers = {d: aligned_zeros(length, d) for d, length in layout.lengths.items()}
        self._views = {slot.path: self._view(slot) for slot in layout.slots}
        self.tree = cast("T", tree_unflatten(layout.treedef, self._views.values()))

    def __getitem__(self, path: str) -> Array:
        """The view of the leaf at `path`; `KeyError` when there is none."""
        return self._views[path]

    def load(self, tree: T) -> None:
        """Copies values in; `ValueError` when structure, shapes or dtypes differ."""
        leaves, treedef = tree_flatten(tree)
        if treedef != self.layout.treedef:
            raise ArgumentError("trees differ in structure")
        for slot, leaf in zip(self.layout.slots, leaves, strict=True):
            array = np.asarray(leaf)
            if array.shape != slot.shape or array.dtype != slot.dtype:
                found, wanted = (f"{x.dtype}{list(x.shape)}" for x in (array, slot))
                raise ValueError(f"`{slot.path}` is {found}, its buffer holds {wanted}")
            self._views[slot.path][...] = array

    def section(self, prefix: str, dtype: DTypeLike) -> Array:
        """The part of a dtype's buffer that holds the leaves below `prefix`: one contiguous run."""
        kind = np.dtype(dtype)
        slots = [s for s in self.layout.slots if s.dtype == kind and _below(s.path, prefix)]
        if not slots:
            raise KeyError(f"no leaf of {kind.name} below `{prefix}`")
        return self.buffers[kind][slots[0].offset : slots[-1].offset + slots[-1].size]

    def _view(self, slot: Slot) -> Array:
        buffer = self.buffers[slot.dtype]
        return buffer[slot.offset : slot.offset + slot.size].reshape(slot.shape)


def pack(tree: T) -> Packed[T]:
    """Copies the leaves of a tree into flat buffers; see `Packed`."""
    packed = Packed[T](layout(tree))
    packed.load(tree)
    return packed


def _below(path: str, prefix: str) -> bool:
    return path.startswith(prefix) and (path[len(prefix) : len(prefix) + 1] in ("", ".", "["))
