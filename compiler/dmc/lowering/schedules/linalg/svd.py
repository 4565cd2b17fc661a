"""`linalg.svd`: reflections to a bidiagonal matrix, then implicit QR steps.

See Golub and Reinsch, "Singular value decomposition and least squares solutions" (1970), for the
factorization that comes first Chan, "An improved algorithm for computing the singular value
decomposition" (1982), and for blocks Dongarra, Sorensen and Hammarling, "Block reduction of
matrices to condensed forms for eigenvalue computations" (1989).
"""

from __future__ import annotations

from collections.abc import Mapping

from dmc.dialects import arith, linalg
from dmc.dialects.arith import Direction
from dmc.ir.operation import Operation, Value
from dmc.lowering.loop_builder import Linear, LoopBuilder
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.linalg.matrix import Matrix, Run, code_for, each_matrix, matrix_in
from dmc.lowering.schedules.linalg.products import (
    Changes,
    Term,
    multiply_columns,
    multiply_rows,
)
from dmc.lowering.schedules.linalg.qr import Triangular
from dmc.lowering.schedules.linalg.reflections import Reflections, Space, Together, memory
from dmc.lowering.schedules.linalg.rotations import (
    EPSILON,
    MOST_SWEEPS,
    Rows,
    Scalars,
    Sweeps,
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
        bidiagonal = _Bidiagonal(Space.of(code, machine, columns, rows, parallel), rows, columns)

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

    def __init__(self, space: Space, rows: int, columns: int) -> None:
        self.code = code = space.code
        self.space = space
        self.scalars = Scalars(code)
        self.count = columns
        self.triangular = Triangular(space, rows, columns)
        self.work = space.matrix(space.count)
        # The element beside that of the diagonal is at the same subscript.
        self.beside = memory(code, space.count + 2)
        self.of_columns = Reflections.reserved(space, space.matrix(space.count))
        self.of_rows = Reflections(
            space, self.work, memory(code, space.count), self.beside.part(0, 1)
        )
        # What a block of reflections makes of the rows and of the columns.
        self.row_products = space.matrix(space.block)
        self.column_products = space.matrix(space.block)
        self.factors = memory(code, 2 * space.block)
        self.left = Rows(code, space.matrix(columns), rows)
        self.right = Rows(code, space.matrix(columns), columns)
        # Sweeps go down; from the last row to the first they go up.
        self.of_left, self.of_right = (
            Sweeps.reserved(space, side.matrix.reversed(columns), columns)
            for side in (self.left, self.right)
        )
        self.shared = Together(self.of_columns), Together(self.of_rows)

    def reduce(self, source: Matrix, diagonal: Matrix) -> Value:
        """Reflect to a bidiagonal matrix times the number that is given."""
        space, code, count, work = self.space, self.code, self.count, self.work
        b = code.b
        space.clear(work, space.count)
        space.clear(self.of_columns.vectors, space.count)
        space.clear(self.column_products, space.block)
        self.triangular.reduce(source, work)
        size = self._scale()
        u, v = self.of_columns.vectors, work

        def block(first: Value) -> None:
            terms = [
                Term(u.part(first, 0), self.row_products),
                Term(self.column_products, v.part(first, 0)),
            ]
            changes = Changes(space, terms, self.factors)
            past = b.index(Linear.of(first) + space.block)
            b.each(first, past, 1, lambda k: self._reflect(changes, first, k))
            changes.of_rest(work, past, symmetric=False)

        code.store(code.number(0.0), self.beside, 0, 0)
        b.each(0, space.count, space.block, block)
        code.copy(self.of_columns.ends, diagonal, 1, count)
        of_columns, of_rows = self.shared
        of_columns.accumulate(self.left.matrix, count, 0)
        of_rows.accumulate(self.right.matrix, count, 1)
        self.triangular.together.reflect(self.left.matrix, count)
        return size

    def _reflect(self, changes: Changes, first: Value, k: Value) -> None:
        """Reflect a column and a row, and keep what that makes of the rest."""
        space, code, work = self.space, self.code, self.work
        b = code.b
        number = b.index(Linear.of(k) + Linear.of(first) * -1)
        after = b.index(Linear.of(number) + 1)
        begin = b.index(Linear.of(k) + 1)
        u, v = self.of_columns.vectors.row(k), work.row(k)
        of_rows, of_columns = self.row_products.row(number), self.column_products.row(number)
        b.each(k, space.count, 1, lambda i: code.store(code.load(work, i, k), u, 0, i))
        changes.transposed.of_row(self.of_columns.vectors, k, [number, number])
        self.of_columns.make(k, k)
        multiply_columns(space, work, u, of_rows, k)
        changes.transposed.of_product(of_rows, u, k, [number, number])
        self._scale_row(of_rows, code.load(self.of_columns.factors, 0, k))
        changes.of_row(work, k, [after, number])
        self.of_rows.make(k, begin)
        multiply_rows(space, work, space.count, v, of_columns, begin)
        changes.of_product(of_columns, v, begin, [after, number])
        self._scale_row(of_columns, code.load(self.of_rows.factors, 0, k))

    def _scale_row(self, row: Matrix, factor: Value) -> None:
        code, wide = self.code, self.code.wide(factor)

        def scale(j: Value) -> None:
            code.put(code.multiply(code.vector(row, 0, j), wide), row, 0, j)

        code.b.each(0, self.space.length, code.lanes, scale)

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

    def iterate(self, diagonal: Matrix) -> Value:
        """Rotate until nothing is beside the diagonal; whether that failed."""
        code, scalars, beside, count = self.code, self.scalars, self.beside, self.count
        b = code.b

        size = scalars.size_of(diagonal, beside, count)
        bound = code.multiply(code.number(EPSILON[code.dtype]), size)
        most, zero = b.index(MOST_SWEEPS), b.index(0)
        both = self.of_left, self.of_right
        for sweeps in both:
            sweeps.clear(0, count)

        def going(state: list[Value]) -> Value:
            last, sweeps, *_ = state
            more = code.compare(last, Direction.GE, zero)
            return scalars.all_of(more, code.compare(sweeps, Direction.LT, most))

        def step(state: list[Value]) -> list[Value]:
            last, sweeps, *kept = state
            first = self._split(diagonal, last, bound)

            def is_large() -> list[Value]:
                x = code.magnitude(code.load(beside, 0, first))
                return [code.compare(x, Direction.GT, bound)]

            inside = code.compare(first, Direction.GT, zero)
            (cancelled,) = b.if_(inside, is_large, lambda: [scalars.false()])

            def cancel() -> list[Value]:
                for side in both:
                    side.finish(kept)
                self._cancel(diagonal, first, last, bound)
                return self.of_left.none()

            kept = b.if_(cancelled, cancel, lambda: kept)
            done = code.compare(first, Direction.EQ, last)

            def sweep() -> list[Value]:
                self._sweep(diagonal, first, last, kept[0])
                places = [b.index(Linear.of(x) * -1 + (count - 1)) for x in (last, first)]
                more = [side.another(kept, *places) for side in both]
                return [last, b.index(Linear.of(sweeps) + 1), *more[0]]

            return b.if_(done, lambda: [b.index(Linear.of(last) + -1), zero, *kept], sweep)

        inits = [b.index(count - 1), zero, *self.of_left.none()]
        _, sweeps, *kept = b.while_(inits, going, step)
        for side in both:
            side.finish(kept)
        b.each(0, count, 1, lambda i: self._turn_positive(diagonal, i))
        return code.compare(sweeps, Direction.GE, most)

    def _turn_positive(self, diagonal: Matrix, i: Value) -> None:
        code = self.code
        value = code.load(diagonal, 0, i)

        def negate() -> list[Value]:
            code.store(code.negative(value), diagonal, 0, i)
            self.right.negate(i)
            return []

        code.b.if_(code.compare(value, Direction.LT, code.number(0.0)), negate)

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

    def _cancel(self, diagonal: Matrix, first: Value, last: Value, bound: Value) -> None:
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

    def _sweep(self, diagonal: Matrix, first: Value, last: Value, number: Value) -> None:
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

            place = Linear.of(j) * -1 + (self.count - 2)
            g, y = code.load(beside, 0, i), code.load(diagonal, 0, i)
            h, g = code.multiply(sine, g), code.multiply(cosine, g)
            cosine, sine, length = scalars.rotation(f, h)
            code.store(length, beside, 0, j)
            f = code.add(code.multiply(x, cosine), code.multiply(g, sine))
            g = code.subtract(code.multiply(g, cosine), code.multiply(x, sine))
            h, y = code.multiply(y, sine), code.multiply(y, cosine)
            self.of_right.keep(number, place, cosine, sine)
            cosine, sine, length = scalars.rotation(f, h)
            code.store(length, diagonal, 0, j)
            f = code.add(code.multiply(cosine, g), code.multiply(sine, y))
            x = code.subtract(code.multiply(cosine, y), code.multiply(sine, g))
            self.of_left.keep(number, place, cosine, sine)
            return [cosine, sine, x, f]

        _, _, x, f = b.for_(first, last, step, [one, one, x, f])
        code.store(zero, beside, 0, first)
        code.store(f, beside, 0, last)
        code.store(x, diagonal, 0, last)
