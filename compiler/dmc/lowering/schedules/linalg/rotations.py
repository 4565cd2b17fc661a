"""Plane rotations of rows, and rows put in order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dmc.dialects import arith
from dmc.dialects.arith import Direction
from dmc.dialects.math import hypot
from dmc.ir.operation import Value
from dmc.ir.types import DType
from dmc.lowering.loop_builder import Linear, Subscript, register_type
from dmc.lowering.schedules.linalg.matrix import Code, Matrix

MOST_SWEEPS = 40
"""For one eigenvalue or singular value; two or three are usual."""

ABREAST = 4
"""Vectors of a row that are rotated at once."""

EPSILON = {DType.F64: 2.0**-52, DType.F32: 2.0**-23}


@dataclass(frozen=True)
class Rows:
    """The first `count` elements of the rows of a matrix."""

    code: Code
    matrix: Matrix
    count: int

    def rotate(self, i: Subscript, j: Subscript, cosine: Value, sine: Value) -> None:
        """Rows `x` and `y` become `c x + s y` and `c y - s x`."""
        code, matrix = self.code, self.matrix
        b = code.b
        c, s, minus = (code.wide(x) for x in (cosine, sine, code.negative(sine)))

        def step(k: Value, mask: Value) -> None:
            x, y = (code.vector(matrix, row, k, mask) for row in (i, j))
            code.put(b.fma(s, y, code.multiply(c, x)), matrix, i, k, mask)
            code.put(b.fma(minus, x, code.multiply(c, y)), matrix, j, k, mask)

        code.each_vector(0, self.count, step)

    def rotate_along(
        self, first: Value, past: Value, cosines: Matrix, sines: Matrix, backwards: bool
    ) -> None:
        """Rotate row after row with the next, from `first` to before `past`, by angles of each.

        If `backwards`, each row with the one before it, from row `past` on down: then angle i is
        that of rows i + 1 and i. What one rotation leaves for the next stays in registers.
        """
        code, matrix = self.code, self.matrix
        b = code.b
        last = Linear.of(past) + -1

        def columns(j: Value) -> None:
            left = Linear.of(j) * -1 + self.count
            places = [(Linear.of(j) + v * code.lanes, v) for v in range(ABREAST)]
            masks = [b.tail_mask(left + v * -code.lanes, code.lanes) for v in range(ABREAST)]

            def load(row: Subscript) -> list[Value]:
                return [code.vector(matrix, row, place, masks[v]) for place, v in places]

            def put(row: Subscript, values: Sequence[Value]) -> None:
                for (place, v), value in zip(places, values, strict=True):
                    code.put(value, matrix, row, place, masks[v])

            def step(t: Value, xs: list[Value]) -> list[Value]:
                i = last + Linear.of(t) * -1 if backwards else Linear.of(first) + t
                here, other = (i + 1, i) if backwards else (i, i + 1)
                cosine, sine = (code.load(row, 0, i) for row in (cosines, sines))
                c, s, minus = (code.wide(x) for x in (cosine, sine, code.negative(sine)))
                ys = load(other)
                pairs = list(zip(xs, ys, strict=True))
                put(here, [b.fma(s, y, code.multiply(c, x)) for x, y in pairs])
                return [b.fma(minus, x, code.multiply(c, y)) for x, y in pairs]

            count = b.index(Linear.of(past) + Linear.of(first) * -1)
            xs = b.for_(0, count, step, load(past if backwards else first))
            put(first if backwards else past, xs)

        b.each(0, self.count, ABREAST * code.lanes, columns)

    def negate(self, i: Subscript) -> None:
        """Turn a row round."""
        code, matrix = self.code, self.matrix

        def step(k: Value, mask: Value) -> None:
            code.put(code.negative(code.vector(matrix, i, k, mask)), matrix, i, k, mask)

        code.each_vector(0, self.count, step)

    def exchange(self, i: Subscript, j: Subscript) -> None:
        """Exchange two rows."""
        code, matrix = self.code, self.matrix

        def step(k: Value, mask: Value) -> None:
            x, y = (code.vector(matrix, row, k, mask) for row in (i, j))
            code.put(y, matrix, i, k, mask)
            code.put(x, matrix, j, k, mask)

        code.each_vector(0, self.count, step)


@dataclass(frozen=True)
class Scalars:
    """Arithmetic on single numbers."""

    code: Code

    def number(self, value: float) -> Value:
        return self.code.number(value)

    def length(self, x: Value, y: Value) -> Value:
        return hypot(self.code.b.builder, x, y)

    def signed(self, size: Value, like: Value) -> Value:
        """A size that is not negative, with the sign of `like`."""
        code = self.code
        negative = code.compare(like, Direction.LT, self.number(0.0))
        return code.select(negative, code.negative(size), size)

    def rotation(self, x: Value, y: Value) -> tuple[Value, Value, Value]:
        """Cosine, sine and length, such that (x, y) turns to the first axis; of zeros, no turn."""
        code = self.code
        one = self.number(1.0)
        length = self.length(x, y)
        nothing = code.compare(length, Direction.EQ, self.number(0.0))
        divisor = code.select(nothing, one, length)
        cosine = code.select(nothing, one, code.divide(x, divisor))
        return cosine, code.divide(y, divisor), length

    def all_of(self, *conditions: Value) -> Value:
        out = conditions[0]
        for condition in conditions[1:]:
            out = arith.logical_and(self.code.b.builder, out, condition)
        return out

    def true(self) -> Value:
        return self.code.b.constant(True, register_type(DType.BOOL, 1))

    def false(self) -> Value:
        return self.code.b.constant(False, register_type(DType.BOOL, 1))


def put_in_order(
    code: Code, values: Matrix, count: int, rows: Sequence[Rows], descending: bool
) -> None:
    """Order values, and the rows that go with them, by selection."""
    b = code.b
    direction = Direction.GT if descending else Direction.LT

    def place(i: Value) -> None:
        mine = code.load(values, 0, i)

        def look(j: Value, best: list[Value]) -> list[Value]:
            x = code.load(values, 0, j)
            better = code.compare(x, direction, best[1])
            return [code.select(better, j, best[0]), code.select(better, x, best[1])]

        chosen, value = b.for_(b.index(Linear.of(i) + 1), count, look, [i, mine])

        def exchange() -> list[Value]:
            code.store(mine, values, 0, chosen)
            code.store(value, values, 0, i)
            for part in rows:
                part.exchange(i, chosen)
            return []

        b.if_(code.compare(chosen, Direction.EQ, i), lambda: [], exchange)

    b.each(0, count, 1, place)


def turn_positive(code: Code, count: int, rows: Rows, *others: Rows) -> None:
    """Turn rows round whose first largest element is negative, and those that go with them."""
    b = code.b
    zero = code.number(0.0)

    def look(i: Value) -> None:
        row = rows.matrix.row(i)
        largest = code.load(row, 0, code.place_of_largest(row, 0, rows.count))

        def negate() -> list[Value]:
            for part in (rows, *others):
                part.negate(i)
            return []

        b.if_(code.compare(largest, Direction.LT, zero), negate)

    b.each(0, count, 1, look)


def spoil(code: Code, spoilt: Value, *parts: tuple[Matrix, int, int]) -> None:
    """Fill matrices of some rows and columns with NaN where something did not converge."""

    def fill() -> list[Value]:
        for matrix, rows, columns in parts:
            code.fill(math.nan, matrix, rows, columns)
        return []

    code.b.if_(spoilt, fill, rare=True)


def has_nan(code: Code, values: Matrix, count: int) -> Value:
    """Whether there is a NaN among values."""
    b = code.b

    def step(i: Value, sums: list[Value]) -> list[Value]:
        return [code.add(sums[0], code.load(values, 0, i))]

    (total,) = b.for_(0, count, step, [code.number(0.0)])
    return code.compare(total, Direction.NE, total)
