"""Householder's reflections of the rows of matrices.

See Golub and Van Loan, "Matrix Computations" (2013), chapter 5.
"""

from __future__ import annotations

from dataclasses import dataclass

from dmc.dialects.arith import Direction
from dmc.dialects.math import sqrt
from dmc.ir.operation import Value
from dmc.lowering.loop_builder import Linear, Subscript
from dmc.lowering.schedules.linalg.matrix import Code, Matrix

TOGETHER = 4
"""Rows that are reflected at once."""

CACHED = 16
"""Rows that stay in a cache while reflections pass by."""


@dataclass(frozen=True)
class Reflections:
    """Reflections `1 - factor v vᵀ`, whose vectors are rows of `vectors` and begin with a 1.

    `factors` has the factor of each, and `ends` what its vector became: its first element.
    """

    code: Code
    vectors: Matrix
    factors: Matrix
    ends: Matrix

    @staticmethod
    def reserved(code: Code, vectors: Matrix, count: int) -> Reflections:
        """Memory for `count` reflections along given rows."""
        return Reflections(code, vectors, memory(code, count), memory(code, count))

    def make(self, k: Subscript, lower: Subscript, upper: Subscript) -> None:
        """Turn the part of row `k` of the vectors into that of its reflection to the first axis.

        Divided by its largest element, so that no square leaves the range.
        """
        code, b = self.code, self.code.b
        x = self.vectors.row(k)
        largest = code.load(x, 0, code.place_of_largest(x, lower, upper))
        zero, one = code.number(0.0), code.number(1.0)
        size = code.magnitude(largest)
        size = code.select(code.compare(size, Direction.EQ, zero), one, size)
        wide = code.wide(size)
        behind = b.index(Linear.of(lower) + 1)

        def square(j: Value, sums: list[Value]) -> list[Value]:
            mask = b.tail_mask(Linear.of(upper) + Linear.of(j) * -1, code.lanes)
            part = code.divide(code.vector(x, 0, j, mask), wide)
            return [b.fma(part, part, sums[0])]

        (squares,) = b.for_(behind, upper, square, [code.zero()], step=code.lanes)
        rest = code.total(squares)
        given = code.load(x, 0, lower)
        first = code.divide(given, size)
        length = sqrt(b.builder, b.fma(first, first, rest))
        end = code.select(code.compare(first, Direction.GE, zero), code.negative(length), length)
        nothing = code.compare(rest, Direction.EQ, zero)
        left = code.subtract(first, end)
        divisor = code.wide(code.select(nothing, one, left))
        factor = code.negative(code.divide(left, code.select(nothing, one, end)))
        code.store(code.select(nothing, zero, factor), self.factors, 0, k)
        end = code.select(nothing, given, code.multiply(end, size))
        code.store(end, self.ends, 0, k)

        def scale(j: Value, mask: Value) -> None:
            part = code.divide(code.vector(x, 0, j, mask), wide)
            code.put(code.divide(part, divisor), x, 0, j, mask)

        code.each_vector(behind, upper, scale)
        code.store(one, x, 0, lower)

    def reflect(
        self,
        k: Subscript,
        rows: Matrix,
        first: Subscript,
        past: Subscript,
        lower: Subscript,
        upper: Subscript,
    ) -> None:
        """Reflect the parts of some rows of a matrix."""
        code, b = self.code, self.code.b
        v = self.vectors.row(k)
        factor = code.negative(code.load(self.factors, 0, k))

        def some(i: Value, count: int) -> None:
            def product(j: Value, sums: list[Value]) -> list[Value]:
                mask = b.tail_mask(Linear.of(upper) + Linear.of(j) * -1, code.lanes)
                along = code.vector(v, 0, j, mask)
                return [
                    b.fma(along, code.vector(rows, Linear.of(i) + r, j, mask), total)
                    for r, total in enumerate(sums)
                ]

            sums = b.for_(lower, upper, product, [code.zero()] * count, step=code.lanes)
            shares = [code.wide(code.multiply(factor, code.total(total))) for total in sums]

            def add(j: Value, mask: Value) -> None:
                along = code.vector(v, 0, j, mask)
                for r, share in enumerate(shares):
                    here = Linear.of(i) + r
                    old = code.vector(rows, here, j, mask)
                    code.put(b.fma(along, share, old), rows, here, j, mask)

            code.each_vector(lower, upper, add)

        code.each_some(first, past, TOGETHER, some)

    def accumulate(self, target: Matrix, count: int, shift: int, upper: int) -> None:
        """The product of the first `count` reflections times what the rows of `target` are.

        Reflection k begins at `k + shift`; rows before that are unit vectors, which it leaves.
        """
        code, b = self.code, self.code.b

        def some(first: Value) -> None:
            past = code.minimum(Linear.of(first) + CACHED, count + shift)

            def step(s: Value) -> None:
                k = b.index(Linear.of(s) * -1 + (count - 1))
                begin = b.index(Linear.of(k) + shift)
                rows = code.minimum(code.maximum(begin, first), past)
                self.reflect(k, target, rows, past, begin, upper)

            b.each(0, count, 1, step)

        b.each(0, count + shift, CACHED, some)


def memory(code: Code, size: int) -> Matrix:
    """A row of its own."""
    return Matrix(code.b.alloca((max(size, 1),), code.dtype), Linear(), size)


def square_memory(code: Code, rows: int, columns: int) -> Matrix:
    """A matrix of its own, whose rows begin in different sets of a cache."""
    pitch = columns + code.lanes
    return Matrix(code.b.alloca((max(rows, 1) * pitch,), code.dtype), Linear(), pitch)


def set_identity(code: Code, target: Matrix, rows: int, columns: int) -> None:
    """Ones on the diagonal, zeros elsewhere."""
    code.fill(0.0, target, rows, columns)
    one = code.number(1.0)
    code.b.each(0, min(rows, columns), 1, lambda i: code.store(one, target, i, i))
