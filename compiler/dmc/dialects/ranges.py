"""Intervals of numbers, and what arithmetic makes of them; NaN is in none.

After Moore, "Interval Analysis", 1966, but ends are not rounded outwards, and what floats may be at
a single point inside of their range is left out: of any x nothing is known of 1 / x, and so it is
of x² and |x|, which begin above 0. An end that is 0 is taken, if only by rounding. So nothing is
proved with ranges of floats; where they end at 0 is worth a warning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, both included; either may be infinite."""

    low: float
    high: float

    def union(self, other: Range) -> Range:
        return Range(min(self.low, other.low), max(self.high, other.high))

    @property
    def is_finite(self) -> bool:
        """Whether both ends are numbers."""
        return math.isfinite(self.low) and math.isfinite(self.high)


ANY = Range(-math.inf, math.inf)

POSITIVE = 1e-100
"""Stands for the least number above 0, as the end of what is positive but not bounded below."""


TINY = 1e-150
"""The same for what comes as near to 0 as floats do, as exponentials: divided, it may become 0."""


def add(a: Range, b: Range) -> Range:
    return Range(_or(a.low + b.low, -math.inf), _or(a.high + b.high, math.inf))


def negate(a: Range) -> Range:
    return Range(-a.high, -a.low)


def absolute(a: Range) -> Range:
    ends = (abs(a.low), abs(a.high))
    return Range(POSITIVE if a.low < 0 < a.high else min(ends), max(ends))


def multiply(a: Range, b: Range) -> Range:
    """Of the ends: 0 times an infinity is 0, being a limit of products of numbers."""
    corners = [_or(x * y, 0.0) for x in (a.low, a.high) for y in (b.low, b.high)]
    return Range(min(corners), max(corners))


def divide(a: Range, b: Range) -> Range:
    """Anything where the divisor may be 0."""
    if b.low <= 0 <= b.high:
        return ANY
    if b.low < 0:
        return negate(divide(a, negate(b)))
    may_vanish = b.high == math.inf and a.low < POSITIVE
    return multiply(a, Range(0.0 if may_vanish else max(1 / b.high, POSITIVE), 1 / b.low))


def monotone(function: Callable[[float], float], a: Range) -> Range:
    """The image under a function that never decreases; -∞ below where it is defined."""
    return Range(_image(function, a.low), _image(function, a.high))


def clip(a: Range, image: Range) -> Range:
    """What is known of a number in both."""
    return Range(min(max(a.low, image.low), image.high), max(min(a.high, image.high), image.low))


def _image(function: Callable[[float], float], at: float) -> float:
    try:
        return function(at)
    except OverflowError:
        return math.copysign(math.inf, at)
    except ValueError:
        return -math.inf


def _or(value: float, otherwise: float) -> float:
    return otherwise if math.isnan(value) else value
