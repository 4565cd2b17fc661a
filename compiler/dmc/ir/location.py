"""Where an operation comes from: a span of a source text and the pass or rule that made it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A text with a name to show in messages; lines count from 1, as in `Span`.

    `text` is empty where only the name is known: then there is nothing to quote.
    """

    name: str
    text: str = field(default="", repr=False)
    _lines: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _starts: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """The offset at which each line begins."""

    def __post_init__(self) -> None:
        # Only `\n` ends a line for the lexer; `str.splitlines` would also split at form feeds.
        raw = self.text.split("\n")
        starts = accumulate((len(line) + 1 for line in raw[:-1]), initial=0)
        object.__setattr__(self, "_lines", tuple(line.removesuffix("\r") for line in raw))
        object.__setattr__(self, "_starts", tuple(starts))

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
        return Span(self, start_line, start_column, end_line, end_column)

    def quote(self, span: Span) -> str:
        """The text that `span` covers, lines joined by `\\n`."""
        if span.start_line == span.end_line:
            return self.line(span.start_line)[span.start_column - 1 : span.end_column - 1]
        first = self.line(span.start_line)[span.start_column - 1 :]
        middle = self._lines[span.start_line : span.end_line - 1]
        return "\n".join((first, *middle, self.line(span.end_line)[: span.end_column - 1]))

    def _position(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of source text. Lines and columns count from 1; the end column is exclusive."""

    file: SourceFile
    start_line: int
    start_column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file.name}:{self.start_line}:{self.start_column}"


REVERSE = frozenset({"adjoint", "recompute"})
"""The producers of reverse passes: derivatives, and what is computed again for them."""


@dataclass(frozen=True, slots=True)
class Location:
    """The `.dm` span of an operation (None when it has none) and what produced the operation.

    `producer` names the pass or rule, such as `fuse`; it is empty for operations that lowering from
    source made. That something belongs to a reverse pass stays in front: `adjoint`, then
    `adjoint fuse`.
    """

    span: Span | None = None
    producer: str = ""

    def by(self, producer: str) -> Location:
        """The same place in the source, now produced by `producer`."""
        first = self.producer.partition(" ")[0]
        if first in REVERSE and producer not in REVERSE:
            producer = f"{first} {producer}"
        return self if producer == self.producer else Location(self.span, producer)

    def is_by(self, producer: str) -> bool:
        """Whether the last that `by` named is this one."""
        return self.producer.rpartition(" ")[2] == producer

    @property
    def is_reverse(self) -> bool:
        """Whether it belongs to a reverse pass."""
        return self.producer.partition(" ")[0] in REVERSE


UNKNOWN = Location()
