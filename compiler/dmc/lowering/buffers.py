"""Where tensors that are neither arguments nor results are kept."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from dmc.dialects import loop
from dmc.ir.operation import Block, Builder, Value
from dmc.ir.types import DType, MemRefType
from dmc.lowering.loop_builder import LoopBuilder

ALIGNMENT = 64


class Buffers:
    """Memory: of the arena, or private to the parallel task being written.

    `planned_bytes` and `private_bytes` are what the memory plan takes of them; more is handed out
    behind that.
    """

    def __init__(
        self, b: LoopBuilder, arena: Value, planned_bytes: int = 0, private_bytes: int = 0
    ) -> None:
        self.b = b
        self.arena = arena
        self.arena_bytes = planned_bytes
        self.private_bytes = private_bytes
        self._slots: dict[int, int] = {}
        self._task: Block | None = None
        self._private: Value | None = None

    def at(self, offset: int, type_: MemRefType) -> Value:
        """The part of the arena, or of the task's memory, that the plan chose."""
        return self.b.view(self._private or self.arena, offset, type_)

    def fresh(self, type_: MemRefType) -> Value:
        """Memory used for nothing else: for what the plan has no place for."""
        if self._task is not None:
            return self._allocate(self._task, type_)
        offset = -(-self.arena_bytes // ALIGNMENT) * ALIGNMENT
        self.arena_bytes = offset + type_.bytes
        return self.at(offset, type_)

    def slot(self, number: int, type_: MemRefType) -> Value:
        """Memory for a scalar until the next one of that number is written."""
        if self._task is not None:
            return self.fresh(type_)
        if number in self._slots:
            return self.at(self._slots[number], type_)
        found = self.fresh(type_)
        self._slots[number] = self.arena_bytes - type_.bytes
        return found

    def _allocate(self, block: Block, type_: MemRefType) -> Value:
        place = Builder(block, block.first, self.b.location)
        return place.insert(loop.Alloca([], {"type": type_})).results[0]

    @property
    def in_task(self) -> bool:
        """Whether a parallel task is being written: its memory must be its own."""
        return self._task is not None

    @contextmanager
    def task(self, block: Block) -> Generator[None]:
        """Within, memory is private to the task whose body is `block`."""
        outer = self._task, self._private
        self._task = block
        if self.private_bytes:
            self._private = self._allocate(block, MemRefType((self.private_bytes,), DType.I8))
        try:
            yield
        finally:
            self._task, self._private = outer
