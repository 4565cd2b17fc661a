"""What a call costs at several sizes, counted rather than timed.

`measure` compiles a function for each size; `Cost` has the bytes of its arena and the operations
that the loop level executes. `slope` is the exponent with which numbers grow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dmc.api.function import Function
from dmc.dialects import loop
from dmc.driver import Compilation
from dmc.ir import Array, Block, Interpreter, Operation, Value, VectorType
from dmc.lowering.to_loops import LoopProgram

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
    return [cost_of(size, compiled(function, arguments(size))) for size in sizes]


def cost_of(size: int, compilation: Compilation) -> Cost:
    """What one call of a program for `size` needs."""
    return Cost(size, compilation.loops.arena_bytes, operations(compilation.loops))


def compiled(function: Function, values: Sequence[Any]) -> Compilation:
    """`function` on its way to machine code, for the sizes of these arguments."""
    return function.specialize(*values).compilation


def operations(program: LoopProgram) -> int:
    """The operations that a call executes, one on a vector counted for each of its lanes.

    Both branches of every `if` count, but for one that is seldom taken, and one iteration of each
    `while`.
    """
    entry = program.module.lookup(program.entry)
    return _Count(program).block(entry.regions[0].block)


class _Count:
    """Counts without running: trip counts follow from constants and the loops around."""

    def __init__(self, program: LoopProgram) -> None:
        self.program = program
        self.functions: dict[tuple[str, tuple[int, ...]], int] = {}
        self.known: dict[Value, Array] = {}

    def block(self, block: Block) -> int:
        return sum(self.operation(op) for op in block)

    def operation(self, op: Operation) -> int:
        match op:
            case loop.For():
                return 1 + self.loop(op)
            case loop.Parallel():
                return 1 + sum(self.task(op.body, number) for number in range(op.tasks))
            case loop.Call():
                return 1 + self.call(op)
            case loop.If() if op.rare:
                return 1 + self.block(op.otherwise)
            case _:
                self.note(op)
                inside = sum(self.block(inner.block) for inner in op.regions)
                types = (*op.result_types, *op.operand_types)
                return inside + max((t.size for t in types if isinstance(t, VectorType)), default=1)

    def loop(self, op: loop.For) -> int:
        """Equal iterations count once; where they are not, one after the other."""
        steps = range(int(self.known[op.lower]), int(self.known[op.upper]), op.step)
        self.known.pop(op.variable, None)
        try:
            return len(steps) * self.block(op.body)
        except KeyError:
            return sum(self.task(op.body, step) for step in steps)

    def task(self, body: Block, number: int) -> int:
        self.known[body.args[0]] = np.asarray(number)
        return self.block(body)

    def note(self, op: Operation) -> None:
        """Compute what is known of indexes."""
        for value in op.results:
            self.known.pop(value, None)
        whole = [value for value in op.results if value.type == loop.INDEX]
        if whole and not op.regions and all(value in self.known for value in op.operands):
            arrays = [self.known[value] for value in op.operands]
            self.known.update(zip(op.results, op.evaluate(arrays, Interpreter()), strict=True))

    def call(self, op: loop.Call) -> int:
        """The indexes that a function takes decide how often its loops run."""
        found = self.program.module.lookup(op.callee.name).regions[0].block
        pairs = list(zip(found.args, op.operands, strict=True))
        given = {arg: self.known[value] for arg, value in pairs if value in self.known}
        key = (op.callee.name, tuple(int(value) for value in given.values()))
        if key not in self.functions:
            self.known.update(given)
            self.functions[key] = self.block(found)
        return self.functions[key]


def slope(sizes: Sequence[int], numbers: Sequence[int]) -> float:
    """The exponent of the power of the size that fits the numbers best."""
    fit: Array = np.polyfit(np.log(sizes), np.log(np.maximum(numbers, 1)), 1)
    return float(fit[0])
