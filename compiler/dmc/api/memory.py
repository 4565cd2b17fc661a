"""What a compiled function takes of memory, as a number and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from os import PathLike
from typing import TYPE_CHECKING

from dmc.driver import Compilation
from dmc.jit.pool import pool
from dmc.transforms.memory.report import Entry, Kept, described
from dmc_runtime.arguments import path
from dmc_runtime.budget import Keep
from dmc_runtime.sizes import shown_bytes

if TYPE_CHECKING:
    from dmc.jit.entry import ArgumentSpec, ResultSpec

_LARGEST = 8
_ROWS = 12


@dataclass(frozen=True, slots=True)
class MemoryValue:
    """A value in the arena: its name if it has one, its type, bytes, and the line that makes it."""

    name: str
    type: str
    bytes: int
    file: str = ""
    line: int | None = None

    @property
    def place(self) -> str:
        """`file:line`, or nothing."""
        return "" if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Moment:
    """What is live of the arena at a point of the program."""

    bytes: int
    is_reverse: bool


@dataclass(frozen=True)
class Memory:
    """What one call takes, in bytes, all of it known before it runs.

    `peak` is everything together: `arguments`, `results` that are new arrays, the `arena` in which
    all other values lie (tape and gradients too), and `scratch`: what threads
    pack and add up apart.
    Arena and scratch are allocated when the function is loaded and kept. `live` are the values that
    are live where most of the arena is, `saved` those that the forward pass keeps for the reverse
    pass, `largest` the largest of all. `budget` is the bound that the program asks for. Only what
    is `kept` of each iteration of loops without a bound comes on top, as long as they run. What is
    `rounded` waits in fewer bits, as `keep` says.
    """

    function: str
    peak: int
    arguments: int
    results: int
    arena: int
    scratch: int
    saved: tuple[MemoryValue, ...]
    live: tuple[MemoryValue, ...]
    largest: tuple[MemoryValue, ...]
    budget: int | None = None
    moments: tuple[Moment, ...] = field(default=(), repr=False)
    kept: tuple[MemoryValue, ...] = ()
    rounded: tuple[MemoryValue, ...] = ()
    keep: str = Keep.WHOLE.value

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.function}: {shown_bytes(self.peak)} at the peak"
        parts = ("arguments", "results", "arena", "scratch")
        for part, count in zip(parts, (getattr(self, name) for name in parts), strict=True):
            yield f"  {part:<10} {shown_bytes(count):>12} {count:>16,} bytes"
        if self.budget is not None:
            yield f"  {'budget':<10} {shown_bytes(self.budget):>12} {self.budget:>16,} bytes"
        yield from _table("live at the peak of the arena", self.live)
        yield from _table("kept for the reverse pass", self.saved)
        how = f"waiting in {self.keep}, each number {Keep(self.keep).error}"
        yield from _table(how, self.rounded)
        yield from _table("and of each iteration of a loop without a bound", self.kept)

    def plot(self, file: str | PathLike[str]) -> None:
        """Draw the live bytes over the program, and the budget, into a PNG; needs matplotlib."""
        from dmc_runtime.plot import plot_memory

        sizes = [moment.bytes for moment in self.moments]
        reverse = next((i for i, m in enumerate(self.moments) if m.is_reverse), None)
        where = path(file, "`plot`: `file`")
        plot_memory(sizes, reverse, self.budget, where, self.function)


def _table(title: str, values: Sequence[MemoryValue]) -> Iterator[str]:
    if not values:
        return
    total = sum(value.bytes for value in values)
    yield f"{title}: {shown_bytes(total)}"
    for value in values[:_ROWS]:
        what = f"{value.type:<20} {value.name:<12} {value.place}"
        yield f"  {shown_bytes(value.bytes):>12}  {what}".rstrip()
    if len(values) > _ROWS:
        rest = sum(value.bytes for value in values[_ROWS:])
        yield f"  {shown_bytes(rest):>12}  in {len(values) - _ROWS} more"


def memory_of(name: str, compilation: Compilation) -> Memory:
    """The memory of a function whose machine code is made."""
    artifact, plan = compilation.artifact, compilation.memory()
    arguments = sum(map(_bytes, artifact.arguments))
    results = sum(_bytes(spec) for spec in artifact.results if spec.overwrites is None)
    scratch = pool().threads * artifact.scratch_bytes
    by_size = sorted(plan.entries, key=lambda entry: -entry.bytes)
    return Memory(
        name,
        arguments + results + artifact.arena_bytes + scratch,
        arguments,
        results,
        artifact.arena_bytes,
        scratch,
        _values(entry for entry in by_size if entry.is_saved),
        _values(plan.live_at_peak()),
        _values(by_size[:_LARGEST]),
        compilation.budget.bytes or None,
        tuple(
            Moment(live, plan.reverse_from is not None and point >= plan.reverse_from)
            for point, live in plan.live_bytes()
        ),
        _values(plan.kept),
        _values(entry for entry in by_size if entry.is_rounded),
        compilation.budget.keep.value,
    )


def _bytes(spec: ArgumentSpec | ResultSpec) -> int:
    return prod(spec.shape) * spec.numpy.itemsize


def _values(entries: Iterator[Entry] | Sequence[Entry | Kept]) -> tuple[MemoryValue, ...]:
    found: list[MemoryValue] = []
    for entry in entries:
        span = entry.location.span
        file, line = ("", None) if span is None else (span.file.name, span.start_line)
        found.append(MemoryValue(entry.name, described(entry.type), entry.bytes, file, line))
    return tuple(found)
