"""Finding out, by interpretation, which operation made a value what it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dmc.ir.halves import is_float
from dmc.ir.operation import Interpreter, Operation, SymbolTable
from dmc.ir.types import Array

FINITE = 0.5
"""What stands in for NaN and infinity: near it, few functions have a singularity."""


@dataclass(frozen=True)
class NotFinite:
    """An operation that makes NaN or infinity out of other numbers."""

    op: Operation
    value: float


class _Mender(Interpreter):
    """An interpreter in which what operations make has other numbers for NaN and infinity.

    What those operations make that it `spares` stays. Constants may be infinite, and so may what
    is made of them; a NaN that is made of infinities is no constant's.
    """

    def __init__(self, module: SymbolTable, spares: Callable[[Operation], bool]) -> None:
        super().__init__(module)
        self.spares = spares
        self.found: dict[Operation, NotFinite] = {}
        """What makes such numbers, in the order in which it first does."""
        self.runs = 0

    def run(self, op: Operation) -> None:
        """Run one operation."""
        operands = [self.values[value] for value in op.operands]
        self.runs += 1
        before = self.runs
        super().run(op)
        if self.runs != before:
            return  # the operations inside have been looked at
        for result in op.results:
            array = self.values[result]
            if not is_float(array) or not _is_new(array, operands):
                continue
            bad = ~np.isfinite(array)
            self.found.setdefault(op, NotFinite(op, float(array[bad].flat[0])))
            if not self.spares(op):
                self.values[result] = np.where(bad, np.asarray(FINITE, array.dtype), array)


def _is_new(array: Array, operands: Sequence[Array]) -> bool:
    """Whether an array has NaN or infinity that is not explained by what it was made from."""
    floats = [each for each in operands if is_float(each)]
    if not floats or any(np.isnan(each).any() for each in floats):
        return False
    if all(np.isfinite(each).all() for each in floats):
        return not np.isfinite(array).all()
    return bool(np.isnan(array).any())


def first_not_finite(
    module: SymbolTable, function: str, arguments: Sequence[Array]
) -> NotFinite | None:
    """The first operation whose NaN or infinity is what makes a result of a call not finite.

    Others may make such numbers, too, that nothing comes of, such as one that a `where` discards:
    each is put to the test by a call in which it alone may. None where no operation is to blame.
    """

    def call(spares: Callable[[Operation], bool]) -> tuple[_Mender, list[Array]]:
        mender = _Mender(module, spares)
        return mender, mender.call(function, arguments)

    mender, mended = call(lambda op: False)
    suspects = mender.found
    for suspect in suspects.values():
        # What follows from the suspect's numbers stays, too.
        _, results = call(lambda op, at=suspect.op: op is at or op not in suspects)
        if any(map(_spoils, results, mended)):
            return suspect
    return None


def _spoils(result: Array, mended: Array) -> bool:
    """Whether a result is not finite where it is once all is mended."""
    return is_float(result) and bool((~np.isfinite(result) & np.isfinite(mended)).any())
