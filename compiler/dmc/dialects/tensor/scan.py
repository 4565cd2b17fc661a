"""`tensor`: sums and products of all elements up to each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from dmc.dialects import arith
from dmc.dialects.tensor.base import TensorOp, moved_bytes, type_of
from dmc.dialects.tensor.movement import pad, reverse
from dmc.ir import (
    Array,
    Attribute,
    Batched,
    Builder,
    Cost,
    DType,
    Interpreter,
    Type,
    Value,
    attribute,
    operand,
    result,
    shape_of,
)


class Cumulative(TensorOp):
    """Base of the two operations below.

    With `reverse` the elements are taken from the last to the first; with `exclusive` an element
    is not counted in its own result.
    """

    computes = True
    operand = operand()
    axis = attribute(int)
    reverse = attribute(bool, default=False)
    exclusive = attribute(bool, default=False)
    result = result()

    numpy: ClassVar[Callable[..., Any]]
    neutral: ClassVar[int]

    def infer(self) -> Sequence[Type]:
        type_ = type_of(self.operand)
        self.require(1, 0 <= self.axis < type_.rank, f"no axis {self.axis} in {type_}")
        self.require(2, type_.dtype is not DType.BOOL, f"{type_} is not of numbers")
        return (type_,)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        (x,) = operands
        axis, neutral = self.axis, self.neutral
        ahead = np.flip(x, axis) if self.reverse else x
        if self.exclusive and ahead.shape[axis]:
            first = np.full_like(ahead.take([0], axis), neutral)
            ahead = np.concatenate([first, ahead.take(range(ahead.shape[axis] - 1), axis)], axis)
        out = type(self).numpy(ahead, axis=axis, dtype=x.dtype)
        return (np.flip(out, axis) if self.reverse else out,)

    def fold(self) -> Sequence[Value | Attribute] | None:
        if shape_of(self.operand.type)[self.axis] <= 1 and not self.exclusive:
            return (self.operand,)
        return super().fold()

    def again(self, builder: Builder, x: Value, backwards: bool) -> Value:
        """The same operation on another tensor, perhaps in the other direction."""
        attributes: dict[str, Attribute] = {**self.attributes, "reverse": backwards}
        return builder.insert(type(self)([x], attributes)).result

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        (x,) = operands
        attributes: dict[str, Attribute] = {**self.attributes, "axis": len(x.axes) + self.axis}
        return (Batched(builder.insert(type(self)([x.value], attributes)).result, x.axes),)

    def cost(self) -> Cost:
        return Cost(flops=type_of(self.operand).size, bytes=moved_bytes(self))


class CumSum(Cumulative):
    """`tensor.cumsum`: sums of all elements up to each along `axis`. Half precision sums in f32.

    C1: `axis` is an axis. C2: elements are numbers.
    """

    name = "tensor.cumsum"
    numpy = np.cumsum
    neutral = 0

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        (x,) = tangents
        return (None if x is None else self.again(builder, x, self.reverse),)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (y,) = cotangents
        return (None if y is None else self.again(builder, y, not self.reverse),)


class CumProd(Cumulative):
    """`tensor.cumprod`: products of all elements up to each along `axis`.

    Its derivative never divides, so it is exact where elements are zero: both modes go through
    the doubling scheme of Hillis and Steele ("Data parallel algorithms", 1986), in which after
    step `k` each element holds the product of the `2^k` elements that end in it.
    C1: `axis` is an axis. C2: elements are numbers.
    """

    name = "tensor.cumprod"
    numpy = np.cumprod
    neutral = 1

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        (x_dot,) = tangents
        if x_dot is None:
            return (None,)
        dot = self._ordered(builder, x_dot, 0)
        for distance, product, shifted in self._doubling(builder):
            dot = arith.add(
                builder,
                arith.guarded_multiply(builder, dot, shifted),
                arith.guarded_multiply(builder, self._shift(builder, dot, distance, 0), product),
            )
        return (reverse(builder, dot, [self.axis]) if self.reverse else dot,)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        (y,) = cotangents
        if y is None:
            return (None,)
        bar = reverse(builder, y, [self.axis]) if self.reverse else y
        for distance, product, shifted in reversed(self._doubling(builder)):
            bar = arith.add(
                builder,
                arith.guarded_multiply(builder, bar, shifted),
                self._shift(builder, arith.guarded_multiply(builder, bar, product), -distance, 0),
            )
        bar = self._shift(builder, bar, -1, 0) if self.exclusive else bar
        return (reverse(builder, bar, [self.axis]) if self.reverse else bar,)

    def _doubling(self, builder: Builder) -> list[tuple[int, Value, Value]]:
        """For each step: the distance, the products so far, and those that far before."""
        steps: list[tuple[int, Value, Value]] = []
        product = self._ordered(builder, self.operand, 1)
        distance = 1
        while distance < shape_of(self.operand.type)[self.axis]:
            shifted = self._shift(builder, product, distance, 1)
            steps.append((distance, product, shifted))
            product = arith.multiply(builder, product, shifted)
            distance *= 2
        return steps

    def _ordered(self, builder: Builder, x: Value, fill: int) -> Value:
        """The elements as an inclusive, forward product takes them."""
        x = reverse(builder, x, [self.axis]) if self.reverse else x
        return self._shift(builder, x, 1, fill) if self.exclusive else x

    def _shift(self, builder: Builder, x: Value, distance: int, fill: int) -> Value:
        """Move elements `distance` along the axis; `fill` comes in."""
        if shape_of(x.type)[self.axis] == 0:
            return x
        low = [distance if d == self.axis else 0 for d in range(len(shape_of(x.type)))]
        value = arith.scalar(builder, fill, type_of(x).dtype)
        return pad(builder, x, value, low, [-n for n in low])


def cumsum(
    builder: Builder, x: Value, axis: int, reverse: bool = False, exclusive: bool = False
) -> Value:
    """Running sums along `axis`."""
    attributes: dict[str, Attribute] = {"axis": axis, "reverse": reverse, "exclusive": exclusive}
    return builder.insert(CumSum([x], attributes)).result


def cumprod(
    builder: Builder, x: Value, axis: int, reverse: bool = False, exclusive: bool = False
) -> Value:
    """Running products along `axis`."""
    attributes: dict[str, Attribute] = {"axis": axis, "reverse": reverse, "exclusive": exclusive}
    return builder.insert(CumProd([x], attributes)).result
