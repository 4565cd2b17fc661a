"""What all ways of saving memory have in common: what they gain, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dmc.dialects import func, kernel
from dmc.ir import Block, Operation, TapeType, Trait, Value

Use = tuple[Operation, Operation, int]
"""The operation of the value's block that is or holds a user, the user, and its operand."""


@dataclass(frozen=True)
class Move:
    """A way to have less memory in use at the peak.

    `gain` is how many bytes less, for `span` points of the program; `cost` the time that it takes,
    in nanoseconds.
    """

    gain: int
    span: int
    cost: float

    @property
    def worth(self) -> float:
        return self.gain * max(self.span, 1) / (1.0 + self.cost)

    def apply(self) -> None:
        """Change the function."""
        raise TypeError(f"{type(self).__name__} does not say what it does")


def can_repeat(op: Operation) -> bool:
    """Whether running an operation once more gives the same results, and is known to end."""
    if not op.is_pure or op.has(Trait.CONSTANT):
        return False
    if any(isinstance(type_, TapeType) for type_ in (*op.operand_types, *op.result_types)):
        return False  # tapes lie outside of the arena
    return not any(isinstance(inner, func.Call) for inner in op.walk())


def anchor(op: Operation, block: Block | None) -> Operation:
    """The operation of `block` that is or holds `op`."""
    while op.parent is not block:
        outer = op.parent_op
        assert outer is not None
        op = outer
    return op


def uses(value: Value) -> Iterator[Use]:
    """The uses of a value in and inside its block, through views that are made there."""
    for user, index in value.uses:
        place = anchor(user, value.parent_block)
        if isinstance(user, kernel.View) and place is user:
            yield from uses(user.output)
        else:
            yield place, user, index
