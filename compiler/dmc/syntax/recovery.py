"""Where declarations start, found by layout alone, so that one syntax error hides no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dmc.syntax.scan import Kind, Lexeme, closes, opens, scan

# What can only be the start of a declaration, even where a bracket was left open above it.
_CERTAIN = re.compile(
    r"(?:import|from|dim|struct|model|derivative|(?:mut[ ]+|checkpoint[ ]+)*fn)[ ]+[A-Za-z_]"
)
# Words at the left margin that continue the declaration above.
_CONTINUING = frozenset(("requires", "else"))
_UNFINISHED = frozenset(("=", "->", "=>", ",", ":", "+", "-", "*", "/", "|>", "."))


@dataclass(frozen=True, slots=True)
class Chunk:
    """A declaration's text and the line of the file on which it starts."""

    text: str
    first_line: int


def split(text: str) -> Iterator[Chunk]:
    """Cut `text` before each line at the left margin that looks like a declaration."""
    lines = text.split("\n")
    start = 1
    for line in _starts(lines, scan(text)):
        if line > start:
            yield Chunk("\n".join(lines[start - 1 : line - 1]), start)
            start = line
    yield Chunk("\n".join(lines[start - 1 :]), start)


def _starts(lines: list[str], lexemes: list[Lexeme]) -> Iterator[int]:
    depth = 0
    previous = ""
    for lexeme in lexemes:
        if lexeme.kind is Kind.WORD and lexeme.column == 1:
            certain = _CERTAIN.match(lines[lexeme.line - 1]) is not None
            likely = depth == 0 and lexeme.text not in _CONTINUING and previous not in _UNFINISHED
            if certain or likely:
                depth = 0
                yield lexeme.line
        elif opens(lexeme.text):
            depth += 1
        elif closes(lexeme.text):
            depth = max(0, depth - 1)
        previous = lexeme.text
