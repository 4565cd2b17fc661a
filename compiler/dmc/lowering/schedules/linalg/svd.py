"""`linalg.svd`: reflections to a bidiagonal matrix, then implicit QR steps.

See Golub and Reinsch, "Singular value decomposition and least squares solutions" (1970), and, for
the factorization that comes first, Chan, "An improved algorithm for computing the singular value
decomposition" (1982).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dmc.dialects import arith, linalg
from dmc.dialects.arith import Direction
from dmc.ir.operation import Operation, Value
from dmc.lowering.loop_builder import Linear, LoopBuilder
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.linalg.matrix import Code, Matrix, Run, code_for, each_matrix, matrix_in
from dmc.lowering.schedules.linalg.qr import Triangular
from dmc.lowering.schedules.linalg.reflections import (
    CACHED,
    Reflections,
    memory,
    set_identity,
    square_memory,
)
from dmc.lowering.schedules.linalg.rotations import (
    EPSILON,
    MOST_SWEEPS,
    Rows,
    Scalars,
    has_nan,
    put_in_order,
    spoil,
    turn_positive,
)


def emit_svd(
    b: LoopBuilder,
    machine: Machine,
    op: Operation,
    buffers: list[Value],
    captured: Mapping[Value, Value],
    parallel: bool,
) -> None:
    """Decomposes matrices, one after the other."""
    assert isinstance(op, linalg.SVD)
    source, left, values, right = buffers
    rows, columns = op.rows, op.columns

    def prepare(parallel: bool) -> Run:
        code = code_for(b, machine, source)
        bidiagonal = _Bidiagonal(code, rows, columns)

        def run(m: Linear) -> None:
            diagonal = Matrix(b.flat(values), m * columns, columns)
            of_left, of_right = matrix_in(b, left, m), matrix_in(b, right, m)
            size = bidiagonal.reduce(matrix_in(b, source, m), diagonal)
            failed = bidiagonal.iterate(diagonal)
            u, v = bidiagonal.left, bidiagonal.right
            nan = has_nan(code, diagonal, columns)
            put_in_order(code, diagonal, columns, [u, v], descending=True)
            turn_positive(code, columns, u, v)
            wide = code.wide(size)

            def enlarge(j: Value, mask: Value) -> None:
                part = code.multiply(code.vector(diagonal, 0, j, mask), wide)
                code.put(part, diagonal, 0, j, mask)

            code.each_vector(0, columns, enlarge)
            code.turn(u.matrix, of_left, columns, rows)
            code.copy(v.matrix, of_right, columns, columns)
            parts = ((diagonal, 1), (of_left, rows), (of_right, columns))
            spoilt = arith.logical_or(b.builder, failed, nan)
            spoil(code, spoilt, *((matrix, count, columns) for matrix, count in parts))

        return run

    each_matrix(b, source, op.work(), parallel, prepare)


class _Bidiagonal:
    """Memory for the decomposition of matrices of a size; singular vectors are rows."""

    def __init__(self, code: Code, rows: int, columns: int) -> None:
        self.code = code
        self.scalars = Scalars(code)
        self.count = columns
        self.triangular = Triangular.reserved(code, rows, columns)
        self.work = square_memory(code, columns, columns)
        # The element beside that of the diagonal is at the same subscript.
        self.beside = memory(code, columns + 1)
        self.of_columns = Reflections.reserved(code, square_memory(code, columns, columns), columns)
        self.of_rows = Reflections(code, self.work, memory(code, columns), self.beside.part(0, 1))
        self.left = Rows(code, square_memory(code, columns, rows), rows)
        self.of_left = memory(code, columns), memory(code, columns)
        self.of_right = memory(code, columns), memory(code, columns)
        self.right = Rows(code, square_memory(code, columns, columns), columns)

    def reduce(self, source: Matrix, diagonal: Matrix) -> Value:
        """Reflect to a bidiagonal matrix times the number that is given."""
        code, count, work = self.code, self.count, self.work
        b = code.b
        self.triangular.reduce(source, work)
        size = self._scale()
        of_columns = replace(self.of_columns, ends=diagonal)

        def column(k: Value) -> None:
            b.each(
                k,
                count,
                1,
                lambda i: code.store(code.load(work, i, k), of_columns.vectors, k, i),
            )
            of_columns.make(k, k, count)

        def both(k: Value) -> None:
            column(k)
            begin = b.index(Linear.of(k) + 1)
            self._reflect_columns(k, begin)
            self.of_rows.make(k, begin, count)
            self.of_rows.reflect(k, work, begin, count, begin, count)

        code.store(code.number(0.0), self.beside, 0, 0)
        b.each(0, count - 1, 1, both)
        column(b.index(count - 1))
        left, right = self.left, self.right
        set_identity(code, left.matrix, count, left.count)
        of_columns.accumulate(left.matrix, count, 0, count)
        set_identity(code, right.matrix, count, count)
        self.of_rows.accumulate(right.matrix, count - 1, 1, count)

        def some(first: Value) -> None:
            past = code.minimum(Linear.of(first) + CACHED, count)

            def back(s: Value) -> None:
                k = b.index(Linear.of(s) * -1 + (count - 1))
                self.triangular.reflections.reflect(k, left.matrix, first, past, k, left.count)

            b.each(0, count, 1, back)

        b.each(0, count, CACHED, some)
        return size

    def _scale(self) -> Value:
        """Divide by the largest element, lest squares leave the range."""
        code, count, work = self.code, self.count, self.work
        b = code.b

        def look(i: Value, largest: list[Value]) -> list[Value]:
            row = work.row(i)
            x = code.magnitude(code.load(row, 0, code.place_of_largest(row, 0, count)))
            larger = code.compare(x, Direction.GT, largest[0])
            return [code.select(larger, x, largest[0])]

        zero = code.number(0.0)
        (size,) = b.for_(0, count, look, [zero])
        size = code.select(code.compare(size, Direction.EQ, zero), code.number(1.0), size)
        wide = code.wide(size)

        def row(i: Value) -> None:
            def step(j: Value, mask: Value) -> None:
                code.put(code.divide(code.vector(work, i, j, mask), wide), work, i, j, mask)

            code.each_vector(0, count, step)

        b.each(0, count, 1, row)
        return size

    def _reflect_columns(self, k: Value, begin: Value) -> None:
        """Reflect the columns from `begin` on."""
        code, count, work = self.code, self.count, self.work
        b = code.b
        v = self.of_columns.vectors.row(k)
        factor = code.wide(code.negative(code.load(self.of_columns.factors, 0, k)))

        def columns(j: Value, mask: Value) -> None:
            def product(i: Value, sums: list[Value]) -> list[Value]:
                along = code.wide(code.load(v, 0, i))
                return [b.fma(along, code.vector(work, i, j, mask), sums[0])]

            (total,) = b.for_(k, count, product, [code.zero()])
            share = code.multiply(factor, total)

            def add(i: Value) -> None:
                along = code.wide(code.load(v, 0, i))
                old = code.vector(work, i, j, mask)
                code.put(b.fma(along, share, old), work, i, j, mask)

            b.each(k, count, 1, add)

        code.each_vector(begin, count, columns)

    def iterate(self, diagonal: Matrix) -> Value:
        """Rotate until nothing is beside the diagonal; whether that failed."""
        code, scalars, beside, count = self.code, self.scalars, self.beside, self.count
        b = code.b

        def look(i: Value, largest: list[Value]) -> list[Value]:
            x, y = (code.magnitude(code.load(row, 0, i)) for row in (diagonal, beside))
            both = code.add(x, y)
            larger = code.compare(both, Direction.GT, largest[0])
            return [code.select(larger, both, largest[0])]

        (size,) = b.for_(0, count, look, [code.number(0.0)])
        bound = code.multiply(code.number(EPSILON[code.dtype]), size)
        most, zero = b.index(MOST_SWEEPS), b.index(0)

        def going(state: list[Value]) -> Value:
            last, sweeps = state
            more = code.compare(last, Direction.GE, zero)
            return scalars.all_of(more, code.compare(sweeps, Direction.LT, most))

        def step(state: list[Value]) -> list[Value]:
            last, sweeps = state
            first = self._split(diagonal, last, bound)

            def is_large() -> list[Value]:
                x = code.magnitude(code.load(beside, 0, first))
                return [code.compare(x, Direction.GT, bound)]

            inside = code.compare(first, Direction.GT, zero)
            (cancelled,) = b.if_(inside, is_large, lambda: [scalars.false()])
            b.if_(cancelled, lambda: self._cancel(diagonal, first, last, bound))
            done = code.compare(first, Direction.EQ, last)

            def finish() -> list[Value]:
                value = code.load(diagonal, 0, last)

                def negate() -> list[Value]:
                    code.store(code.negative(value), diagonal, 0, last)
                    self.right.negate(last)
                    return []

                b.if_(code.compare(value, Direction.LT, code.number(0.0)), negate)
                return [b.index(Linear.of(last) + -1), zero]

            def sweep() -> list[Value]:
                self._sweep(diagonal, first, last)
                return [last, b.index(Linear.of(sweeps) + 1)]

            return b.if_(done, finish, sweep)

        _, sweeps = b.while_([b.index(count - 1), zero], going, step)
        return code.compare(sweeps, Direction.GE, most)

    def _split(self, diagonal: Matrix, last: Value, bound: Value) -> Value:
        """Where the last part of the matrix that is a matrix of its own begins."""
        code, scalars = self.code, self.scalars
        b = code.b

        def going(state: list[Value]) -> Value:
            (i,) = state

            def large() -> list[Value]:
                x = code.magnitude(code.load(self.beside, 0, i))
                y = code.magnitude(code.load(diagonal, 0, Linear.of(i) + -1))
                above = (code.compare(z, Direction.GT, bound) for z in (x, y))
                return [scalars.all_of(*above)]

            inside = code.compare(i, Direction.GT, b.index(0))
            (out,) = b.if_(inside, large, lambda: [scalars.false()])
            return out

        (found,) = b.while_([last], going, lambda state: [b.index(Linear.of(state[0]) + -1)])
        return found

    def _cancel(self, diagonal: Matrix, first: Value, last: Value, bound: Value) -> list[Value]:
        """Rotate away what is beside the diagonal where the diagonal above it is zero."""
        code, scalars, beside = self.code, self.scalars, self.beside
        b = code.b
        above = b.index(Linear.of(first) + -1)

        def going(state: list[Value]) -> Value:
            i, *_, on = state
            return scalars.all_of(code.compare(i, Direction.LE, last), on)

        def step(state: list[Value]) -> list[Value]:
            i, cosine, sine, _ = state
            here = code.load(beside, 0, i)
            f = code.multiply(sine, here)
            code.store(code.multiply(cosine, here), beside, 0, i)
            on = code.compare(code.magnitude(f), Direction.GT, bound)

            def rotate() -> list[Value]:
                cosine, sine, length = scalars.rotation(code.load(diagonal, 0, i), f)
                code.store(length, diagonal, 0, i)
                sine = code.negative(sine)
                self.left.rotate(above, i, cosine, sine)
                return [cosine, sine]

            cosine, sine = b.if_(on, rotate, lambda: [cosine, sine])
            return [b.index(Linear.of(i) + 1), cosine, sine, on]

        b.while_([first, code.number(0.0), code.number(1.0), scalars.true()], going, step)
        return []

    def _sweep(self, diagonal: Matrix, first: Value, last: Value) -> None:
        """Chase the bulge from `first` to `last`, shifted by a singular value of the corner."""
        code, scalars, beside = self.code, self.scalars, self.beside
        b = code.b
        zero, one, two = (code.number(x) for x in (0.0, 1.0, 2.0))
        x = code.load(diagonal, 0, first)
        z, h = code.load(diagonal, 0, last), code.load(beside, 0, last)
        y, g = (code.load(row, 0, Linear.of(last) + -1) for row in (diagonal, beside))

        def spread(p: Value, q: Value) -> Value:
            return code.multiply(code.subtract(p, q), code.add(p, q))

        f = code.divide(
            code.add(spread(y, z), spread(g, h)), code.multiply(two, code.multiply(h, y))
        )
        turned = code.add(f, scalars.signed(scalars.length(f, one), f))
        shift = code.multiply(h, code.subtract(code.divide(y, turned), h))
        f = code.divide(code.add(spread(x, z), shift), x)

        def step(j: Value, state: list[Value]) -> list[Value]:
            cosine, sine, x, f = state
            i = Linear.of(j) + 1

            def keep(angles: tuple[Matrix, Matrix], cosine: Value, sine: Value) -> None:
                for row, value in zip(angles, (cosine, sine), strict=True):
                    code.store(value, row, 0, j)

            g, y = code.load(beside, 0, i), code.load(diagonal, 0, i)
            h, g = code.multiply(sine, g), code.multiply(cosine, g)
            cosine, sine, length = scalars.rotation(f, h)
            code.store(length, beside, 0, j)
            f = code.add(code.multiply(x, cosine), code.multiply(g, sine))
            g = code.subtract(code.multiply(g, cosine), code.multiply(x, sine))
            h, y = code.multiply(y, sine), code.multiply(y, cosine)
            keep(self.of_right, cosine, sine)
            cosine, sine, length = scalars.rotation(f, h)
            code.store(length, diagonal, 0, j)
            f = code.add(code.multiply(cosine, g), code.multiply(sine, y))
            x = code.subtract(code.multiply(cosine, y), code.multiply(sine, g))
            keep(self.of_left, cosine, sine)
            return [cosine, sine, x, f]

        _, _, x, f = b.for_(first, last, step, [one, one, x, f])
        code.store(zero, beside, 0, first)
        code.store(f, beside, 0, last)
        code.store(x, diagonal, 0, last)
        self.left.rotate_along(first, last, *self.of_left, backwards=False)
        self.right.rotate_along(first, last, *self.of_right, backwards=False)
