"""The reference interpreter: slow, obviously right, the same for every level of IR.

Each operation says in `evaluate` what it computes on NumPy arrays; here is only the walk. Scalars
are 0-d arrays, memrefs are writable views.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dmc.ir.module import Module
from dmc.ir.operation import Block, Operation, Value
from dmc.ir.types import Array, DType, ScalarType, ShapedType


class InterpreterError(Exception):
    """An operation produced a value that is not of its declared type."""


class Interpreter:
    """Runs functions of `module` (None when only a block without calls is run)."""

    def __init__(self, module: Module | None = None) -> None:
        self.module = module
        self.values: dict[Value, Array] = {}

    def call(self, symbol: str, arguments: Sequence[Array]) -> list[Array]:
        """Run the function named `symbol`. Raises KeyError when the module lacks it."""
        if self.module is None:
            raise KeyError(symbol)
        function = self.module.lookup(symbol)
        frame, self.values = self.values, {}
        try:
            return self.run_block(function.regions[0].block, arguments)
        finally:
            self.values = frame

    def run_block(self, block: Block, arguments: Sequence[Array]) -> list[Array]:
        """Run `block`; the operands of its terminator are the result."""
        for arg, array in zip(block.args, arguments, strict=True):
            self.values[arg] = np.asarray(array)
        terminator = block.terminator
        for op in block:
            if op is terminator:
                break
            self.run(op)
        return [self.values[value] for value in terminator.operands]

    def run(self, op: Operation) -> None:
        """Run one operation whose operands have values. Raises InterpreterError on a wrong type."""
        with np.errstate(all="ignore"):
            outputs = op.evaluate([self.values[value] for value in op.operands], self)
        for value, output in zip(op.results, outputs, strict=True):
            array = np.asarray(output)
            check_type(op, value, array)
            self.values[value] = array


def check_type(op: Operation, value: Value, array: Array) -> None:
    """Hold a computed array against the declared type of `value`."""
    match value.type:
        case ScalarType(dtype):
            shape: tuple[int, ...] = ()
        case ShapedType(shape, dtype):
            pass
        case _:
            return
    if array.shape != shape or (dtype is not DType.BF16 and array.dtype != dtype.numpy):
        raise InterpreterError(f"{op.name} gave {array.dtype}{list(array.shape)} for {value.type}")
