"""Machine code for parts of a function that is compiled."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dmc.api.compiled import Compiled
from dmc.ir.types import Array
from dmc.process import native

if TYPE_CHECKING:
    from dmc.dialects import func
    from dmc.driver import Compilation
    from dmc.ir import Module, Value
    from dmc.jit.entry import Executable


class Cutter:
    """Compiles parts of one function."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        self.whole: Compilation = compiled.compilation
        self.module: Module = self.whole.expanded
        with native:
            from dmc.dialects import func as functions

        self.function: func.Func = functions.lookup(self.module, self.whole.entry)
        self.arguments: list[Value] = self.function.body.args
        self.results: tuple[Value, ...] = self.function.body.terminator.operands
        self.numbers: dict[Value, int] = {v: i for i, v in enumerate(self.arguments)}

    def part(self, known: Collection[Value], given: Sequence[Value]) -> Part:
        """What computes `given` from arguments and `known` values."""
        from dmc.driver import Compilation
        from dmc.transforms.pieces import piece

        cut = piece(self.module, self.function, known, given)
        whole = self.whole
        compilation = Compilation(cut.module, cut.name, strict=whole.strict, budget=whole.budget)
        executable = compilation.executable
        compilation.forget_stages()
        return Part(executable, self.places(cut.taken), self.places(given))

    def places(self, values: Sequence[Value]) -> tuple[int, ...]:
        """A number for each value, under which it is kept while the parts run."""
        return tuple(self.numbers.setdefault(value, len(self.numbers)) for value in values)


@dataclass(frozen=True)
class Part:
    """Machine code, the places of what it takes and of what it gives."""

    executable: Executable
    taken: tuple[int, ...]
    given: tuple[int, ...]

    def run(self, values: dict[int, Array]) -> None:
        results = self.executable(*(values[place] for place in self.taken))
        values.update(zip(self.given, results, strict=True))
