"""A forgiving scan of source text, for explaining errors: it never fails and needs no parser."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

from dmc.ir.location import SourceFile, Span


class Kind(enum.Enum):
    """What a lexeme is, as far as one can tell without a grammar."""

    WORD = enum.auto()
    NUMBER = enum.auto()
    SIGN = enum.auto()
    OTHER = enum.auto()


@dataclass(frozen=True, slots=True)
class Lexeme:
    """A piece of text with its place; `indent` is that of its line, `leads` if it is the first."""

    kind: Kind
    text: str
    line: int
    column: int
    indent: int
    leads: bool

    def span(self, file: SourceFile) -> Span:
        return Span(file, self.line, self.column, self.line, self.column + len(self.text))


@dataclass(frozen=True, slots=True)
class Brackets:
    """The brackets of a text: those open at its end, and the first wrong closer.

    `suspect` is the opener most likely to lack its closer: the first whose closer stands further
    left than the line that opened it, else the innermost one open at the end.
    """

    open: tuple[Lexeme, ...]
    suspect: Lexeme | None
    stray: Lexeme | None


_LEXEME = re.compile(
    r"""(?P<space>[ \t\r]+|\#[^\n]*)
    |   (?P<newline>\n)
    |   (?P<word>[^\W\d]\w*)
    |   (?P<number>[0-9][0-9_]*\.[0-9][0-9_]*(?:[eE][+-]?[0-9]+)?|[0-9][0-9_]*(?:[eE][+-]?[0-9]+)?)
    |   (?P<sign>\.\.\.|\.\.|->|=>|\|>|//|\*\*|[-+*/=!<>]=|[-+*/=<>%@.,:;()\[\]{}])
    |   (?P<other>.)""",
    re.VERBOSE,
)
_KINDS = {"word": Kind.WORD, "number": Kind.NUMBER, "sign": Kind.SIGN, "other": Kind.OTHER}
_CLOSER = {"(": ")", "[": "]", "{": "}"}


def scan(text: str, first_line: int = 1) -> list[Lexeme]:
    """All lexemes of `text` but spaces, comments and line ends."""
    found: list[Lexeme] = []
    line, line_start, indent = first_line, 0, -1
    for match in _LEXEME.finditer(text):
        group = match.lastgroup or "other"
        if group == "newline":
            line, line_start, indent = line + 1, match.end(), -1
        elif group != "space":
            column = match.start() - line_start
            leads = indent < 0
            indent = column if leads else indent
            found.append(Lexeme(_KINDS[group], match.group(), line, column + 1, indent, leads))
    return found


def match_brackets(lexemes: Sequence[Lexeme]) -> Brackets:
    """Which brackets of `lexemes` do not match."""
    stack: list[Lexeme] = []
    suspect: Lexeme | None = None
    stray: Lexeme | None = None
    for lexeme in lexemes:
        if lexeme.kind is not Kind.SIGN:
            continue
        if lexeme.text in _CLOSER:
            stack.append(lexeme)
        elif lexeme.text in _CLOSER.values():
            if not stack or _CLOSER[stack[-1].text] != lexeme.text:
                stray = stray or lexeme
                continue
            opener = stack.pop()
            if suspect is None and lexeme.leads and lexeme.indent < opener.indent:
                suspect = opener
    if not stack:
        suspect = None
    return Brackets(tuple(stack), suspect or (stack[-1] if stack else None), stray)


def closer_of(opener: str) -> str:
    """The closing bracket for an opening one."""
    return _CLOSER[opener]


def opens(text: str) -> bool:
    """Whether `text` is an opening bracket."""
    return text in _CLOSER


def closes(text: str) -> bool:
    """Whether `text` is a closing bracket."""
    return text in _CLOSER.values()
