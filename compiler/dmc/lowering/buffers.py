"""Where tensors that are neither arguments nor results are kept."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from dmc.dialects import loop
from dmc.ir.builder import Builder
from dmc.ir.operation import Block, Value
from dmc.ir.types import MemRefType
from dmc.lowering.loop_builder import LoopBuilder

ALIGNMENT = 64


class Buffers:
    """Hands out memory: of the arena, or private to the parallel task being written."""

    def __init__(self, b: LoopBuilder, arena: Value, planned_bytes: int = 0) -> None:
        self.b = b
        self.arena = arena
        self.arena_bytes = planned_bytes
        self._task: Block | None = None

    def at(self, offset: int, type_: MemRefType) -> Value:
        """The part of the arena that the memory plan chose."""
        return self.b.view(self.arena, offset, type_)

    def fresh(self, type_: MemRefType) -> Value:
        """Memory used for nothing else: for what the plan has no place for."""
        if self._task is not None:
            place = Builder(self._task, self._task.first, self.b.location)
            return place.insert(loop.Alloca([], {"type": type_})).results[0]
        offset = -(-self.arena_bytes // ALIGNMENT) * ALIGNMENT
        self.arena_bytes = offset + type_.bytes
        return self.at(offset, type_)

    @property
    def in_task(self) -> bool:
        """Whether a parallel task is being written: its memory must be its own."""
        return self._task is not None

    @contextmanager
    def task(self, block: Block) -> Generator[None]:
        """Within, memory is private to the task whose body is `block`."""
        outer, self._task = self._task, block
        try:
            yield
        finally:
            self._task = outer
