"""Where a tensor lies, and how the IR records it.

An operation whose results are tensors with axes has an attribute `places`, one text for each
result, so that a printed plan can be read and resumed. Views lie where their source lies, block
arguments where the value lies that they stand for.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from dmc.ir import ArrayAttr, Operation, Value, VerifyError

ROUNDED = "rounded"
"""The producer of what is kept in fewer bits."""


class Kind(enum.Enum):
    """The memories."""

    REGISTER = "register"
    """None: the value has no axes."""
    ARENA = "arena"
    """The arena of the function, at a byte offset."""
    PRIVATE = "private"
    """Memory of one parallel task of a `control.map`, at a byte offset."""
    RESULT = "result"
    """The buffer of result `index` of the function."""
    ARGUMENT = "argument"
    """The buffer of argument `index`, given up by the caller."""
    STACK = "stack"
    """A slice of stacked result `index` of a loop around, at its current iteration.

    `depth` says which loop: 0 is the innermost `for`, `while` or `map` around.
    """


@dataclass(frozen=True, slots=True)
class Place:
    """A place: a byte `offset` in a memory, or all of a buffer named by `index`."""

    kind: Kind
    index: int = 0
    offset: int = 0
    depth: int = 0

    def __str__(self) -> str:
        match self.kind:
            case Kind.REGISTER:
                return self.kind.value
            case Kind.ARENA | Kind.PRIVATE:
                return f"{self.kind.value} {self.offset}"
            case Kind.RESULT | Kind.ARGUMENT:
                return f"{self.kind.value} {self.index}"
            case Kind.STACK:
                return f"{self.kind.value} {self.index} {self.depth}"

    @staticmethod
    def parse(text: str) -> Place:
        """The inverse of `str`. Raises ValueError on anything else."""
        word, *numbers = text.split()
        kind, values = Kind(word), [int(number) for number in numbers]
        match kind, values:
            case Kind.REGISTER, []:
                return Place(kind)
            case ((Kind.ARENA | Kind.PRIVATE), [offset]):
                return Place(kind, offset=offset)
            case ((Kind.RESULT | Kind.ARGUMENT), [index]):
                return Place(kind, index)
            case Kind.STACK, [index, depth]:
                return Place(kind, index, depth=depth)
            case _:
                raise ValueError(f"`{text}` is no place")


def place_of(value: Value) -> Place | None:
    """Where the plan puts a result of an operation; None when it says nothing about it."""
    op = value.defining_op
    if op is None or op.places is None:
        return None
    try:
        return Place.parse(str(op.places.items[value.index]))
    except (ValueError, IndexError) as failure:
        raise VerifyError(op, 0, f"places: {failure}") from None


def verify_places(module: Operation) -> None:
    """Raises VerifyError for an operation whose places are none."""
    for op in module.walk():
        for value in op.results:
            place_of(value)


def record(op: Operation, places: Sequence[Place]) -> None:
    """Write the places of all results of `op` into it."""
    op.attributes["places"] = ArrayAttr(tuple(str(place) for place in places))
