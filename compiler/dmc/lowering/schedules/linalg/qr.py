"""`linalg.qr`, by blocks of reflections of the columns, which lie as rows meanwhile."""

from __future__ import annotations

from collections.abc import Mapping

from dmc.dialects import linalg
from dmc.ir.operation import Operation, Value
from dmc.lowering.loop_builder import Linear, LoopBuilder
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.linalg.matrix import Matrix, Run, code_for, each_matrix, matrix_in
from dmc.lowering.schedules.linalg.reflections import Reflections, Space, Together


def emit_qr(
    b: LoopBuilder,
    machine: Machine,
    op: Operation,
    buffers: list[Value],
    captured: Mapping[Value, Value],
    parallel: bool,
) -> None:
    """Factors matrices, one after the other."""
    assert isinstance(op, linalg.QR)
    source, left, right = buffers
    rows, columns = op.rows, op.columns

    def prepare(parallel: bool) -> Run:
        code = code_for(b, machine, source)
        space = Space.of(code, machine, columns, rows, parallel)
        reduction = Triangular(space, rows, columns)
        orthogonal = space.matrix(columns)

        def run(m: Linear) -> None:
            reduction.reduce(matrix_in(b, source, m), matrix_in(b, right, m))
            reduction.together.accumulate(orthogonal, columns, 0)
            code.turn(orthogonal, matrix_in(b, left, m), columns, rows)

        return run

    each_matrix(b, source, op.work(), parallel, prepare)


class Triangular:
    """Reflects matrices to triangular ones, in memory of its own."""

    def __init__(self, space: Space, rows: int, columns: int) -> None:
        self.space = space
        self.rows = rows
        self.columns = columns
        self.reflections = Reflections.reserved(space, space.matrix(space.count))
        self.together = Together(self.reflections)

    def reduce(self, source: Matrix, target: Matrix) -> None:
        """Store the upper triangle; the reflections remain."""
        space, columns, reflections = self.space, self.columns, self.reflections
        code, vectors = space.code, reflections.vectors
        b = code.b
        space.clear(vectors, space.count)
        reflections.clear()
        code.turn(source, vectors, self.rows, columns)
        code.fill(0.0, target, columns, columns)

        def block(first: Value) -> None:
            past = b.index(Linear.of(first) + space.block)
            last = code.minimum(past, columns)
            count = b.index(Linear.of(last) + Linear.of(first) * -1)
            code.turn(vectors.part(first, 0), target.part(0, first), count, first)

            def column(k: Value) -> None:
                b.each(first, k, 1, lambda i: code.store(code.load(vectors, k, i), target, i, k))
                reflections.make(k, k)
                code.store(code.load(reflections.ends, 0, k), target, k, k)
                reflections.reflect(k, b.index(Linear.of(k) + 1), past)

            b.each(first, last, 1, column)
            self.together.combine(first)
            self.together.apply(first, vectors, past, space.count, backwards=False)

        b.each(0, space.count, space.block, block)
