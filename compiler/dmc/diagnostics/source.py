"""Source texts and where to find them when a diagnostic wants to quote a line."""

from __future__ import annotations

from dataclasses import dataclass, field

from dmc.ir.location import Span


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A text with a name to show in messages; lines count from 1, as in `Span`."""

    name: str
    text: str
    _lines: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Only `\n` ends a line for the lexer; `str.splitlines` would also split at form feeds.
        lines = tuple(line.removesuffix("\r") for line in self.text.split("\n"))
        object.__setattr__(self, "_lines", lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines without their ends; text that ends in a newline has an empty last line."""
        return self._lines

    def line(self, number: int) -> str:
        """Line `number`, or an empty string past the end."""
        return self._lines[number - 1] if 1 <= number <= len(self._lines) else ""

    def span(self, start: int, end: int) -> Span:
        """The span of the characters `start` up to `end` (offsets into `text`)."""
        start_line, start_column = self._position(start)
        end_line, end_column = self._position(end)
        return Span(self.name, start_line, start_column, end_line, end_column)

    def quote(self, span: Span) -> str:
        """The text that `span` covers, lines joined by `\\n`."""
        if span.start_line == span.end_line:
            return self.line(span.start_line)[span.start_column - 1 : span.end_column - 1]
        first = self.line(span.start_line)[span.start_column - 1 :]
        middle = self._lines[span.start_line : span.end_line - 1]
        return "\n".join((first, *middle, self.line(span.end_line)[: span.end_column - 1]))

    def _position(self, offset: int) -> tuple[int, int]:
        line = self.text.count("\n", 0, offset) + 1
        return line, offset - (self.text.rfind("\n", 0, offset) + 1) + 1


_known: dict[str, SourceFile] = {}


def remember(source: SourceFile) -> None:
    """Keep `source` for diagnostics about spans in a file of its name; the latest text wins."""
    _known[source.name] = source


def find(name: str) -> SourceFile | None:
    """The latest text seen under `name`, or None when there is none to quote."""
    return _known.get(name)
