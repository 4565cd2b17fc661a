"""Creating operations at an insertion point."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeVar

from dmc.ir.location import UNKNOWN, Location
from dmc.ir.operation import Block, Operation

OpT = TypeVar("OpT", bound=Operation)


class Builder:
    """Inserts operations before `before` (at the end of `block` when it is None).

    An operation without a location gets the builder's, and the code in its regions its own.
    """

    def __init__(
        self, block: Block, before: Operation | None = None, location: Location = UNKNOWN
    ) -> None:
        self.block = block
        self.before = before
        self.location = location

    @staticmethod
    def ahead_of(op: Operation) -> Builder:
        """Inserts in front of `op`, at its location. Raises ValueError if `op` is detached."""
        if op.parent is None:
            raise ValueError(f"{op.name} is in no block")
        return Builder(op.parent, op, op.location)

    def insert(self, op: OpT) -> OpT:
        if op.location is UNKNOWN:
            op.location = self.location
        if op.regions:
            for inner in op.walk():
                if inner.location is UNKNOWN:
                    inner.location = op.location
        self.block.insert(op, self.before)
        return op

    @contextmanager
    def at(self, location: Location) -> Generator[None]:
        """Use `location` for what is built inside the `with` block."""
        outer, self.location = self.location, location
        try:
            yield
        finally:
            self.location = outer
