"""Householder's reflections of the rows of matrices, some at once.

Several reflections are `1 - vᵀ T v` with a triangular `T`, so that rows are reflected by products
of matrices: see Schreiber and Van Loan, "A storage-efficient WY representation for products of
Householder transformations" (1989), and Golub and Van Loan, "Matrix Computations" (2013), chapter
5. All memory here is padded with zeros to whole vectors and tiles: what is there stays zero, and
no mask is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dmc.dialects.arith import Direction
from dmc.dialects.math import sqrt
from dmc.ir.operation import Value
from dmc.lowering.loop_builder import Linear, Subscript
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.linalg.matrix import TASK_WORK, Code, Matrix
from dmc.lowering.schedules.linalg.tiles import VECTORS, height_of, products

TOGETHER = 4
"""Rows that are multiplied by a vector at once."""

BLOCK = 32
"""Reflections that are put together, at most."""

STRIP = 4
"""Vectors of a row that are computed at once."""

MOST_PARTS = 16
"""Tasks that share rows."""


@dataclass(frozen=True)
class Space:
    """Rows that are padded to whole strips, and reflections to whole blocks."""

    code: Code
    height: int
    count: int
    length: int
    block: int
    parallel: bool

    @staticmethod
    def of(code: Code, machine: Machine, count: int, length: int, parallel: bool) -> Space:
        """For `count` reflections of rows of `length`."""
        blocks = -(-count // BLOCK)
        block = _whole(-(-count // blocks), VECTORS * code.lanes)
        padded = _whole(max(length, blocks * block), STRIP * code.lanes)
        return Space(code, height_of(machine), blocks * block, padded, block, parallel)

    def matrix(self, rows: int) -> Matrix:
        """Memory for rows, which begin in different sets of a cache."""
        pitch = self.length + STRIP * self.code.lanes
        size = _whole(rows, max(self.height, TOGETHER)) * pitch
        return Matrix(self.code.b.alloca((size,), self.code.dtype), Linear(), pitch)

    def row(self) -> Matrix:
        """Memory for one row."""
        return memory(self.code, self.length)

    def clear(self, matrix: Matrix, rows: int) -> None:
        """Zeros everywhere."""
        count = _whole(rows, max(self.height, TOGETHER))
        self.code.b.each(0, count, 1, lambda i: self.clear_row(matrix.row(i), self.length))

    def clear_row(self, row: Matrix, past: Subscript) -> None:
        """Zeros in whole vectors until a subscript that is a multiple of the lanes."""
        code = self.code
        code.b.each(0, past, code.lanes, lambda j: code.put(code.zero(), row, 0, j))

    def clear_until(self, row: Matrix, past: Value) -> None:
        """Zeros in the first elements of a row."""
        code, b = self.code, self.code.b
        whole = code.down_to(past, code.lanes)
        self.clear_row(row, whole)
        b.each(whole, past, 1, lambda j: code.store(code.number(0.0), row, 0, j))

    def set_identity(self, target: Matrix, rows: int) -> None:
        """Ones on the diagonal, zeros elsewhere."""
        self.clear(target, rows)
        one = self.code.number(1.0)
        self.code.b.each(0, rows, 1, lambda i: self.code.store(one, target, i, i))


@dataclass(frozen=True)
class Reflections:
    """Reflections `1 - factor v vᵀ`, whose vectors are rows of `vectors`: zeros, a 1, the rest.

    `factors` has the factor of each, and `ends` what its vector became: its first element.
    """

    space: Space
    vectors: Matrix
    factors: Matrix
    ends: Matrix

    @staticmethod
    def reserved(space: Space, vectors: Matrix) -> Reflections:
        """Memory for reflections along given rows."""
        return Reflections(
            space, vectors, memory(space.code, space.count), memory(space.code, space.count + 1)
        )

    def clear(self) -> None:
        """No reflection anywhere: what is there of a block beyond the last one."""
        code = self.space.code
        zero = code.number(0.0)
        code.b.each(0, self.space.count, 1, lambda k: code.store(zero, self.factors, 0, k))

    def make(self, k: Subscript, lower: Subscript) -> None:
        """Turn row `k` of the vectors, from `lower` on, into its reflection to the first axis.

        Divided by its largest element, so that no square leaves the range. Elements before `lower`
        become zero.
        """
        code, b, length = self.space.code, self.space.code.b, self.space.length
        x = self.vectors.row(k)
        zero, one = code.number(0.0), code.number(1.0)
        given = code.load(x, 0, lower)
        self.space.clear_until(x, b.index(Linear.of(lower) + 1))
        begin = code.down_to(lower, code.lanes)

        def look(j: Value, best: list[Value]) -> list[Value]:
            size = code.magnitude(code.vector(x, 0, j))
            return [code.select(code.compare(size, Direction.GT, best[0]), size, best[0])]

        (largest,) = b.for_(begin, length, look, [code.zero()], step=code.lanes)
        size = code.largest(largest)
        other = code.magnitude(given)
        size = code.select(code.compare(other, Direction.GT, size), other, size)
        size = code.select(code.compare(size, Direction.EQ, zero), one, size)
        wide = code.wide(size)

        def square(j: Value, sums: list[Value]) -> list[Value]:
            part = code.divide(code.vector(x, 0, j), wide)
            return [b.fma(part, part, sums[0])]

        (squares,) = b.for_(begin, length, square, [code.zero()], step=code.lanes)
        rest = code.total(squares)
        first = code.divide(given, size)
        end = sqrt(b.builder, b.fma(first, first, rest))
        end = code.select(code.compare(first, Direction.GE, zero), code.negative(end), end)
        nothing = code.compare(rest, Direction.EQ, zero)
        left = code.subtract(first, end)
        divisor = code.wide(code.select(nothing, one, left))
        factor = code.negative(code.divide(left, code.select(nothing, one, end)))
        code.store(code.select(nothing, zero, factor), self.factors, 0, k)
        end = code.select(nothing, given, code.multiply(end, size))
        code.store(end, self.ends, 0, k)

        def scale(j: Value) -> None:
            part = code.divide(code.vector(x, 0, j), wide)
            code.put(code.divide(part, divisor), x, 0, j)

        b.each(begin, length, code.lanes, scale)
        code.store(code.select(nothing, zero, one), x, 0, lower)

    def reflect(self, k: Value, first: Subscript, past: Subscript) -> None:
        """Reflect some of the rows of the vectors by number `k`, where these begin behind it."""
        code, b, length = self.space.code, self.space.code.b, self.space.length
        rows = self.vectors
        v = rows.row(k)
        factor = code.negative(code.load(self.factors, 0, k))
        begin = code.down_to(k, code.lanes)

        def some(i: Value, count: int) -> None:
            here = rows.part(i, 0)
            totals = dots(code, here, count, v, begin, length)
            shares = [code.wide(code.multiply(factor, total)) for total in totals]

            def add(j: Value) -> None:
                along = code.vector(v, 0, j)
                for r, share in enumerate(shares):
                    code.put(b.fma(along, share, code.vector(here, r, j)), here, r, j)

            b.each(begin, length, code.lanes, add)

        code.each_some(first, past, TOGETHER, some)


class Together:
    """Blocks of reflections put together, in memory of its own."""

    def __init__(self, reflections: Reflections) -> None:
        self.reflections = reflections
        self.space = reflections.space
        space, code = self.space, self.space.code
        size = space.block
        self.products = Matrix(code.b.alloca((size * size,), code.dtype), Linear(), size)
        self.turned = Matrix(code.b.alloca((size * size,), code.dtype), Linear(), size)
        self.triangle = Matrix(code.b.alloca((size * size,), code.dtype), Linear(), size)
        self.shares = _Shares(space)

    def combine(self, first: Value) -> None:
        """Find the triangular matrix of the block that begins with a reflection."""
        space, code = self.space, self.space.code
        b, size = code.b, space.block
        v = self.reflections.vectors.part(first, 0)
        begin = code.down_to(first, code.lanes)

        def gram(i: Value) -> None:
            self.shares.take(v.part(i, 0), v, begin)
            code.turn(self.shares.products, self.products.part(i, 0), size, space.height)

        b.each(0, size, space.height, gram)

        def row(j: Value) -> None:
            factor = code.load(self.reflections.factors, 0, Linear.of(first) + j)
            minus = code.wide(code.negative(factor))

            def columns(i: Value) -> None:
                def step(m: Value, sums: list[Value]) -> list[Value]:
                    product = code.wide(code.load(self.products, j, m))
                    return [b.fma(product, code.vector(self.turned, m, i), sums[0])]

                (total,) = b.for_(0, j, step, [code.zero()])
                code.put(code.multiply(minus, total), self.turned, j, i)

            b.each(0, size, code.lanes, columns)
            code.store(factor, self.turned, j, j)

        b.each(0, size, 1, row)
        code.turn(self.turned, self.triangle, size, size)

    def apply(
        self, first: Value, rows: Matrix, lower: Subscript, upper: int, backwards: bool
    ) -> None:
        """Reflect rows by a block: its first reflection first, or, if `backwards`, last.

        `lower` and `upper` are multiples of a tile's height.
        """
        space, code = self.space, self.space.code
        b, height = code.b, space.height
        v = self.reflections.vectors.part(first, 0)
        triangle = self.turned if backwards else self.triangle
        begin = code.down_to(first, VECTORS * code.lanes)

        def tile(shares: _Shares, i: Value) -> None:
            here = rows.part(i, 0)
            shares.take(here, v, begin)
            shares.turn(triangle)
            left = shares.turned

            def columns(j: Value) -> None:
                sums = products(code, left, v.part(0, j), height, space.block)
                subtract(code, here.part(0, j), sums)

            b.each(begin, space.length, VECTORS * code.lanes, columns)

        parts = min(MOST_PARTS, upper // height, upper * space.length * space.block // TASK_WORK)
        if not space.parallel or parts < 2:
            b.each(lower, upper, height, lambda i: tile(self.shares, i))
            return

        def task(number: Value) -> None:
            shares = _Shares(space)
            start = b.index(Linear.of(lower) + Linear.of(number) * height)
            b.each(start, upper, parts * height, lambda i: tile(shares, i))

        b.parallel(parts, task)

    def each_backwards(self, body: Callable[[Value], None]) -> None:
        """The blocks from the last to the first: their first reflections."""
        space = self.space
        last = space.count - space.block
        self.space.code.b.each(
            0,
            space.count,
            space.block,
            lambda s: body(space.code.b.index(Linear.of(s) * -1 + last)),
        )

    def accumulate(self, target: Matrix, rows: int, shift: int) -> None:
        """The product of all reflections times unit vectors, which are the rows of `target`.

        Reflection k begins at `k + shift`; rows before that are left as they are.
        """
        space, code = self.space, self.space.code
        space.set_identity(target, rows)
        upper = _whole(rows, space.height)

        def block(first: Value) -> None:
            self.combine(first)
            lower = code.down_to(Linear.of(first) + shift, space.height)
            self.apply(first, target, lower, upper, backwards=True)

        self.each_backwards(block)

    def reflect(self, target: Matrix, rows: int) -> None:
        """The product of all reflections times rows."""
        upper = _whole(rows, self.space.height)

        def block(first: Value) -> None:
            self.combine(first)
            self.apply(first, target, 0, upper, backwards=True)

        self.each_backwards(block)


class _Shares:
    """What rows have of the vectors of a block, for a tile of rows."""

    def __init__(self, space: Space) -> None:
        self.space = space
        code, height, size = space.code, space.height, space.block
        self.products = Matrix(code.b.alloca((size * height,), code.dtype), Linear(), height)
        turned = Matrix(code.b.alloca((size * height,), code.dtype), Linear(), size)
        self.turned = turned.transposed

    def take(self, rows: Matrix, v: Matrix, begin: Value) -> None:
        """Multiply some rows by the vectors of a block."""
        space, code = self.space, self.space.code
        b, height, lanes = code.b, space.height, code.lanes

        def some(k: Value) -> None:
            def step(j: Value, sums: list[Value]) -> list[Value]:
                right = [code.vector(v, Linear.of(k) + c, j) for c in range(VECTORS)]
                left = [code.vector(rows, r, j) for r in range(height)]
                pairs = [(x, y) for y in right for x in left]
                return [b.fma(x, y, total) for (x, y), total in zip(pairs, sums, strict=True)]

            count = VECTORS * height
            sums = b.for_(begin, space.length, step, [code.zero()] * count, step=lanes)
            out = Linear.of(k) * height
            for at in range(0, count, lanes):
                total = code.totals(sums[at : at + lanes])
                b.vector_store(total, self.products.buffer, [out + at])

        b.each(0, space.block, VECTORS, some)

    def turn(self, triangle: Matrix) -> None:
        """Multiply by a triangular matrix."""
        space, code = self.space, self.space.code

        def columns(k: Value) -> None:
            right = triangle.part(0, k)
            sums = products(code, self.products, right, space.height, space.block)
            for r, row in enumerate(sums):
                for v, value in enumerate(row):
                    code.put(value, self.turned.transposed, r, Linear.of(k) + v * code.lanes)

        code.b.each(0, space.block, VECTORS * code.lanes, columns)


def dots(
    code: Code, rows: Matrix, count: int, v: Matrix, begin: Subscript, end: Subscript
) -> list[Value]:
    """The products of some rows and a vector."""

    def step(j: Value, sums: list[Value]) -> list[Value]:
        along = code.vector(v, 0, j)
        return [code.b.fma(along, code.vector(rows, r, j), t) for r, t in enumerate(sums)]

    sums = code.b.for_(begin, end, step, [code.zero()] * count, step=code.lanes)
    return [code.total(total) for total in sums]


def subtract(code: Code, target: Matrix, sums: list[list[Value]]) -> None:
    """Subtract a tile."""
    for r, row in enumerate(sums):
        for v, value in enumerate(row):
            place = v * code.lanes
            code.put(code.subtract(code.vector(target, r, place), value), target, r, place)


def memory(code: Code, size: int) -> Matrix:
    """A row of its own."""
    return Matrix(code.b.alloca((max(size, 1),), code.dtype), Linear(), size)


def _whole(count: int, step: int) -> int:
    return -(-count // step) * step
