"""The native side of calls: `entry.ll` and what it calls, loaded and tied to Python and NumPy.

Where the layouts it relies on do not hold (another interpreter, one without a global lock, another
NumPy), `call_function` is None and calls go through ctypes.
"""

from __future__ import annotations

import ctypes
import platform
import sys
import sysconfig
from dataclasses import dataclass
from importlib import import_module, resources
from typing import TYPE_CHECKING

import numpy as np

from dmc.jit.engine import Code, engine_for
from dmc.jit.target import host
from dmc.process import once

if TYPE_CHECKING:
    from collections.abc import Callable

# Positions in NumPy's table of C functions, which never change.
_ARRAY_TYPE, _RETURN, _NEW_FROM_DESCR, _SET_BASE_OBJECT = 2, 76, 94, 282
_FASTCALL = 0x80
_PYTHON_FUNCTIONS = (
    "PyCapsule_GetContext",
    "PyCapsule_GetPointer",
    "PyCapsule_New",
    "PyCapsule_SetContext",
    "PyLong_FromLongLong",
    "PyTuple_GetItem",
    "PyTuple_New",
    "PyTuple_SetItem",
    "PyTuple_Size",
    "PyDict_Copy",
    "PyErr_Clear",
    "PyObject_GenericSetAttr",
    "PyObject_GetAttr",
    "PyObject_RichCompareBool",
    "PyType_GenericAlloc",
    "PyErr_NoMemory",
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
    "Py_IncRef",
    "Py_DecRef",
)


class ArrayStruct(ctypes.Structure):
    """The head of NumPy's array object, as `entry.ll` reads it."""

    _fields_ = (
        ("references", ctypes.c_ssize_t),
        ("type", ctypes.c_void_p),
        ("data", ctypes.c_void_p),
        ("rank", ctypes.c_int),
        ("dimensions", ctypes.POINTER(ctypes.c_ssize_t)),
        ("strides", ctypes.c_void_p),
        ("base", ctypes.c_void_p),
        ("dtype", ctypes.c_void_p),
        ("flags", ctypes.c_int),
    )


class _MethodDefinition(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("documentation", ctypes.c_char_p),
    )


@dataclass(frozen=True)
class Natives:
    """Functions of the files of LLVM IR beside this one.

    `call` and `call_tree` are addresses of what Python calls, None where that cannot work.
    """

    code: Code
    call: int | None
    call_tree: int | None
    init_mutex: Callable[[int], int]
    lock_mutex: Callable[[int], None]
    unlock_mutex: Callable[[int], None]
    locked_call: Callable[[int, int], int]
    spare_bytes: Callable[[], int]
    watch: Callable[[int | None, int | None], None]
    interrupted: int
    """The address of what stands in front of the handler of a signal."""


def layouts_hold() -> bool:
    """Whether this interpreter and NumPy lay objects out as `entry.ll` expects."""
    if platform.python_implementation() != "CPython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return False
    if sys.maxsize != 2**63 - 1:
        return False
    sample = np.zeros((3, 5), np.float32)
    number, scalar = 1.5, np.float32(1.5)
    seen = ArrayStruct.from_address(id(sample))
    return (
        np.ndarray.__basicsize__ >= ctypes.sizeof(ArrayStruct)
        and seen.type == id(np.ndarray)
        and seen.data == sample.ctypes.data
        and seen.rank == 2
        and tuple(seen.dimensions[:2]) == (3, 5)
        and seen.dtype == id(sample.dtype)
        and seen.flags & 0x501 == 0x501
        and ctypes.c_double.from_address(id(number) + 16).value == number
        and ctypes.c_float.from_address(id(scalar) + 16).value == scalar
    )


def _numpy_table() -> ctypes.Array[ctypes.c_void_p]:
    """The first entries of NumPy's C API, from the capsule that extension modules use."""
    capsule = import_module("numpy._core._multiarray_umath")._ARRAY_API
    unpack = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    table = ctypes.c_void_p * (_SET_BASE_OBJECT + 1)
    return table.from_address(unpack(capsule, None))


@once
def natives() -> Natives:
    """Load `entry.ll`, once in a process."""
    table = _numpy_table()
    symbols = {name: _address(getattr(ctypes.pythonapi, name)) for name in _PYTHON_FUNCTIONS}
    for name, position in (
        ("PyArray_Type", _ARRAY_TYPE),
        ("PyArray_Return", _RETURN),
        ("PyArray_NewFromDescr", _NEW_FROM_DESCR),
        ("PyArray_SetBaseObject", _SET_BASE_OBJECT),
    ):
        symbols[name] = int(table[position] or 0)
    symbols |= {"PyFloat_Type": id(float), "PyTuple_Type": id(tuple), "_Py_NoneStruct": id(None)}
    texts = [
        (resources.files("dmc.jit") / name).read_text(encoding="utf-8")
        for name in ("entry.ll", "trees.ll", "results.ll")
    ]
    mutex = ("dmc_mutex_init", "dmc_mutex_lock", "dmc_mutex_unlock")
    exports = (
        "dmc_call",
        "dmc_call_tree",
        *mutex,
        "dmc_locked_call",
        "dmc_spare_bytes",
        "dmc_watch",
        "dmc_interrupted",
    )
    code = engine_for(host()).load(texts, exports, symbols)
    pointer = ctypes.c_void_p
    holds = layouts_hold()
    return Natives(
        code,
        code["dmc_call"] if holds else None,
        code["dmc_call_tree"] if holds else None,
        ctypes.CFUNCTYPE(ctypes.c_int32, pointer)(code["dmc_mutex_init"]),
        ctypes.CFUNCTYPE(None, pointer)(code["dmc_mutex_lock"]),
        ctypes.CFUNCTYPE(None, pointer)(code["dmc_mutex_unlock"]),
        ctypes.CFUNCTYPE(ctypes.c_int32, pointer, pointer)(code["dmc_locked_call"]),
        ctypes.PYFUNCTYPE(ctypes.c_int64)(code["dmc_spare_bytes"]),
        ctypes.PYFUNCTYPE(None, pointer, pointer)(code["dmc_watch"]),
        code["dmc_interrupted"],
    )


def _address(function: object) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class CallFunction:
    """A built-in function of Python that runs what an address describes.

    Everything that the function points to lives in this object: it must outlive every call.
    """

    function: Callable[..., object]
    _definition: _MethodDefinition


def call_function(address: int) -> CallFunction | None:
    """The function that calls the program described at `address`, or None without native calls.

    It takes arrays, and returns a tuple of arrays or an int.
    """
    return _built_in(natives().call, address)


def tree_function(address: int) -> CallFunction | None:
    """As `call_function`, for the call with records and tuples that is described at `address`.

    It takes values, and returns a value or an int.
    """
    return _built_in(natives().call_tree, address)


def _built_in(code: int | None, address: int) -> CallFunction | None:
    if code is None:
        return None
    definition = _MethodDefinition(b"program", code, _FASTCALL, None)
    new_capsule = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
    )(("PyCapsule_New", ctypes.pythonapi))
    new_function = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.py_object
    )(("PyCFunction_NewEx", ctypes.pythonapi))
    capsule = new_capsule(address, None, None)
    return CallFunction(new_function(ctypes.addressof(definition), capsule, None), definition)
