"""Reductions: of axes of an array and, most of them, of the values at every point of indexes."""

from __future__ import annotations

import math as pymath
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dmc.diagnostics.errors import CompilerBug
from dmc.dialects import arith, autodiff, math, tensor
from dmc.dialects.arith import Direction
from dmc.dialects.tensor import Kind
from dmc.ir import Builder, DType, Value, shape_of
from dmc.semantics.builtins.elementwise import (
    ADD,
    AND,
    MAXIMUM,
    MINIMUM,
    MULTIPLY,
    OR,
    Elementwise,
    Operands,
)
from dmc.semantics.primitive import Primitive

Build = Callable[[Builder, Value, Sequence[int]], Value]


class Stream(ABC):
    """A reduction that takes in one element after another, where nothing bounds their number."""

    @abstractmethod
    def begin(self, builder: Builder, neutral: Value, first: Value) -> list[Value]:
        """The state before the first element, whose index is `first`."""

    @abstractmethod
    def step(
        self, builder: Builder, state: Sequence[Value], part: Value, index: Value
    ) -> list[Value]:
        """The state with one more element."""

    @abstractmethod
    def end(self, builder: Builder, state: Sequence[Value]) -> Value:
        """The result."""


@dataclass(frozen=True)
class _Pairwise(Stream):
    """The state is the result so far, which `function` combines with an element."""

    function: Elementwise

    def begin(self, builder: Builder, neutral: Value, first: Value) -> list[Value]:
        return [neutral]

    def step(
        self, builder: Builder, state: Sequence[Value], part: Value, index: Value
    ) -> list[Value]:
        # On a tie `maximum` gives the derivative to its second operand: to the first of all.
        return [self.function.build(builder, part, state[0])]

    def end(self, builder: Builder, state: Sequence[Value]) -> Value:
        return state[0]


class _LogSumExp(Stream):
    """The maximum so far, and the sum of the exponentials relative to it."""

    def begin(self, builder: Builder, neutral: Value, first: Value) -> list[Value]:
        return [neutral, arith.zeros(builder, neutral.type)]

    def step(
        self, builder: Builder, state: Sequence[Value], part: Value, index: Value
    ) -> list[Value]:
        top, total = state
        constant = builder.insert(autodiff.StopGradient([part])).result
        new = arith.maximum(builder, constant, top)
        same = arith.compare(builder, Direction.EQ, top, new)  # infinities have no difference
        shrunk = math.exp(builder, arith.subtract(builder, top, new))
        factor = arith.select(builder, same, arith.ones(builder, top.type), shrunk)
        term = math.exp(builder, arith.subtract(builder, part, _finite(builder, new)))
        return [new, arith.add(builder, arith.multiply(builder, total, factor), term)]

    def end(self, builder: Builder, state: Sequence[Value]) -> Value:
        top, total = state
        return arith.add(builder, _finite(builder, top), math.log(builder, total))


@dataclass(frozen=True)
class _Place(Stream):
    """The best element so far and its index; a NaN is better than any number."""

    better: Direction

    def begin(self, builder: Builder, neutral: Value, first: Value) -> list[Value]:
        place = arith.convert(builder, first, DType.I32)
        return [neutral, tensor.broadcast_in_dim(builder, place, shape_of(neutral.type), ())]

    def step(
        self, builder: Builder, state: Sequence[Value], part: Value, index: Value
    ) -> list[Value]:
        best, place = state
        here = arith.convert(builder, index, DType.I32)
        here = tensor.broadcast_in_dim(builder, here, shape_of(place.type), ())
        wins = arith.compare(builder, self.better, part, best)
        is_nan = arith.compare(builder, Direction.NE, part, part)
        is_first = arith.compare(builder, Direction.EQ, best, best)
        wins = arith.logical_or(builder, wins, arith.logical_and(builder, is_nan, is_first))
        return [arith.select(builder, wins, part, best), arith.select(builder, wins, here, place)]

    def end(self, builder: Builder, state: Sequence[Value]) -> Value:
        return state[1]


@dataclass(frozen=True, eq=False, kw_only=True)
class Reduction(Primitive):
    """Elements along axes become one.

    `build` reduces a tensor along static axes; over none of its elements too when `takes_nothing`.
    `neutral` changes no result: what a point outside a run-time range contributes. `step` combines
    two elements, `stream_` takes in one after another where that needs more. `is_average` when it
    is the sum divided by the number of elements. `element` is the type of the result when it is not
    the operand's.
    """

    build: Build
    operands: Operands = Operands.NUMBERS
    neutral: float | None = None
    stream_: Stream | None = None
    step: Elementwise | None = None
    is_average: bool = False
    takes_nothing: bool = False
    element: DType | None = None
    keeps_shape: bool = False
    is_of_one_axis: bool = False
    adds_leaves: bool = False

    @property
    def pairwise(self) -> Elementwise | None:
        """The function of two arrays that is meant where this one is given two."""
        return self.step if self.step in (MAXIMUM, MINIMUM) else None

    @property
    def stream(self) -> Stream:
        """How it takes in one element after another."""
        if self.stream_ is not None:
            return self.stream_
        if self.step is None:
            raise CompilerBug(f"`{self}` does not go one by one")
        return _Pairwise(self.step)

    @property
    def reduces_indexes(self) -> bool:
        """Whether `f[i](…)` exists."""
        return self.neutral is not None or self.is_average


def _reduce(kind: Kind) -> Build:
    return lambda builder, x, axes: tensor.reduce(builder, x, kind, axes)


