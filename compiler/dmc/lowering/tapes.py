"""Tapes of kernel-level loops as blocks of memory that grow.

Every stack of a loop has a block with room for as many elements as the others'. A loop that knows
its count makes room for all before it begins, a `while` for twice as many whenever there is none
left for the next iteration. Where memory runs out, loops that use tapes end at once, and so does
whatever runs until a condition holds: what they leave is of no account, since the program fails.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dmc.dialects import arith, control, loop
from dmc.dialects.loop.tape import NEWEST, ROOT, UNBOUNDED
from dmc.ir.operation import Block, Operation, Value
from dmc.ir.types import MemRefType, TapeType
from dmc.lowering.loop_builder import LoopBuilder

_FIRST_BYTES = 4096
"""The first elements of a tape take about as much, if they are no larger."""


def keeps_tapes(root: Operation) -> bool:
    """Whether something inside makes tapes."""
    return any(isinstance(op, control.Loop) and _has_tape(op.stacks) for op in root.walk())


def passes_none(block: Block) -> bool:
    """Whether all tapes that `block` makes are done with at its end."""
    made = any(keeps_tapes(op) for op in block)
    return made and not _has_tape(block.terminator.operands)


def _has_tape(values: Sequence[Value]) -> bool:
    return any(isinstance(value.type, TapeType) for value in values)


class Roots:
    """The root of the tapes of the function or parallel task being written, if it has any."""

    def __init__(self, b: LoopBuilder) -> None:
        self.b = b
        self.root: Value | None = None

    @contextmanager
    def opened(self, wanted: bool, most: int | None = None) -> Generator[None]:
        """Within, tapes have a root of their own, in the function or task that begins here.

        Those of the function, with its tasks, may take `most` bytes, if that is said.
        """
        outer = self.root
        if wanted:
            self.root = self.b.insert(loop.Alloca([], {"type": ROOT})).results[0]
            around = [] if outer is None else [outer]
            self.b.insert(
                loop.TapeOpen([self.root, *around], {"most": UNBOUNDED if most is None else most})
            )
        try:
            yield
            if wanted and self.root is not None:
                self.b.insert(loop.TapeRelease([self.root, self.b.index(0)]))
        finally:
            self.root = outer

    @contextmanager
    def released(self, block: Block) -> Generator[None]:
        """Within, `block` is written; tapes that it passes on to nobody are freed behind it."""
        if self.root is None or not passes_none(block):
            yield
            return
        mark = self.b.load(self.root, [NEWEST])
        yield
        self.b.insert(loop.TapeRelease([self.root, mark]))

    def going(self, holds: Value) -> Value:
        """Whether a condition holds and memory has not run out."""
        if self.root is None:
            return holds
        failed = self.b.insert(loop.TapeFailed([self.root])).results[0]
        return arith.logical_and(self.b.builder, holds, arith.logical_not(self.b.builder, failed))

    def counted(self, count: Value) -> Value:
        """How often a loop that uses tapes runs: never where memory has run out."""
        assert self.root is not None
        failed = self.b.insert(loop.TapeFailed([self.root])).results[0]
        return arith.select(self.b.builder, failed, self.b.index(0), count)


@dataclass
class Stacks:
    """The blocks that one loop stacks on: elements of `types`."""

    roots: Roots
    types: Sequence[MemRefType]

    @property
    def b(self) -> LoopBuilder:
        return self.roots.b

    @property
    def first(self) -> int:
        """For how many elements there is room at first."""
        most = max((type_.bytes for type_ in self.types), default=1)
        return max(1, min(64, _FIRST_BYTES // max(most, 1)))

    def begin(self, capacity: Value) -> tuple[Value, list[Value]]:
        """Blocks with room for so many elements, and for how many there is room."""
        nothing = self.b.index(0)
        return self._resized([nothing for _ in self.types], nothing, capacity)

    def grown(
        self, count: Value, capacity: Value, blocks: Sequence[Value]
    ) -> tuple[Value, list[Value]]:
        """Room for one more behind `count` elements, if there is memory."""
        b = self.b
        full = arith.compare(b.builder, arith.Direction.GE, count, capacity)

        def double() -> list[Value]:
            twice = arith.multiply(b.builder, capacity, b.index(2))
            more, larger = self._resized(blocks, capacity, twice)
            return [more, *larger]

        capacity, *blocks = b.if_(full, double, lambda: [capacity, *blocks], rare=True)
        return capacity, list(blocks)

    def trimmed(self, count: Value, blocks: Sequence[Value]) -> list[Value]:
        """The blocks of a loop that has run `count` times, with no room left."""
        _, blocks = self._resized(blocks, count, count)
        return list(blocks)

    def _resized(
        self, blocks: Sequence[Value], before: Value, capacity: Value
    ) -> tuple[Value, list[Value]]:
        assert self.roots.root is not None
        b, larger = self.b, list[Value]()
        for block, type_ in zip(blocks, self.types, strict=True):
            operands = [self.roots.root, block, capacity]
            made = b.insert(loop.TapeResize(operands, {"bytes": type_.bytes})).results[0]
            there = arith.compare(b.builder, arith.Direction.NE, made, b.index(0))
            larger.append(arith.select(b.builder, there, made, block))
            capacity = arith.select(b.builder, there, capacity, before)
        return capacity, larger

    def slices(self, blocks: Sequence[Value], index: Value) -> list[Value]:
        """Where an iteration puts what it stacks."""
        pairs = zip(blocks, self.types, strict=True)
        return [element(self.b, block, index, type_) for block, type_ in pairs]


def element(b: LoopBuilder, block: Value, index: Value, type_: MemRefType) -> Value:
    """The buffer of one element of a tape."""
    return b.insert(loop.TapeElement([block, index], {"type": type_})).results[0]
