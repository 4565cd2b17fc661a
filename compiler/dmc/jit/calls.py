"""Calls with records and tuples that never leave native code; see `trees.ll`."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence

from dmc.jit.cpython import tree_function
from dmc.jit.entry import Executable
from dmc.jit.shapes import Kind, Shape

_KEPT = ("_values", "_constants", "_stack")
"""What a record keeps its parts under."""


class _Node(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_int64),
        ("record", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("stack", ctypes.c_void_p),
        ("constants", ctypes.c_void_p),
    )


class _Call(ctypes.Structure):
    _fields_ = (
        ("program", ctypes.c_void_p),
        ("arguments", ctypes.c_int64),
        ("argument_nodes", ctypes.c_void_p),
        ("leaves", ctypes.c_int64),
        ("result_node", ctypes.c_void_p),
        ("faults", ctypes.c_int64),
        ("values", ctypes.c_void_p),
        ("constants", ctypes.c_void_p),
        ("stack", ctypes.c_void_p),
    )


class TreeCall:
    """A native function that takes and returns values of given shapes."""

    def __init__(
        self,
        executable: Executable,
        arguments: Sequence[Shape],
        result: Shape,
        *,
        returns_fault: bool = False,
    ) -> None:
        """`returns_fault` says that the last result of the program is no part of the value."""
        self._objects: list[object] = [executable]
        self._arguments = self._nodes([node for shape in arguments for node in shape.prefix()])
        self._result = self._nodes(list(result.prefix()))
        names = [sys.intern(name) for name in _KEPT]
        self._objects += names
        leaves = sum(node.kind == Kind.ARRAY for node in self._arguments)
        self._call = _Call(
            executable.address,
            len(arguments),
            ctypes.addressof(self._arguments),
            leaves,
            ctypes.addressof(self._result),
            returns_fault,
            *map(id, names),
        )
        self._native = tree_function(ctypes.addressof(self._call))

    @property
    def function(self) -> Callable[..., object] | None:
        """Calls the program; None without native calls.

        It gives an int for values of other shapes, element types or layouts, and where the program
        has to say something.
        """
        return None if self._native is None else self._native.function

    def _nodes(self, shapes: Sequence[Shape]) -> ctypes.Array[_Node]:
        return (_Node * max(len(shapes), 1))(*map(self._node, shapes))

    def _node(self, shape: Shape) -> _Node:
        sizes = None if shape.sizes is None else dict(shape.sizes)
        self._objects += [shape.record, shape.stack, sizes]
        record = None if shape.record is None else id(shape.record)
        constants = None if sizes is None else id(sizes)
        return _Node(shape.kind, record, len(shape.parts), id(shape.stack), constants)
