"""`linalg.qr`, by reflections of the columns, which lie as rows meanwhile."""

from __future__ import annotations

from collections.abc import Mapping

from dmc.dialects import linalg
from dmc.ir.operation import Operation, Value
from dmc.lowering.loop_builder import Linear, LoopBuilder
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.linalg.matrix import Code, Matrix, Run, code_for, each_matrix, matrix_in
from dmc.lowering.schedules.linalg.reflections import (
    CACHED,
    Reflections,
    set_identity,
    square_memory,
)


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
        reduction = Triangular.reserved(code, rows, columns)
        orthogonal = square_memory(code, columns, rows)

        def run(m: Linear) -> None:
            reduction.reduce(matrix_in(b, source, m), matrix_in(b, right, m))
            set_identity(code, orthogonal, columns, rows)
            reduction.reflections.accumulate(orthogonal, columns, 0, rows)
            code.turn(orthogonal, matrix_in(b, left, m), columns, rows)

        return run

    each_matrix(b, source, op.work(), parallel, prepare)


class Triangular:
    """Reflects matrices to triangular ones."""

    def __init__(self, reflections: Reflections, rows: int, columns: int) -> None:
        self.reflections = reflections
        self.rows = rows
        self.columns = columns

    @staticmethod
    def reserved(code: Code, rows: int, columns: int) -> Triangular:
        """In memory of its own."""
        vectors = square_memory(code, columns, rows)
        return Triangular(Reflections.reserved(code, vectors, columns), rows, columns)

    def reduce(self, source: Matrix, target: Matrix) -> None:
        """Store the upper triangle; the reflections remain."""
        reflections, rows, columns = self.reflections, self.rows, self.columns
        code, vectors = reflections.code, reflections.vectors
        b = code.b
        code.turn(source, vectors, rows, columns)

        def some(first: Value) -> None:
            past = code.minimum(Linear.of(first) + CACHED, columns)
            b.each(0, first, 1, lambda k: reflections.reflect(k, vectors, first, past, k, rows))

            def column(k: Value) -> None:
                reflections.make(k, k, rows)
                after = b.index(Linear.of(k) + 1)
                reflections.reflect(k, vectors, after, past, k, rows)

            b.each(first, past, 1, column)

        b.each(0, columns, CACHED, some)
        code.fill(0.0, target, columns, columns)

        def finish(j: Value) -> None:
            b.each(0, j, 1, lambda i: code.store(code.load(vectors, j, i), target, i, j))
            code.store(code.load(reflections.ends, 0, j), target, j, j)

        b.each(0, columns, 1, finish)
