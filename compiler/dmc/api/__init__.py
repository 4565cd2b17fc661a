"""What Python users see. `dmc` offers these names; each is loaded when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from dmc.process import native

if TYPE_CHECKING:
    from dmc.api.check import check_grads
    from dmc.api.compiled import Compiled
    from dmc.api.convert import convert
    from dmc.api.differentiate import (
        grad,
        hessian,
        hvp,
        jacobian,
        jvp,
        value_and_grad,
        vjp,
    )
    from dmc.api.donation import donate
    from dmc.api.function import Function
    from dmc.api.loading import load, loads
    from dmc.api.memory import Memory
    from dmc.api.module import Module
    from dmc.api.slopes import GradientCheck
    from dmc.api.storage import restore, save
    from dmc.api.training import Trainer, train
    from dmc.diagnostics.errors import (
        CallError,
        CheckpointError,
        CompilerBug,
        DerivativeError,
        DTypeError,
        FileError,
        IndexError,
        MissingFileError,
        NamingError,
        OutOfMemory,
        ParseError,
        ShapeError,
        StateError,
        TrainError,
        UnsupportedError,
        ValueUseError,
    )
    from dmc.jit.pool import get_num_threads, set_num_threads
    from dmc_runtime.errors import Error
    from dmc_runtime.flat import flatten
    from dmc_runtime.keys import fold, key, split
    from dmc_runtime.records import Record, stack

_OPERATORS = ("grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp")
_ERRORS = (
    "CallError", "CheckpointError", "CompilerBug", "DTypeError", "DerivativeError", "FileError",
    "IndexError", "MissingFileError", "NamingError", "OutOfMemory", "ParseError",
    "ShapeError", "StateError", "TrainError", "UnsupportedError", "ValueUseError",
)  # fmt: skip

_HOMES: dict[str, str] = {
    "load": "dmc.api.loading",
    "loads": "dmc.api.loading",
    "Module": "dmc.api.module",
    "Function": "dmc.api.function",
    "Compiled": "dmc.api.compiled",
    "Memory": "dmc.api.memory",
    "Record": "dmc_runtime.records",
    "stack": "dmc_runtime.records",
    "key": "dmc_runtime.keys",
    "split": "dmc_runtime.keys",
    "fold": "dmc_runtime.keys",
    **dict.fromkeys(_OPERATORS, "dmc.api.differentiate"),
    "check_grads": "dmc.api.check",
    "GradientCheck": "dmc.api.slopes",
    "convert": "dmc.api.convert",
    "donate": "dmc.api.donation",
    "flatten": "dmc_runtime.flat",
    "Trainer": "dmc.api.training",
    "train": "dmc.api.training",
    "save": "dmc.api.storage",
    "restore": "dmc.api.storage",
    "set_num_threads": "dmc.jit.pool",
    "get_num_threads": "dmc.jit.pool",
    "Error": "dmc_runtime.errors",
    **dict.fromkeys(_ERRORS, "dmc.diagnostics.errors"),
}
"""Where each public name is defined."""

__all__ = [
    "CallError", "CheckpointError", "Compiled", "CompilerBug", "DTypeError", "DerivativeError",
    "Error", "FileError", "Function", "GradientCheck", "IndexError", "Memory",
    "MissingFileError", "Module", "NamingError", "OutOfMemory", "ParseError", "Record",
    "ShapeError", "StateError", "TrainError", "Trainer", "UnsupportedError", "ValueUseError",
    "check_grads", "convert", "donate", "flatten", "fold", "get_num_threads", "grad", "hessian",
    "hvp", "jacobian", "jvp", "key", "load", "loads", "restore", "save", "set_num_threads", "split",
    "stack", "train", "value_and_grad", "vjp",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'dmc' has no attribute {name!r}")
    with native:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
