"""Where the parser stopped, and what stands around that place."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.ir.location import SourceFile, Span
from dmc.syntax.scan import Brackets, Lexeme, match_brackets

__all__ = ["Situation"]


@dataclass(frozen=True, slots=True)
class Situation:
    """Where the parser stopped.

    `found` is the lexeme it could not use, None for a newline or the end; `before` are all
    lexemes up to there, `after` those behind it, `accepts` the terminals it would have taken.
    """

    file: SourceFile
    before: list[Lexeme]
    found: Lexeme | None
    after: list[Lexeme]
    at_end: bool
    accepts: frozenset[str]
    is_split: bool = False  # the parser had taken the first part of `found` for something else

    @property
    def previous(self) -> Lexeme | None:
        return self.before[-1] if self.before else None

    @property
    def expects_expression(self) -> bool:
        return {"INT", "MINUS"} <= self.accepts

    @property
    def after_expression(self) -> bool:
        return "AND" in self.accepts

    @property
    def first_words(self) -> list[str]:
        """The words that lead the line of the previous lexeme."""
        line = self.before[-1].line if self.before else 0
        return [lexeme.text for lexeme in self.before if lexeme.line == line][:2]

    def brackets(self) -> Brackets:
        return match_brackets(self.before)

    def span(self, lexeme: Lexeme) -> Span:
        return lexeme.span(self.file)

    def here(self) -> Span:
        """The lexeme found, or the place behind the last one."""
        if self.found is not None:
            return self.span(self.found)
        if not self.before:
            return Span(self.file, 1, 1, 1, 2)
        last = self.span(self.before[-1])
        return Span(self.file, last.end_line, last.end_column, last.end_line, last.end_column + 1)

    def between(self, first: Span, last: Span) -> str:
        """The source text from the start of one span up to that of another, on one line."""
        start, end = (first.start_line, first.start_column), (last.start_line, last.start_column)
        return " ".join(self.file.quote(Span(self.file, *start, *end)).split())

    def rest(self, lexeme: Lexeme) -> str:
        """The source text from a lexeme to the end of its line."""
        return self.file.line(lexeme.line)[lexeme.column - 1 :].strip()

    def spelled(self) -> str:
        """What was found, for a sentence."""
        if self.found is not None:
            return f"`{self.found.text}`"
        return "the end" if self.at_end else "a new line"

    def report(
        self, code: str, title: str, help: str, *, label: str = "", at: Span | None = None
    ) -> Diagnostic:
        return Diagnostic(code, title, Label(at or self.here(), label), help=(help,))
