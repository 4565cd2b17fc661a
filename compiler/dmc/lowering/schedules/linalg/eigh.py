"""`linalg.eigh`: reflections to a tridiagonal matrix, then implicit QL steps.

See Martin, Reinsch and Wilkinson, "Householder's tridiagonalization of a symmetric matrix" (1968),
and Dubrulle, Martin and Wilkinson, "The implicit QL algorithm" (1968).
"""

from __future__ import annotations

from collections.abc import Mapping

from dmc.dialects import arith, linalg
from dmc.dialects.arith import Direction
from dmc.dialects.loop import INDEX
from dmc.ir.operation import Operation, Value
from dmc.lowering.loop_builder import Linear, LoopBuilder
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.linalg.matrix import Code, Matrix, Run, code_for, each_matrix, matrix_in
from dmc.lowering.schedules.linalg.reflections import (
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


def emit_eigh(
    b: LoopBuilder,
    machine: Machine,
    op: Operation,
    buffers: list[Value],
    captured: Mapping[Value, Value],
    parallel: bool,
) -> None:
    """Decomposes matrices, one after the other."""
    assert isinstance(op, linalg.Eigh)
    source, values, vectors = buffers
    count = op.rows

    def prepare(parallel: bool) -> Run:
        code = code_for(b, machine, source)
        symmetric = _Symmetric(code, count)

        def run(m: Linear) -> None:
            diagonal = Matrix(b.flat(values), m * count, count)
            target = matrix_in(b, vectors, m)
            symmetric.reduce(matrix_in(b, source, m), diagonal)
            failed = symmetric.iterate(diagonal)
            rows = symmetric.vectors
            nan = has_nan(code, diagonal, count)
            put_in_order(code, diagonal, count, [rows], descending=False)
            turn_positive(code, count, rows)
            code.turn(rows.matrix, target, count, count)
            spoilt = arith.logical_or(b.builder, failed, nan)
            spoil(code, spoilt, (diagonal, 1, count), (target, count, count))

        return run

    each_matrix(b, source, op.work(), parallel, prepare)


class _Symmetric:
    """Memory for the decomposition of symmetric matrices of a size; eigenvectors are rows."""

    def __init__(self, code: Code, count: int) -> None:
        self.code = code
        self.scalars = Scalars(code)
        self.count = count
        self.work = square_memory(code, count, count)
        self.reflections = Reflections.reserved(code, self.work, count)
        self.vectors = Rows(code, square_memory(code, count, count), count)
        self.product = memory(code, count)
        self.cosines, self.sines = memory(code, count), memory(code, count)

    @property
    def beside(self) -> Matrix:
        """The elements beside the diagonal of the tridiagonal matrix."""
        return self.reflections.ends

    def reduce(self, source: Matrix, diagonal: Matrix) -> None:
        """Reflect to a tridiagonal matrix, and set the rows to the reflections' product."""
        code, count, work, reflections = self.code, self.count, self.work, self.reflections
        b = code.b
        code.copy(source, work, count, count)

        def mirror(i: Value) -> None:
            b.each(0, i, 1, lambda j: code.store(code.load(work, j, i), work, i, j))

        b.each(0, count, 1, mirror)

        def column(k: Value) -> None:
            begin = b.index(Linear.of(k) + 1)
            reflections.make(k, begin, count)
            self._update(k, begin)

        b.each(0, count - 1, 1, column)

        def finish(i: Value) -> None:
            code.store(code.load(work, i, i), diagonal, 0, i)

        b.each(0, count, 1, finish)
        code.store(code.number(0.0), self.beside, 0, count - 1)
        set_identity(code, self.vectors.matrix, count, count)
        reflections.accumulate(self.vectors.matrix, count - 1, 1, count)

    def _update(self, k: Value, begin: Value) -> None:
        """Reflect rows and columns from `begin` on: a symmetric update of rank two."""
        code, count, work, product = self.code, self.count, self.work, self.product
        b = code.b
        v = work.row(k)
        factor = code.load(self.reflections.factors, 0, k)

        def along(i: Value) -> None:
            total = code.dot(
                begin,
                count,
                lambda j, mask: code.vector(v, 0, j, mask),
                lambda j, mask: code.vector(work, i, j, mask),
            )
            code.store(code.multiply(factor, total), product, 0, i)

        b.each(begin, count, 1, along)
        share = code.dot(
            begin,
            count,
            lambda j, mask: code.vector(v, 0, j, mask),
            lambda j, mask: code.vector(product, 0, j, mask),
        )
        half = code.multiply(code.multiply(factor, code.number(-0.5)), share)
        wide = code.wide(half)

        def correct(j: Value, mask: Value) -> None:
            old = code.vector(product, 0, j, mask)
            code.put(b.fma(wide, code.vector(v, 0, j, mask), old), product, 0, j, mask)

        code.each_vector(begin, count, correct)

        def row(i: Value) -> None:
            x = code.wide(code.negative(code.load(v, 0, i)))
            y = code.wide(code.negative(code.load(product, 0, i)))

            def step(j: Value, mask: Value) -> None:
                total = b.fma(x, code.vector(product, 0, j, mask), code.vector(work, i, j, mask))
                total = b.fma(y, code.vector(v, 0, j, mask), total)
                code.put(total, work, i, j, mask)

            code.each_vector(begin, count, step)

        b.each(begin, count, 1, row)

    def iterate(self, diagonal: Matrix) -> Value:
        """Rotate until nothing is beside the diagonal; whether that failed."""
        code, scalars, count = self.code, self.scalars, self.count
        b = code.b
        last = b.index(count - 1)
        most = b.index(MOST_SWEEPS)

        def going(state: list[Value]) -> Value:
            first, sweeps = state
            more = code.compare(first, Direction.LT, last)
            return scalars.all_of(more, code.compare(sweeps, Direction.LT, most))

        def step(state: list[Value]) -> list[Value]:
            first, sweeps = state
            split = self._split(diagonal, first)
            done = code.compare(split, Direction.EQ, first)

            def sweep() -> list[Value]:
                self._sweep(diagonal, first, split)
                return [first, b.index(Linear.of(sweeps) + 1)]

            return b.if_(done, lambda: [b.index(Linear.of(first) + 1), b.index(0)], sweep)

        _, sweeps = b.while_([b.index(0), b.index(0)], going, step)
        return code.compare(sweeps, Direction.GE, most)

    def _split(self, diagonal: Matrix, first: Value) -> Value:
        """The first place from `first` on after which nothing is beside the diagonal."""
        code, scalars = self.code, self.scalars
        b = code.b
        epsilon = code.number(EPSILON[code.dtype])

        def going(state: list[Value]) -> Value:
            (i,) = state
            inside = code.compare(i, Direction.LT, b.index(self.count - 1))

            def large() -> list[Value]:
                x, y = (code.magnitude(code.load(diagonal, 0, Linear.of(i) + d)) for d in (0, 1))
                here = code.magnitude(code.load(self.beside, 0, i))
                bound = code.multiply(epsilon, code.add(x, y))
                return [code.compare(here, Direction.GT, bound)]

            (out,) = b.if_(inside, large, lambda: [scalars.false()])
            return out

        (found,) = b.while_([first], going, lambda state: [b.index(Linear.of(state[0]) + 1)])
        return found

    def _sweep(self, diagonal: Matrix, first: Value, split: Value) -> None:
        """Chase the bulge from `split` up to `first`, shifted by an eigenvalue of the corner."""
        code, scalars, beside = self.code, self.scalars, self.beside
        b = code.b
        zero, one, two = (code.number(x) for x in (0.0, 1.0, 2.0))
        corner, side = code.load(diagonal, 0, first), code.load(beside, 0, first)
        gap = code.subtract(code.load(diagonal, 0, Linear.of(first) + 1), corner)
        ratio = code.divide(gap, code.multiply(two, side))
        turned = code.add(ratio, scalars.signed(scalars.length(ratio, one), ratio))
        end = code.subtract(code.load(diagonal, 0, split), corner)
        start = code.add(end, code.divide(side, turned))

        def going(state: list[Value]) -> Value:
            i, *_, whole = state
            return scalars.all_of(code.compare(i, Direction.GE, first), whole)

        def step(state: list[Value]) -> list[Value]:
            i, g, sine, cosine, shift, _ = state
            here = code.load(beside, 0, i)
            f, h = code.multiply(sine, here), code.multiply(cosine, here)
            new_cosine, new_sine, length = scalars.rotation(g, f)
            code.store(length, beside, 0, Linear.of(i) + 1)
            whole = code.compare(length, Direction.NE, zero)
            below = code.subtract(code.load(diagonal, 0, Linear.of(i) + 1), shift)

            def rotate() -> list[Value]:
                across = code.subtract(code.load(diagonal, 0, i), below)
                mixed = code.multiply(code.multiply(two, new_cosine), h)
                mixed = code.add(code.multiply(across, new_sine), mixed)
                moved = code.multiply(new_sine, mixed)
                code.store(code.add(below, moved), diagonal, 0, Linear.of(i) + 1)
                next_g = code.subtract(code.multiply(new_cosine, mixed), h)
                code.store(new_cosine, self.cosines, 0, i)
                code.store(new_sine, self.sines, 0, i)
                return [next_g, moved]

            def stop() -> list[Value]:
                code.store(below, diagonal, 0, Linear.of(i) + 1)
                code.store(zero, beside, 0, split)
                return [g, shift]

            g, shift = b.if_(whole, rotate, stop)
            return [b.index(Linear.of(i) + -1), g, new_sine, new_cosine, shift, whole]

        begin = arith.subtract(b.builder, split, b.constant(1, INDEX))
        inits = [begin, start, one, one, zero, scalars.true()]
        end, g, _, _, shift, whole = b.while_(inits, going, step)
        # Without a rotation at the last place, if it came to a stop there.
        skipped = code.select(whole, b.index(1), b.index(2))
        self.vectors.rotate_along(
            code.add(end, skipped), split, self.cosines, self.sines, backwards=True
        )

        def finish() -> list[Value]:
            code.store(code.subtract(code.load(diagonal, 0, first), shift), diagonal, 0, first)
            code.store(g, beside, 0, first)
            code.store(zero, beside, 0, split)
            return []

        b.if_(whole, finish)
