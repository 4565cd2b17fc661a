"""How values of Python are put together of arrays, for native calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from dmc_runtime.records import Constant, Record


class Kind(IntEnum):
    """What a value is to `trees.ll`."""

    ARRAY = 0
    NUMBER = 1
    TUPLE = 2
    RECORD = 3
    NOTHING = 4


@dataclass(frozen=True)
class Shape:
    """How a value is put together.

    A record has a class and the lengths of a stack's axes; its `parts` are all its fields. One that
    is made carries its sizes, one that is taken must where `sizes` are given. A number is an array
    without axes that comes back as a scalar.
    """

    kind: Kind
    parts: tuple[Shape, ...] = ()
    record: type[Record] | None = None
    stack: tuple[int, ...] = ()
    sizes: Mapping[str, Constant] | None = None

    def prefix(self) -> Iterator[Shape]:
        """This one, and what it is made of, in order."""
        yield self
        for part in self.parts:
            yield from part.prefix()
