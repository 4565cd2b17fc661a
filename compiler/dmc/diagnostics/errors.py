"""Exceptions: `Error` and its families for mistakes of the user, `CompilerBug` for ours.

Each family also derives from the Python class that fits, so `except ValueError` and
`except IndexError` do what a NumPy user expects. The classes are public as `dmc.Error`,
`dmc.ShapeError`, and so on.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import dmc_runtime.errors
from dmc.diagnostics.diagnostic import Diagnostic, DiagnosticJson
from dmc.diagnostics.render import render_all


class Error(dmc_runtime.errors.Error):
    """A program, a call or a file that cannot be accepted; `diagnostics` says why."""

    __module__ = "dmc"
    diagnostics: tuple[Diagnostic, ...]

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__(*diagnostics)
        self.diagnostics = diagnostics

    def __str__(self) -> str:
        return self.render()

    def render(self, *, color: bool = False) -> str:
        """All diagnostics as text, one blank line apart."""
        return render_all(self.diagnostics, color=color)

    def to_json(self) -> list[DiagnosticJson]:
        """All diagnostics as plain data."""
        return [diagnostic.to_json() for diagnostic in self.diagnostics]


class ParseError(Error, ValueError):
    """Text that is not dm, or not IR (`syntax.*`, `ir.*`)."""

    __module__ = "dmc"


class NamingError(Error, NameError):
    """A name that is unknown, ambiguous or taken (`name.*`)."""

    __module__ = "dmc"


class DTypeError(Error, TypeError):
    """Types that do not fit (`type.*`)."""

    __module__ = "dmc"


class ShapeError(Error, ValueError):
    """Sizes that do not fit or cannot be proved (`shape.*`)."""

    __module__ = "dmc"


class IndexError(Error, builtins.IndexError):
    """An index outside its axis (`index.*`)."""

    __module__ = "dmc"


class DerivativeError(Error, ValueError):
    """A derivative that does not exist, vanishes or is declared wrongly (`grad.*`)."""

    __module__ = "dmc"


class StateError(Error, TypeError):
    """State updated where it may not be (`state.*`)."""

    __module__ = "dmc"


class ValueUseError(Error, ValueError):
    """A value unused, spent twice or of two types (`value.*`, `loop.*`, `key.*`, `lint.*`)."""

    __module__ = "dmc"


class CallError(Error, TypeError):
    """A call from Python whose arguments do not fit (`call.*`)."""

    __module__ = "dmc"


class OutOfMemory(Error, MemoryError):
    """A program that needs more memory than there is (`memory.*`)."""

    __module__ = "dmc"


class UnsupportedError(Error, NotImplementedError):
    """Valid dm that this version does not compile (`feature.*`)."""

    __module__ = "dmc"


class FileError(Error, OSError):
    """A file that cannot be used (`file.*`)."""

    __module__ = "dmc"


class MissingFileError(FileError, FileNotFoundError):
    """A file that is not there (`file.missing`)."""

    __module__ = "dmc"


class CheckpointError(Error, ValueError):
    """A checkpoint that is damaged, foreign or does not fit the model (`checkpoint.*`)."""

    __module__ = "dmc"


class TrainError(Error, RuntimeError):
    """A recipe or a training run that cannot go on (`train.*`)."""

    __module__ = "dmc"


_BY_CODE: dict[str, type[Error]] = {"file.missing": MissingFileError}

_BY_FAMILY: dict[str, type[Error]] = {
    "syntax": ParseError,
    "ir": ParseError,
    "name": NamingError,
    "type": DTypeError,
    "shape": ShapeError,
    "index": IndexError,
    "grad": DerivativeError,
    "state": StateError,
    "value": ValueUseError,
    "loop": ValueUseError,
    "key": ValueUseError,
    "lint": ValueUseError,
    "call": CallError,
    "memory": OutOfMemory,
    "feature": UnsupportedError,
    "file": FileError,
    "checkpoint": CheckpointError,
    "train": TrainError,
}


def error(*diagnostics: Diagnostic) -> Error:
    """The exception for these diagnostics: the family of the first one decides its class."""
    first = diagnostics[0]
    cls = _BY_CODE.get(first.code) or _BY_FAMILY[first.family]
    return cls(*diagnostics)


def raise_all(diagnostics: Iterable[Diagnostic]) -> None:
    """Raise one `Error` with all diagnostics, ordered by place; do nothing if there are none."""
    found = sorted(diagnostics, key=_place)
    if found:
        raise error(*found)


def _place(diagnostic: Diagnostic) -> tuple[str, int, int]:
    if diagnostic.primary is None:
        return ("", 0, 0)
    span = diagnostic.primary.span
    return (span.file.name, span.start_line, span.start_column)


class CompilerBug(Exception):
    """A fault of the compiler itself, never of the program it was given."""

    __module__ = "dmc"
    ADVICE: ClassVar[str] = "this is a bug in dmc, not in your program; please report it"

    def __init__(
        self, message: str, *, pass_name: str | None = None, reproducer: Path | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.pass_name = pass_name
        self.reproducer = reproducer

    def __str__(self) -> str:
        where = f" in pass `{self.pass_name}`" if self.pass_name else ""
        out = f"{self.message}{where}\n{self.ADVICE}"
        if self.reproducer is not None:
            out += f"\nreproducer: {self.reproducer}"
        return out
