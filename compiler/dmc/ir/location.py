"""Where an operation comes from: a span of source and the pass or rule that made it."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of source text. Lines and columns count from 1; the end column is exclusive."""

    file: str
    start_line: int
    start_column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.start_line}:{self.start_column}"


@dataclass(frozen=True, slots=True)
class Location:
    """The `.dm` span of an operation (None when it has none) and what produced the operation.

    `producer` names passes and rules, outermost first, such as `adjoint` or `fuse`; it is empty
    for operations that lowering from source made.
    """

    span: Span | None = None
    producer: str = ""

    def by(self, producer: str) -> Location:
        """The same place in the source, now produced by `producer`."""
        return self if producer == self.producer else replace(self, producer=producer)


UNKNOWN = Location()
