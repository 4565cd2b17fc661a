"""What reverse code needs from forward code that has run before, and how it gets it.

While an adjoint is emitted, code in the reverse region of a loop or branch uses values of the
forward region as if they were still there: those of the same iteration, or of the branch that was
taken. A `Tape` knows which region belongs to which. When all is emitted, `settle` decides what is
kept and what is computed again (`plan.py`), and makes it so (`settle.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dmc.dialects import control
from dmc.ir import Block, Operation, Value

Structured = control.Loop | control.If
"""Operations whose reverse code looks into their regions: those that yield."""


@dataclass
class Tape:
    """The pairs of forward and reverse operations of one adjoint."""

    mirrors: dict[Block, Block] = field(default_factory=dict[Block, Block])
    """The reverse region of each forward region."""
    reverse_of: dict[Structured, Structured] = field(default_factory=dict[Structured, Structured])

    def pair(self, forward: Structured, reverse: Structured) -> None:
        """Let the regions of `reverse` use values of the regions of `forward`."""
        self.reverse_of[forward] = reverse
        self.mirrors.update(zip(forward.yielding, reverse.yielding, strict=True))

    def forget_erased(self) -> None:
        """Drop the pairs of which one is no longer there."""
        for forward, reverse in list(self.reverse_of.items()):
            if forward.parent is None or reverse.parent is None:
                del self.reverse_of[forward]
                for block in forward.yielding:
                    del self.mirrors[block]

    def needs(self, block: Block) -> Iterator[tuple[Operation, Value]]:
        """Uses, inside `block`, of values whose region has been left by then."""
        yield from self._needs(block, set())

    def _needs(self, block: Block, around: set[Block]) -> Iterator[tuple[Operation, Value]]:
        around.add(block)
        for op in block:
            for value in op.operands:
                if self.is_gone(value, around):
                    yield op, value
            for inner in op.regions:
                yield from self._needs(inner.block, around)
        around.remove(block)

    def is_gone(self, value: Value, around: set[Block]) -> bool:
        """Whether `value` belongs to a forward region that is not one of `around`."""
        block = value.parent_block
        return block in self.mirrors and block not in around


def drop_dead(block: Block, kept: set[Operation]) -> None:
    """Erase what nothing uses, so that it needs nothing either; `kept` stay."""
    for op in reversed(block):
        for inner in op.regions:
            drop_dead(inner.block, kept)
        unused = bool(op.results) and not any(value.uses for value in op.results)
        if unused and op not in kept and op.is_pure:
            op.erase()
