"""`linalg.eigh`: reflections to a tridiagonal matrix, then implicit QL steps.

See Martin, Reinsch and Wilkinson, "Householder's tridiagonalization of a symmetric matrix" (1968),
Dongarra, Sorensen and Hammarling, "Block reduction of matrices to condensed forms for eigenvalue
computations" (1989), and Dubrulle, Martin and Wilkinson, "The implicit QL algorithm" (1968).
"""

from __future__ import annotations

from collections.abc import Mapping

from dmc.dialects import arith, linalg
from dmc.dialects.arith import Direction
from dmc.dialects.loop import INDEX
from dmc.ir.operation import Operation, Value
from dmc.lowering.loop_builder import Linear, LoopBuilder
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.linalg.matrix import Matrix, Run, code_for, each_matrix, matrix_in
from dmc.lowering.schedules.linalg.products import Changes, Term, multiply_symmetric
from dmc.lowering.schedules.linalg.reflections import (
    Reflections,
    Space,
    Together,
    dots,
    memory,
)
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
from dmc.lowering.schedules.linalg.tiles import VECTORS

PATIENCE = 12
"""Sweeps for an eigenvalue until what is small beside the whole matrix counts as nothing, too: the
reflections have added as much. Where the matrix is graded, these elements may not become smaller.
"""


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
        symmetric = _Symmetric(Space.of(code, machine, count, count, parallel), count)

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

    def __init__(self, space: Space, count: int) -> None:
        self.space = space
        self.code = code = space.code
        self.scalars = Scalars(code)
        self.count = count
        self.work = space.matrix(space.count)
        self.reflections = Reflections.reserved(space, self.work)
        self.together = Together(self.reflections)
        # What a block of reflections makes of the matrix, one row for each.
        self.products = space.matrix(space.block)
        self.factors = memory(code, 2 * space.block)
        self.vectors = Rows(code, space.matrix(count), count)
        self.sweeps = Sweeps.reserved(space, self.vectors.matrix, count)
        self.diagonal = memory(code, space.count)

    @property
    def beside(self) -> Matrix:
        """The elements beside the diagonal of the tridiagonal matrix."""
        return self.reflections.ends

    def reduce(self, source: Matrix, diagonal: Matrix) -> None:
        """Reflect to a tridiagonal matrix, and set the rows to the reflections' product."""
        space, code, count, work = self.space, self.code, self.count, self.work
        b, width = code.b, VECTORS * code.lanes
        space.clear(work, space.count)
        code.copy(source, work, count, count)

        def mirror(i: Value) -> None:
            start = code.down_to(i, width)
            b.each(start, i, 1, lambda j: code.store(code.load(work, j, i), work, i, j))

        b.each(0, count, 1, mirror)

        def block(first: Value) -> None:
            v = work.part(first, 0)
            terms = [Term(v, self.products), Term(self.products, v)]
            changes = Changes(space, terms, self.factors)
            past = b.index(Linear.of(first) + space.block)
            b.each(first, past, 1, lambda k: self._reflect(changes, first, k))
            changes.of_rest(work, past, symmetric=True)

        b.each(0, space.count, space.block, block)
        code.copy(self.diagonal, diagonal, 1, count)
        self.together.accumulate(self.vectors.matrix, count, 1)

    def _reflect(self, changes: Changes, first: Value, k: Value) -> None:
        """Bring row `k` up to date, reflect it, and keep what that makes of the rest."""
        space, code, reflections = self.space, self.code, self.reflections
        b = code.b
        number = b.index(Linear.of(k) + Linear.of(first) * -1)
        counts = [number, number]
        changes.of_row(self.work, k, counts)
        code.store(code.load(self.work, k, k), self.diagonal, 0, k)
        begin = b.index(Linear.of(k) + 1)
        reflections.make(k, begin)
        v, product = self.work.row(k), self.products.row(number)
        multiply_symmetric(space, self.work, v, product, begin)
        changes.of_product(product, v, begin, counts)
        factor = code.load(reflections.factors, 0, k)
        start = code.down_to(begin, code.lanes)
        (share,) = dots(code, product, 1, v, start, space.length)
        half = code.multiply(code.multiply(factor, code.number(-0.5)), share)
        wide, scale = code.wide(half), code.wide(factor)

        def correct(j: Value) -> None:
            total = b.fma(wide, code.vector(v, 0, j), code.vector(product, 0, j))
            code.put(code.multiply(scale, total), product, 0, j)

        b.each(start, space.length, code.lanes, correct)

    def iterate(self, diagonal: Matrix) -> Value:
        """Rotate until nothing is beside the diagonal; whether that failed."""
        code, scalars, count = self.code, self.scalars, self.count
        b = code.b
        last = b.index(count - 1)
        most, zero = b.index(MOST_SWEEPS), b.index(0)
        self.sweeps.clear(0, count)
        least = code.multiply(
            code.number(EPSILON[code.dtype]), scalars.size_of(diagonal, self.beside, count)
        )

        def going(state: list[Value]) -> Value:
            first, sweeps, *_ = state
            more = code.compare(first, Direction.LT, last)
            return scalars.all_of(more, code.compare(sweeps, Direction.LT, most))

        def step(state: list[Value]) -> list[Value]:
            first, sweeps, *kept = state
            patient = code.compare(sweeps, Direction.LT, b.index(PATIENCE))
            floor = code.select(patient, code.number(0.0), least)
            split = self._split(diagonal, first, floor)
            done = code.compare(split, Direction.EQ, first)

            def sweep() -> list[Value]:
                lower = self._sweep(diagonal, first, split, kept[0])
                more = self.sweeps.another(kept, lower, split)
                return [first, b.index(Linear.of(sweeps) + 1), *more]

            return b.if_(done, lambda: [b.index(Linear.of(first) + 1), zero, *kept], sweep)

        _, sweeps, *kept = b.while_([zero, zero, *self.sweeps.none()], going, step)
        self.sweeps.finish(kept)
        return code.compare(sweeps, Direction.GE, most)

    def _split(self, diagonal: Matrix, first: Value, floor: Value) -> Value:
        """The first place from `first` on after which nothing is beside the diagonal.

        Nothing is what is small beside its neighbours, or not above `floor`.
        """
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
                above = (code.compare(here, Direction.GT, x) for x in (bound, floor))
                return [scalars.all_of(*above)]

            (out,) = b.if_(inside, large, lambda: [scalars.false()])
            return out

        (found,) = b.while_([first], going, lambda state: [b.index(Linear.of(state[0]) + 1)])
        return found

    def _sweep(self, diagonal: Matrix, first: Value, split: Value, number: Value) -> Value:
        """Chase the bulge from `split` up to `first`, shifted by an eigenvalue of the corner.

        Gives the lowest place where there is a rotation.
        """
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
                self.sweeps.keep(number, i, new_cosine, new_sine)
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

        def finish() -> list[Value]:
            code.store(code.subtract(code.load(diagonal, 0, first), shift), diagonal, 0, first)
            code.store(g, beside, 0, first)
            code.store(zero, beside, 0, split)
            return []

        b.if_(whole, finish)
        # Without a rotation at the last place, if it came to a stop there.
        return code.add(end, code.select(whole, b.index(1), b.index(2)))
