"""What callers pass, checked: each function gives it back as what is needed, or raises.

Every one raises ArgumentError; `what` names the argument, as in "`dmc.load`: `path`".
"""

from __future__ import annotations

import contextlib
import math
import numbers
import operator
import os
import reprlib
from collections.abc import Generator
from pathlib import Path
from typing import SupportsIndex, cast

from dmc_runtime.errors import ArgumentError

__all__ = ["flag", "integer", "number", "path", "shallow", "shown", "text"]

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 40


def shown(value: object) -> str:
    """A value as Python writes it, cut short; whatever it is, this does not fail."""
    try:
        return _brief.repr(value)
    except ValueError:  # too many digits for Python to write
        return "an integer of thousands of digits"


def text(value: object, what: str) -> str:
    """A string."""
    if isinstance(value, str):
        return value
    raise ArgumentError(f"{what} is {shown(value)}, not a string")


def path(value: object, what: str) -> Path:
    """A path, given as a string or as a `Path`."""
    is_path = isinstance(value, os.PathLike)
    name = os.fspath(cast("os.PathLike[str]", value)) if is_path else value
    if not isinstance(name, str):
        raise ArgumentError(f"{what} is {shown(name)}, not a path")
    if "\0" in name:
        raise ArgumentError(f"{what} is {shown(name)}, and no file name has a NUL")
    return Path(name)


def flag(value: object, what: str) -> bool:
    """True or false."""
    if isinstance(value, bool):
        return value
    raise ArgumentError(f"{what} is {shown(value)}, neither True nor False")


def integer(value: object, what: str, least: int | None = None, most: int | None = None) -> int:
    """An integer, within bounds that are included."""
    try:
        if isinstance(value, bool):
            raise TypeError
        given = operator.index(cast("SupportsIndex", value))
    except TypeError:  # not even an array of one integer
        raise ArgumentError(f"{what} is {shown(value)}, not an integer") from None
    if least is not None and given < least:
        raise ArgumentError(f"{what} is {shown(given)}; it must be at least {least}")
    if most is not None and given > most:
        raise ArgumentError(f"{what} is {shown(given)}; it must be at most {most}")
    return given


def number(value: object, what: str) -> float:
    """A positive, finite number."""
    with contextlib.suppress(OverflowError):
        if isinstance(value, numbers.Real) and 0 < float(value) < math.inf:
            return float(value)
    raise ArgumentError(f"{what} is {shown(value)}, not a positive number")


@contextlib.contextmanager
def shallow(what: str) -> Generator[None]:
    """Raises ArgumentError where a value is nested too deep for what is done with it."""
    try:
        yield
    except RecursionError:
        raise ArgumentError(f"{what} is nested too deep") from None
