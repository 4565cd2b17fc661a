"""What a call costs at several sizes, counted rather than timed.

`measure` compiles a function for each size; `Cost` has the bytes of its arena and the operations
that the interpreter executes at loop level. `slope` is the exponent with which numbers grow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dmc.api.function import Function
from dmc.driver import Compilation
from dmc.ir import Array, Interpreter, Operation, VectorType

Arguments = Callable[[int], Sequence[Any]]
"""The arguments of a call at a size."""


@dataclass(frozen=True)
class Cost:
    """What one call at `size` needs."""

    size: int
    arena: int
    operations: int


def measure(function: Function, arguments: Arguments, sizes: Sequence[int]) -> list[Cost]:
    """The costs of calling `function` with what `arguments` gives for each size."""
    return [cost(compiled(function, arguments(size)), size, arguments(size)) for size in sizes]


def arenas(function: Function, arguments: Arguments, sizes: Sequence[int]) -> list[int]:
    """The bytes of the arena at each size, without running anything."""
    return [compiled(function, arguments(size)).loops.arena_bytes for size in sizes]


def compiled(function: Function, values: Sequence[Any]) -> Compilation:
    """`function` on its way to machine code, for the sizes of these arguments."""
    return function.specialize(*values).compilation


def cost(compilation: Compilation, size: int, values: Sequence[Any]) -> Cost:
    """Run the loop level in the interpreter, counting."""
    loops = compilation.loops
    arrays = [
        np.asarray(value, type_.dtype.numpy)
        for value, type_ in zip(values, compilation.argument_types, strict=True)
    ]
    results = [np.zeros(t.shape, t.dtype.numpy) for t in compilation.result_types]
    counter = _Counter(loops.module)
    counter.call(loops.entry, [*arrays, *results, np.zeros(loops.arena_bytes, np.int8)])
    return Cost(size, loops.arena_bytes, counter.count)


class _Counter(Interpreter):
    """Counts the operations that it runs, one on a vector for each of its lanes."""

    count = 0

    def run(self, op: Operation) -> None:
        vectors = (*op.result_types, *op.operand_types)
        self.count += max((t.size for t in vectors if isinstance(t, VectorType)), default=1)
        super().run(op)


def slope(sizes: Sequence[int], numbers: Sequence[int]) -> float:
    """The exponent of the power of the size that fits the numbers best."""
    fit: Array = np.polyfit(np.log(sizes), np.log(np.maximum(numbers, 1)), 1)
    return float(fit[0])
