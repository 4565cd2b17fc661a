"""How long kernels take on a machine whose rates are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

from dmc.autodiff.plan import MANY
from dmc.dialects import control, func, kernel
from dmc.ir import Cost, DType, Operation, Rates, Trait, Value, dtype_of

NANOSECONDS = 1e9


@dataclass(frozen=True)
class Clock:
    """The nanoseconds of operations on one thread of a machine with such `rates`.

    Those of a kernel, which nothing changes in place, are found once.
    """

    rates: Rates
    _kernels: dict[Operation, float] = field(default_factory=dict[Operation, float])

    def of(self, op: Operation) -> float:
        """One execution of an operation, with all that is inside of it.

        A loop of which nothing tells how often it runs is taken to run `MANY` times, of branches
        the longer one runs.
        """
        match op:
            case control.If():
                return max(self._inside(op))
            case control.Loop():
                runs = op.extent if op.extent >= 0 else MANY
                return runs * sum(self._inside(op))
            case control.Map():
                return prod(op.sizes) * sum(self._inside(op))
            case func.Func():
                return sum(self._inside(op))
            case _ if op.has(Trait.CONSTANT) or op.has(Trait.TERMINATOR):
                return 0.0
            case _:
                if op not in self._kernels:
                    self._kernels[op] = self._of_kernel(op)
                return self._kernels[op]

    def moving(self, size: int) -> float:
        """In which so many bytes are read and written."""
        return NANOSECONDS * self.rates.seconds(Cost(bytes=size), wide=False, product=False)

    def _inside(self, op: Operation) -> list[float]:
        return [sum(self.of(each) for each in inner.block) for inner in op.regions]

    def _of_kernel(self, op: Operation) -> float:
        product = isinstance(op, kernel.Generic) and op.contraction() is not None
        wide = any(map(_is_wide, op.results))
        return NANOSECONDS * self.rates.seconds(op.cost(), wide=wide, product=product)


def _is_wide(value: Value) -> bool:
    return dtype_of(value.type) is DType.F64


@dataclass(frozen=True)
class Prediction:
    """A kernel as it is reported: what it is, how often it runs, and the nanoseconds of all."""

    op: Operation
    runs: int
    nanoseconds: float


def predictions(function: func.Func, rates: Rates) -> list[Prediction]:
    """Of each kernel of a function, in order; loops without a known count run `MANY` times."""
    found: list[Prediction] = []
    clock = Clock(rates)

    def visit(op: Operation, runs: int) -> None:
        if isinstance(op, kernel.Structured) or not op.regions:
            time = clock.of(op)
            if time:
                found.append(Prediction(op, runs, runs * time))
            return
        match op:
            case control.Loop():
                runs *= op.extent if op.extent >= 0 else MANY
            case control.Map():
                runs *= prod(op.sizes)
            case _:
                pass
        for inner in op.regions:
            for each in inner.block:
                visit(each, runs)

    visit(function, 1)
    return found
