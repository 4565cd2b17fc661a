"""Diagnostics as text: title, place, quoted lines with carets, notes, help."""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from dmc.diagnostics.diagnostic import Diagnostic, Label, Severity
from dmc.ir.location import SourceFile, Span

WIDEST_QUOTE = 160
"""Columns of a source line that are quoted; longer lines are cut around their marks."""

_LEAD = 60  # columns kept before the first mark of a line that is cut


class _Style(enum.Enum):
    """ANSI escapes (ECMA-48 SGR) for the parts of a message."""

    ERROR = "\x1b[1;31m"
    WARNING = "\x1b[1;33m"
    TITLE = "\x1b[1m"
    CAUSE = "\x1b[34m"
    HELP = "\x1b[1;36m"
    FRAME = "\x1b[2m"


_RESET = "\x1b[0m"


def render(diagnostic: Diagnostic, *, color: bool = False) -> str:
    """The diagnostic as lines without a final newline; ANSI colours only when asked for."""
    return _Renderer(color).render(diagnostic)


def render_all(diagnostics: Iterable[Diagnostic], *, color: bool = False) -> str:
    """Several diagnostics, one blank line apart."""
    renderer = _Renderer(color)
    return "\n\n".join(renderer.render(diagnostic) for diagnostic in diagnostics)


@dataclass(frozen=True, slots=True)
class _Mark:
    """A label on one line: 0-based columns, and whether it is the primary one."""

    line: int
    start: int
    end: int
    text: str
    is_primary: bool


class _Renderer:
    def __init__(self, color: bool) -> None:
        self._color = color

    def render(self, diagnostic: Diagnostic) -> str:
        if diagnostic.at_call:
            return self._one_line(diagnostic)
        severity = _Style.ERROR if diagnostic.severity is Severity.ERROR else _Style.WARNING
        head = self._paint(f"{diagnostic.severity.value}[{diagnostic.code}]", severity)
        out = [f"{head}: {self._paint(diagnostic.title, _Style.TITLE)}"]
        if diagnostic.primary is not None:
            out += self._quotes(diagnostic.primary, diagnostic.labels, severity)
        out += [f"{self._paint('note', _Style.TITLE)}: {note}" for note in diagnostic.notes]
        out += [f"{self._paint('help', _Style.HELP)}: {text}" for text in diagnostic.help]
        return "\n".join(out)

    def _one_line(self, diagnostic: Diagnostic) -> str:
        out = diagnostic.title
        if diagnostic.primary is not None:
            span = diagnostic.primary.span
            out += f" ({span.file.name}:{span.start_line})"
        return "\n".join((out, *(f"help: {text}" for text in diagnostic.help)))

    def _quotes(self, primary: Label, labels: tuple[Label, ...], severity: _Style) -> list[str]:
        by_file: dict[SourceFile, list[_Mark]] = {
            primary.span.file: [_mark(primary, is_primary=True)]
        }
        for label in labels:
            by_file.setdefault(label.span.file, []).append(_mark(label, is_primary=False))
        quoted = [marks for file, marks in by_file.items() if file.text]
        last = max((mark.line for marks in quoted for mark in marks), default=0)
        width = max(2, len(str(last)))
        out: list[str] = []
        for file, marks in by_file.items():
            first = marks[0]
            arrow = self._paint(" " * (width - 1) + "-->", _Style.FRAME)
            out.append(f"{arrow} {file.name}:{first.line}:{first.start + 1}")
            if not file.text:
                out += [f"{' ' * width} | {mark.text}" for mark in marks if mark.text]
                continue
            for line in sorted({mark.line for mark in marks}):
                here = [mark for mark in marks if mark.line == line]
                out += self._quote(file.line(line), here, width, severity)
        return out

    def _quote(self, line: str, marks: list[_Mark], width: int, severity: _Style) -> list[str]:
        shown, offset = _cut(line, min(mark.start for mark in marks))
        number = self._paint(f"{marks[0].line:{width}} |", _Style.FRAME)
        out = [f"{number} {_printable(shown)}"]
        for mark in sorted(marks, key=lambda mark: -mark.start):
            start = max(mark.start - offset, 0)
            end = max(min(mark.end - offset, len(shown)), start + 1)
            indent = " " * _display_width(shown[:start])
            carets = ("^" if mark.is_primary else "-") * max(1, _display_width(shown[start:end]))
            text = f"{carets} {mark.text}" if mark.text else carets
            frame = self._paint(" " * width + " |", _Style.FRAME)
            style = severity if mark.is_primary else _Style.CAUSE
            out.append(f"{frame} {indent}{self._paint(text, style)}")
        return out

    def _paint(self, text: str, style: _Style) -> str:
        return f"{style.value}{text}{_RESET}" if self._color else text


def _mark(label: Label, *, is_primary: bool) -> _Mark:
    span = label.span
    return _Mark(span.start_line, span.start_column - 1, _end_on_line(span), label.text, is_primary)


def _end_on_line(span: Span) -> int:
    """The 0-based end column of the part of `span` on its first line."""
    if span.end_line == span.start_line:
        return span.end_column - 1
    return len(span.file.line(span.start_line).rstrip()) if span.file.text else span.start_column


def _cut(line: str, first_mark: int) -> tuple[str, int]:
    """A long line's part around its first mark, and how many columns shorter its front became."""
    if len(line) <= WIDEST_QUOTE:
        return line, 0
    start = max(0, first_mark - _LEAD)
    part = line[start : start + WIDEST_QUOTE]
    head = "…" if start else ""
    tail = "…" if start + WIDEST_QUOTE < len(line) else ""
    return head + part + tail, start - len(head)


def _printable(text: str) -> str:
    """Tabs and control characters would move or hide the carets below them."""
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character == "\t":
        return " "
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character) == "Cc" else character


def _display_width(text: str) -> int:
    """Terminal columns of `text`: Unicode UAX #11 wide characters take two, marks none."""
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
