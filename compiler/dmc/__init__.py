"""dmc compiles differentiable programs to native code.

`import dmc` loads nothing but its version: each public name comes from `dmc.api` when it is first
used, so the grammar and LLVM cost nothing until a program is checked or compiled.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from dmc.version import VERSION

if TYPE_CHECKING:
    from dmc.api import (
        CallError,
        CheckpointError,
        Compiled,
        CompilerBug,
        DerivativeError,
        DTypeError,
        Error,
        FileError,
        Function,
        GradientCheck,
        IndexError,
        Memory,
        MissingFileError,
        Module,
        NamingError,
        OutOfMemory,
        ParseError,
        Record,
        ShapeError,
        StateError,
        Trainer,
        TrainError,
        UnsupportedError,
        ValueUseError,
        check_grads,
        convert,
        donate,
        flatten,
        fold,
        get_num_threads,
        grad,
        hessian,
        hvp,
        jacobian,
        jvp,
        key,
        load,
        loads,
        restore,
        save,
        set_num_threads,
        split,
        stack,
        train,
        value_and_grad,
        vjp,
    )
    from dmc.interop import jax as jax
    from dmc.interop import scipy as scipy
    from dmc.interop import sklearn as sklearn
    from dmc.interop import torch as torch

__version__ = VERSION

__all__ = [
    "CallError", "CheckpointError", "Compiled", "CompilerBug", "DTypeError", "DerivativeError",
    "Error", "FileError", "Function", "GradientCheck", "IndexError", "Memory",
    "MissingFileError", "Module", "NamingError", "OutOfMemory", "ParseError", "Record",
    "ShapeError", "StateError", "TrainError", "Trainer", "UnsupportedError", "ValueUseError",
    "check_grads", "convert", "donate", "flatten", "fold", "get_num_threads", "grad", "hessian",
    "hvp", "jacobian", "jvp", "key", "load", "loads", "restore", "save", "set_num_threads", "split",
    "stack", "train", "value_and_grad", "vjp",
]  # fmt: skip

_BRIDGES = ("jax", "scipy", "sklearn", "torch")
"""Modules for working with other libraries, whose packages are extras."""


# Hidden from type checkers, for which the names above are all there are.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a public name on first use (PEP 562)."""
        if name in _BRIDGES:
            value = importlib.import_module(f"dmc.interop.{name}")
        elif name in __all__:
            value = getattr(importlib.import_module("dmc.api"), name)
        else:
            raise AttributeError(f"module 'dmc' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_BRIDGES, "__version__"])
