"""What the rules of operations exchange: batched values and costs."""

from __future__ import annotations

from dataclasses import dataclass

from dmc.ir.operation import Value


@dataclass(frozen=True, slots=True)
class Batched:
    """A value inside a `control.map`, made whole outside it.

    `axes` are the map axes the value depends on, ascending; they lead the shape of `value`, in
    that order. A value with no axes is the same at every point (and so was hoisted).
    """

    value: Value
    axes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Cost:
    """Work of one execution: floating-point operations and bytes read plus written."""

    flops: int = 0
    bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.flops + other.flops, self.bytes + other.bytes)

    def __mul__(self, times: int) -> Cost:
        return Cost(self.flops * times, self.bytes * times)
