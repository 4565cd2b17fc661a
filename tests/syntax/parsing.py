"""Ways to the syntax tree that the tests take."""

from __future__ import annotations

import sys
from collections.abc import Callable
from os import PathLike

from dmc.ir.location import SourceFile
from dmc.syntax import ast
from dmc.syntax.files import read_source
from dmc.syntax.parser import parse


def parse_file(path: str | PathLike[str]) -> ast.File:
    """The syntax tree of a file."""
    return parse(read_source(path))


def parse_text(text: str, name: str = "<text>") -> ast.File:
    """The syntax tree of `text`, quoted in messages as file `name`."""
    return parse(SourceFile(name, text))


class TooMuchWork(Exception):
    """Something took more calls than it was given."""


def work(action: Callable[[], object], most: float = float("inf")) -> int:
    """How many calls of functions, Python's own too, `action` makes: the same on any machine.

    Raises TooMuchWork out of `action` at the call after `most`, so that a loop without end ends.
    """
    calls = 0

    def seen(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1
            if calls > most:
                raise TooMuchWork(f"more than {most} calls")

    sys.setprofile(seen)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls
