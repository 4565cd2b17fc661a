"""Finding out, by interpretation, which operation made a value what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dmc.ir.halves import is_float
from dmc.ir.operation import Interpreter, Operation, SymbolTable
from dmc.ir.types import Array


@dataclass(frozen=True)
class NotFinite:
    """The first operation that makes NaN or infinity out of finite numbers."""

    op: Operation
    value: float


class _Found(Exception):
    """Ends the interpretation."""

    def __init__(self, found: NotFinite) -> None:
        super().__init__(found)
        self.found = found


class _Tracer(Interpreter):
    """An interpreter that stops at the first value that is not finite."""

    def run(self, op: Operation) -> None:
        """Run one operation. Constants may be infinite, and so may what is made of them."""
        operands = [self.values[value] for value in op.operands]
        super().run(op)
        floats = [array for array in operands if is_float(array)]
        if not floats or not all(np.isfinite(array).all() for array in floats):
            return
        for result in op.results:
            array = self.values[result]
            if is_float(array) and not np.isfinite(array).all():
                raise _Found(NotFinite(op, float(array[~np.isfinite(array)].flat[0])))


def first_not_finite(
    module: SymbolTable, function: str, arguments: Sequence[Array]
) -> NotFinite | None:
    """What made the first value that is not finite in a call; None where all are finite."""
    try:
        _Tracer(module).call(function, arguments)
    except _Found as stop:
        return stop.found
    return None
