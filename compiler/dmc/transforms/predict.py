"""How long kernels take on a machine whose rates are known."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from dmc.autodiff.plan import MANY
from dmc.dialects import control, func, kernel
from dmc.ir import Cost, DType, Operation, Rates, Trait, Value, dtype_of

NANOSECONDS = 1e9


def nanoseconds(op: Operation, rates: Rates) -> float:
    """One execution of an operation, with all that is inside of it, on one thread.

    A loop of which nothing tells how often it runs is taken to run `MANY` times, of branches the
    longer one runs.
    """
    match op:
        case control.If():
            return max(_inside(op, rates))
        case control.Loop():
            runs = op.extent if op.extent >= 0 else MANY
            return runs * sum(_inside(op, rates))
        case control.Map():
            return prod(op.sizes) * sum(_inside(op, rates))
        case func.Func():
            return sum(_inside(op, rates))
        case _ if op.has(Trait.CONSTANT) or op.has(Trait.TERMINATOR):
            return 0.0
        case _:
            product = isinstance(op, kernel.Generic) and op.contraction() is not None
            wide = any(map(_is_wide, op.results))
            return NANOSECONDS * rates.seconds(op.cost(), wide=wide, product=product)


def _inside(op: Operation, rates: Rates) -> list[float]:
    return [sum(nanoseconds(each, rates) for each in inner.block) for inner in op.regions]


def _is_wide(value: Value) -> bool:
    return dtype_of(value.type) is DType.F64


def moving(size: int, rates: Rates) -> float:
    """The nanoseconds in which so many bytes are read and written."""
    return NANOSECONDS * rates.seconds(Cost(bytes=size), wide=False, product=False)


@dataclass(frozen=True)
class Prediction:
    """A kernel as it is reported: what it is, how often it runs, and the nanoseconds of all."""

    op: Operation
    runs: int
    nanoseconds: float


def predictions(function: func.Func, rates: Rates) -> list[Prediction]:
    """Of each kernel of a function, in order; loops without a known count run `MANY` times."""
    found: list[Prediction] = []

    def visit(op: Operation, runs: int) -> None:
        if isinstance(op, kernel.Structured) or not op.regions:
            time = nanoseconds(op, rates)
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
