"""A compiled program as data: its machine code, and all that calling it takes.

What a process has compiled, others find in the cache (`Recall` in `dmc.api.recall`), and need no
part of the compiler below the checker for it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from dmc.ir.location import Location, SourceFile, Span
from dmc.ir.types import DType
from dmc.jit.engine import Engine
from dmc.jit.entry import ArgumentSpec, Executable, ResultSpec
from dmc.jit.pool import PARALLEL_FOR, pool
from dmc.jit.tapes import tape_memory
from dmc.transforms.index_arguments import IndexArgument


@dataclass(frozen=True, slots=True)
class CheckedIndex:
    """An index that the program computes and looks at: it should be in 0..`size`."""

    size: int
    span: Span | None


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled program.

    `code` names its objects in the engine's cache, `entry` the function to call. The arena holds
    `arena_bytes` and behind them `scratch_bytes` for each thread; a call takes `needed_bytes`
    beside its arguments. The caller checks `index_arguments`. A program that `returns_fault` gives
    behind its results 0, or which of `checked_indexes` was wrong. One with `tapes` calls for memory
    while it runs, one that `polls` can be ended. `rates` are those of the machine that a program
    under a budget was made for, else empty.
    """

    code: tuple[str, ...]
    entry: str
    arguments: tuple[ArgumentSpec, ...]
    results: tuple[ResultSpec, ...]
    arena_bytes: int
    scratch_bytes: int
    needed_bytes: int
    index_arguments: tuple[IndexArgument, ...]
    checked_indexes: tuple[CheckedIndex, ...]
    returns_fault: bool
    tapes: bool
    polls: bool
    rates: str = ""

    def load(self, engine: Engine, objects: Sequence[bytes]) -> Executable:
        """Make `objects`, the code, ready to be called."""
        symbols = {PARALLEL_FOR: pool().parallel_for}
        if self.tapes:
            tape_memory().begin()
            symbols.update(tape_memory().symbols)
        code = engine.link(objects, [self.entry], symbols)
        return Executable(
            code[self.entry],
            self.arguments,
            self.results,
            self.arena_bytes,
            self.scratch_bytes,
            self.polls,
            keep=code,
        )

    def to_bytes(self, files: Sequence[SourceFile]) -> bytes | None:
        """As text, without the code; None when a span is in none of `files`."""
        numbers = {id(file): number for number, file in enumerate(files)}

        def place(span: Span | None) -> list[int]:
            if span is None:
                return []
            start, end = (span.start_line, span.start_column), (span.end_line, span.end_column)
            return [numbers[id(span.file)], *start, *end]

        try:
            data = {
                "code": self.code,
                "entry": self.entry,
                "arguments": [(a.dtype.value, a.shape, a.donated) for a in self.arguments],
                "results": [(r.dtype.value, r.shape, r.overwrites) for r in self.results],
                "bytes": [self.arena_bytes, self.scratch_bytes, self.needed_bytes],
                "index_arguments": [
                    (use.argument, use.part, use.bound, place(use.location.span))
                    for use in self.index_arguments
                ],
                "checked_indexes": [(use.size, place(use.span)) for use in self.checked_indexes],
                "returns_fault": self.returns_fault,
                "tapes": self.tapes,
                "polls": self.polls,
                "rates": self.rates,
            }
        except KeyError:
            return None
        return json.dumps(data).encode()

    @staticmethod
    def of_bytes(content: bytes, files: Sequence[SourceFile]) -> Artifact:
        """What `to_bytes` gave."""
        data = cast("dict[str, Any]", json.loads(content))

        def span(place: list[int]) -> Span | None:
            return Span(files[place[0]], *place[1:]) if place else None

        arena, scratch, needed = data["bytes"]
        return Artifact(
            tuple(data["code"]),
            data["entry"],
            tuple(ArgumentSpec(DType(d), tuple(s), donated) for d, s, donated in data["arguments"]),
            tuple(ResultSpec(DType(d), tuple(s), over) for d, s, over in data["results"]),
            arena,
            scratch,
            needed,
            tuple(
                IndexArgument(
                    argument, tuple((a, b, c) for a, b, c in part), bound, Location(span(place))
                )
                for argument, part, bound, place in data["index_arguments"]
            ),
            tuple(CheckedIndex(size, span(place)) for size, place in data["checked_indexes"]),
            data["returns_fault"],
            data["tapes"],
            data["polls"],
            data["rates"],
        )
