"""Ways to the syntax tree that the tests take."""

from __future__ import annotations

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
