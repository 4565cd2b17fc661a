"""What can go wrong outside the compiler: one class for each family, one code for each reason."""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class CheckpointCode(StrEnum):
    """Why a checkpoint cannot be written or read."""

    MISSING = "checkpoint.missing"
    UNREADABLE = "checkpoint.unreadable"
    FOREIGN = "checkpoint.foreign"
    TRUNCATED = "checkpoint.truncated"
    DAMAGED = "checkpoint.damaged"
    VERSION = "checkpoint.version"
    MISMATCH = "checkpoint.mismatch"
    FULL = "checkpoint.full"
    UNWRITABLE = "checkpoint.unwritable"


class TrainCode(StrEnum):
    """Why a training run cannot start or go on."""

    RECIPE = "train.recipe"
    DATA = "train.data"
    STEP = "train.step"
    NONFINITE = "train.nonfinite"
    RESUME = "train.resume"
    EXISTS = "train.exists"
    OUTPUT = "train.output"
    EXTRA = "train.extra"


class Error(Exception):
    """Base of every error that is a mistake or a mishap of the user; public as `dmc.Error`."""

    __module__ = "dmc"

    def render(self, *, color: bool = False) -> str:
        """The message, in colours where there are any."""
        del color
        return str(self)


class RunError(Error):
    """Base of every error of the user that this package raises.

    `str(error)` is the bare message; `code` says what kind it is.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, str(self))


class ArgumentError(RunError, TypeError, ValueError):
    """An argument of another kind, or another value, than a function takes."""

    def __init__(self, message: str) -> None:
        super().__init__("call.value", message)

    def __reduce__(self) -> tuple[type[ArgumentError], tuple[str]]:
        return type(self), (str(self),)


class StackIndexError(RunError, IndexError):
    """An index that a stack of records does not have."""

    def __init__(self, message: str) -> None:
        super().__init__("index.bounds", message)

    def __reduce__(self) -> tuple[type[StackIndexError], tuple[str]]:
        return type(self), (str(self),)


class CheckpointError(RunError, ValueError):
    """A checkpoint that cannot be written, or that is damaged, foreign or of another model."""

    def __init__(self, code: CheckpointCode, message: str) -> None:
        super().__init__(code, message)


class TrainError(RunError, RuntimeError):
    """A recipe, data or a training run that cannot go on."""

    def __init__(self, code: TrainCode, message: str) -> None:
        super().__init__(code, message)


class MissingExtraError(RunError, ImportError):
    """An optional package that is needed now; the message says how to install it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self._given = package, extra, purpose
        super().__init__(
            TrainCode.EXTRA,
            f'{purpose} needs the package `{package}`: pip install "dmc[{extra}]"',
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._given