def _mean(builder: Builder, x: Value, axes: Sequence[int]) -> Value:
    shape = shape_of(x.type)
    total = tensor.reduce(builder, x, Kind.SUM, axes)
    count = pymath.prod(shape[a] for a in axes)
    return arith.divide(builder, total, arith.constant(builder, count, total.type))


def _variance(builder: Builder, x: Value, axes: Sequence[int]) -> Value:
    """The mean square of what is left without the mean, NumPy's `var`."""
    spread = _spread(builder, _mean(builder, x, axes), shape_of(x.type), axes)
    rest = arith.subtract(builder, x, spread)
    return _mean(builder, arith.multiply(builder, rest, rest), axes)


def _std(builder: Builder, x: Value, axes: Sequence[int]) -> Value:
    return math.unary(builder, "sqrt", _variance(builder, x, axes))


def _logsumexp(builder: Builder, x: Value, axes: Sequence[int]) -> Value:
    top, _, _, total = _exponentials(builder, x, axes)
    return arith.add(builder, top, math.log(builder, total))


def _softmax(builder: Builder, x: Value, axes: Sequence[int]) -> Value:
    """A score of -inf takes no part: its weight is 0 whatever the others are, and absorbs."""
    _, absent, exp, total = _exponentials(builder, x, axes)
    total = _spread(builder, total, shape_of(x.type), axes)
    total = arith.select(builder, absent, arith.ones(builder, x.type), total)
    return arith.weight(builder, absent, arith.divide(builder, exp, total))


def _exponentials(
    builder: Builder, x: Value, axes: Sequence[int]
) -> tuple[Value, Value, Value, Value]:
    """The maximum, where x is -inf, `exp(x - maximum)`, which is 0 there, and its sum."""
    top = _finite(builder, tensor.reduce(builder, x, Kind.MAX, axes))
    shift = _spread(builder, top, shape_of(x.type), axes)
    lowest = arith.constant(builder, -pymath.inf, x.type)
    absent = arith.compare(builder, Direction.EQ, x, lowest)
    shifted = arith.select(builder, absent, lowest, arith.subtract(builder, x, shift))
    exp = math.exp(builder, shifted)
    return top, absent, exp, tensor.reduce(builder, exp, Kind.SUM, axes)


def _finite(builder: Builder, top: Value) -> Value:
    """The maximum as a constant shift, 0 where it is infinite."""
    top = builder.insert(autodiff.StopGradient([top])).result
    infinity = arith.constant(builder, pymath.inf, top.type)
    infinite = arith.compare(builder, Direction.EQ, math.unary(builder, "abs", top), infinity)
    return arith.select(builder, infinite, arith.zeros(builder, top.type), top)


def _spread(builder: Builder, x: Value, shape: Sequence[int], axes: Sequence[int]) -> Value:
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    return tensor.broadcast_in_dim(builder, x, shape, kept)


def _place(kind: Kind) -> Build:
    def build(builder: Builder, x: Value, axes: Sequence[int]) -> Value:
        if len(axes) != 1:
            x, axes = tensor.reshape(builder, x, (pymath.prod(shape_of(x.type)),)), (0,)
        return tensor.arg_reduce(builder, x, kind, axes[0])

    return build


SUM = Reduction(
    "sum", build=_reduce(Kind.SUM), neutral=0.0, step=ADD, takes_nothing=True, adds_leaves=True
)
MEAN = Reduction("mean", build=_mean, operands=Operands.FLOATS, is_average=True)
MAX = Reduction("max", build=_reduce(Kind.MAX), neutral=-pymath.inf, step=MAXIMUM)
MIN = Reduction("min", build=_reduce(Kind.MIN), neutral=pymath.inf, step=MINIMUM)
PROD = Reduction("prod", build=_reduce(Kind.PROD), neutral=1.0, step=MULTIPLY, takes_nothing=True)
LOGSUMEXP = Reduction(
    "logsumexp", build=_logsumexp, operands=Operands.FLOATS, neutral=-pymath.inf,
    stream_=_LogSumExp(),
)  # fmt: skip
ARGMAX = Reduction(
    "argmax", is_step=True, build=_place(Kind.MAX), neutral=-pymath.inf,
    stream_=_Place(Direction.GT), element=DType.I32, is_of_one_axis=True,
)  # fmt: skip
ARGMIN = Reduction(
    "argmin", is_step=True, build=_place(Kind.MIN), neutral=pymath.inf,
    stream_=_Place(Direction.LT), element=DType.I32, is_of_one_axis=True,
)  # fmt: skip
SOFTMAX = Reduction(
    "softmax", build=_softmax, operands=Operands.FLOATS, takes_nothing=True, keeps_shape=True
)

VARIANCE = Reduction("variance", build=_variance, operands=Operands.FLOATS)
STD = Reduction("std", build=_std, operands=Operands.FLOATS)
ANY = Reduction(
    "any", is_step=True, build=_reduce(Kind.ANY), operands=Operands.BOOLS, neutral=0.0, step=OR,
    takes_nothing=True,
)  # fmt: skip
ALL = Reduction(
    "all", is_step=True, build=_reduce(Kind.ALL), operands=Operands.BOOLS, neutral=1.0, step=AND,
    takes_nothing=True,
)  # fmt: skip

REDUCTIONS = (
    SUM, MEAN, MAX, MIN, PROD, VARIANCE, STD, ANY, ALL, LOGSUMEXP, ARGMAX, ARGMIN, SOFTMAX
)  # fmt: skip
"""In the order of the documentation."""
