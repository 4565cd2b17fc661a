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
from dmc.lowering.schedules.linalg.matrix import TASK_WORK, Code, Matrix
from dmc.lowering.schedules.linalg.reflections import MOST_PARTS, STRIP, Space

MOST_SWEEPS = 40
"""For one eigenvalue or singular value; two or three are usual."""

SWEEPS = 32
"""Sweeps whose rotations are kept before rows are rotated."""

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
class Sweeps:
    """Rotations of neighbouring rows by several sweeps, each from the last rows to the first.

    They are kept until there are `SWEEPS` sweeps and then run one behind the other, so that a row
    is rotated by all of them while it is in the first cache: see Van Zee, van de Geijn and
    Quintana-Ortí, "Restructuring the tridiagonal and bidiagonal QR algorithms for performance"
    (2014). Rotation `i` of sweep `s` is at `[i - s + SWEEPS - 1, s]`, so that those that follow
    each other there are neighbours; where there is none stands one that leaves all as it is.
    """

    space: Space
    rows: Matrix
    cosines: Matrix
    sines: Matrix
    count: int

    @staticmethod
    def reserved(space: Space, rows: Matrix, count: int) -> Sweeps:
        """For the first `count` of some rows."""
        code = space.code
        size = (count + SWEEPS) * SWEEPS
        cosines, sines = (
            Matrix(code.b.alloca((size,), code.dtype), Linear(), SWEEPS) for _ in range(2)
        )
        return Sweeps(space, rows, cosines, sines, count)

    def keep(self, sweep: Value, i: Subscript, cosine: Value, sine: Value) -> None:
        """Rows `x = i + 1` and `y = i` are to become `c x + s y` and `c y - s x`."""
        stage = Linear.of(i) + Linear.of(sweep) * -1 + (SWEEPS - 1)
        self.space.code.store(cosine, self.cosines, stage, sweep)
        self.space.code.store(sine, self.sines, stage, sweep)

    def none(self) -> list[Value]:
        """How many sweeps are kept, and the places where they have rotations."""
        b = self.space.code.b
        return [b.index(0), b.index(self.count), b.index(0)]

    def another(self, kept: Sequence[Value], lower: Value, upper: Value) -> list[Value]:
        """What is kept after a sweep from `upper` to `lower`; runs them when there are many."""
        code, b = self.space.code, self.space.code.b
        number, least, most = kept
        least, most = code.minimum(least, lower), code.maximum(most, upper)
        number = b.index(Linear.of(number) + 1)

        def run() -> list[Value]:
            self.finish([number, least, most])
            return self.none()

        full = code.compare(number, Direction.EQ, b.index(SWEEPS))
        return b.if_(full, run, lambda: [number, least, most])

    def finish(self, kept: Sequence[Value]) -> None:
        """Run what is kept."""
        code = self.space.code
        _, lower, upper = kept

        def run() -> list[Value]:
            self._run(lower, upper)
            return []

        code.b.if_(code.compare(lower, Direction.LT, upper), run)

    def clear(self, lower: Subscript, upper: Subscript) -> None:
        """Forget the rotations from `lower` until `upper`."""
        code, b = self.space.code, self.space.code.b
        past = code.minimum(Linear.of(upper) + SWEEPS, self.count + SWEEPS)
        for matrix, value in ((self.cosines, 1.0), (self.sines, 0.0)):
            wide = b.constant(value, register_type(code.dtype, code.lanes))

            def stage(q: Value, matrix: Matrix = matrix, wide: Value = wide) -> None:
                for s in range(0, SWEEPS, code.lanes):
                    code.put(wide, matrix, q, s)

            b.each(lower, past, 1, stage)

    def _run(self, lower: Value, upper: Value) -> None:
        """Rotate the rows by what was kept from `lower` until `upper`."""
        space, code = self.space, self.space.code
        b = code.b
        strips = space.length // (STRIP * code.lanes)
        parts = min(MOST_PARTS, strips, strips * self.count * SWEEPS * 64 // TASK_WORK)

        def strip(number: Value) -> None:
            self._strip(Linear.of(number) * (STRIP * code.lanes), lower, upper)

        if space.parallel and parts > 1:
            b.parallel(parts, lambda task: b.each(task, strips, parts, strip))
        else:
            b.each(0, strips, 1, strip)
        self.clear(lower, upper)

    def _strip(self, place: Linear, lower: Value, upper: Value) -> None:
        code, b = self.space.code, self.space.code.b
        stages = b.index(Linear.of(upper) + Linear.of(lower) * -1 + (SWEEPS - 1))

        def at(row: Subscript, v: int) -> tuple[Subscript, Subscript]:
            return row, place + v * code.lanes

        def stage(t: Value) -> None:
            q = Linear.of(upper) + (SWEEPS - 2) + Linear.of(t) * -1
            first = code.maximum(Linear.of(lower) + q * -1 + (SWEEPS - 1), 0)
            past = code.minimum(Linear.of(upper) + q * -1 + (SWEEPS - 1), SWEEPS)
            start = q + -(SWEEPS - 1)

            def step(s: Value, ys: list[Value]) -> list[Value]:
                cosine, sine = (code.load(matrix, q, s) for matrix in (self.cosines, self.sines))
                c, p, minus = (code.wide(x) for x in (cosine, sine, code.negative(sine)))
                here = start + Linear.of(s)
                out: list[Value] = []
                for v, y in enumerate(ys):
                    x = code.vector(self.rows, *at(here + 1, v))
                    code.put(b.fma(minus, x, code.multiply(c, y)), self.rows, *at(here, v))
                    out.append(b.fma(p, y, code.multiply(c, x)))
                return out

            ys = [code.vector(self.rows, *at(start + Linear.of(first), v)) for v in range(STRIP)]
            for v, y in enumerate(b.for_(first, past, step, ys)):
                code.put(y, self.rows, *at(start + Linear.of(past), v))

        b.each(0, stages, 1, stage)


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

    def size_of(self, diagonal: Matrix, beside: Matrix, count: int) -> Value:
        """The largest sum of magnitudes on and beside a diagonal."""
        code = self.code

        def look(i: Value, largest: list[Value]) -> list[Value]:
            x, y = (code.magnitude(code.load(row, 0, i)) for row in (diagonal, beside))
            both = code.add(x, y)
            larger = code.compare(both, Direction.GT, largest[0])
            return [code.select(larger, both, largest[0])]

        (size,) = code.b.for_(0, count, look, [self.number(0.0)])
        return size

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
