"""Which line ends are newlines of the language and which are mere layout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lark import Token

NEWLINE = "_NL"

_SIGNS = ("COMMA", "EQ", "AUG", "CMP", "ARROW", "FATARROW", "PIPE", "COLON", "DOT", "DOTS")
_OPERATORS = ("PLUS", "MINUS", "STAR", "POW", "MULOP", "AND", "OR", "NOT")
_WORDS = ("LET", "VAR", "FN", "MUT", "IF", "ELSE", "FOR", "IN", "WHILE", "REQUIRES", "LIMIT")

# A statement cannot end in one of these, so a line end after them is layout.
_UNFINISHED = frozenset((*_SIGNS, *_OPERATORS, *_WORDS))
_OPENERS = frozenset(("LPAR", "LSQB", "LBRACE"))
_CLOSERS = frozenset(("RPAR", "RSQB", "RBRACE"))


class LayoutFilter:
    """Drops the newline tokens that end no statement, between Lark's lexer and parser.

    A line end ends a statement unless it is inside `( )` or `[ ]`, follows an operator, or the
    next line is indented deeper than the first line of the statement. `;` always ends one. The
    contextual lexer must not run ahead of the parser, so nothing here looks at the next token: a
    newline token carries the indentation of the line that follows.
    """

    always_accept = (NEWLINE,)

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        """The tokens of `stream` without the newlines that are layout."""
        brackets: list[str] = []
        columns: list[int | None] = [None]  # of the current statement, one for each open brace
        previous = NEWLINE
        for token in stream:
            if token.type == NEWLINE:
                if token.value[0] != ";":
                    in_brackets = bool(brackets) and brackets[-1] != "LBRACE"
                    column = columns[-1]
                    deeper = column is not None and _next_column(token) > column
                    if in_brackets or previous in _UNFINISHED or deeper:
                        continue
                if previous in (NEWLINE, "LBRACE"):
                    continue
            else:
                if previous in (NEWLINE, "LBRACE"):
                    columns[-1] = token.column
                if token.type in _OPENERS:
                    brackets.append(token.type)
                    if token.type == "LBRACE":
                        columns.append(None)
                elif token.type in _CLOSERS and brackets:
                    brackets.pop()
                    if token.type == "RBRACE" and len(columns) > 1:
                        columns.pop()
            previous = token.type
            yield token


def _next_column(newline: Token) -> int:
    """The column (from 1) of the first token after a newline token."""
    return len(newline.value) - newline.value.rfind("\n")
