"""`linalg.triangular_solve`: right sides by tiles, a single one along the rows of the matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dmc.dialects import linalg
from dmc.ir.operation import Operation, Value
from dmc.ir.types import dtype_of
from dmc.lowering.loop_builder import Linear, LoopBuilder, Subscript
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.linalg.matrix import (
    Code,
    Matrix,
    Run,
    code_for,
    each_matrix,
    matrix_in,
)
from dmc.lowering.schedules.linalg.tiles import Tiles
from dmc.lowering.schedules.movement import memref_type


def emit_triangular_solve(
    b: LoopBuilder,
    machine: Machine,
    op: Operation,
    buffers: list[Value],
    captured: Mapping[Value, Value],
    parallel: bool,
) -> None:
    """Substitution; what is solved last first is the same of the matrix turned round."""
    assert isinstance(op, linalg.TriangularSolve)
    matrix, right, target = buffers
    *_, size, columns = memref_type(right).shape

    if columns == 1:
        code = code_for(b, machine, right)

        def one(m: Linear) -> None:
            x = matrix_in(b, target, m)
            code.copy(matrix_in(b, right, m).transposed, x.transposed, 1, size)
            Single(code, op, matrix_in(b, matrix, m), x.transposed, size).run()

        each_matrix(b, right, size * size, parallel, lambda _: one)
        return

    def prepare(parallel: bool) -> Run:
        tiles = Tiles.of(b, machine, dtype_of(right.type), size, columns, parallel)
        solver = Substitution(tiles, op.unit)

        def run(m: Linear) -> None:
            coefficients = matrix_in(b, matrix, m)
            x = matrix_in(b, target, m)
            tiles.code.copy(matrix_in(b, right, m), x, size, columns)
            if op.transposed:
                coefficients = coefficients.transposed
            if op.forward:
                solver.run(coefficients, x)
            else:
                solver.run(coefficients.turned(size), x.reversed(size))

        return run

    each_matrix(b, right, size * size * columns, parallel, prepare)


GROUP = 8
"""Unknowns of a single right side that are solved before they are used."""


@dataclass(frozen=True)
class Single:
    """Solves for one right side, in place; reads the matrix once, along its rows."""

    code: Code
    op: linalg.TriangularSolve
    matrix: Matrix
    x: Matrix
    size: int

    def run(self) -> None:
        """Group after group, the last one or the first one smaller."""
        b, size = self.code.b, self.size
        rest = size % GROUP
        if self.op.forward:
            b.each(0, size - rest, GROUP, lambda i: self._group(i, GROUP))
            if rest:
                self._group(b.index(size - rest), rest)
            return

        def backward(i: Value) -> None:
            self._group(b.index(Linear.of(i) * -1 + (size - GROUP)), GROUP)

        b.each(0, size - rest, GROUP, backward)
        if rest:
            self._group(b.index(0), rest)

    def _coefficient(self, i: Subscript, k: Subscript) -> Value:
        matrix = self.matrix.transposed if self.op.transposed else self.matrix
        return self.code.load(matrix, i, k)

    def _group(self, first: Value, count: int) -> None:
        """Solve for `count` unknowns from `first` on, whose rows others have part in."""
        past = Linear.of(first) + count
        forward = self.op.forward
        if self.op.transposed:
            here = Linear.of(first)
            self._corner(first, [self.code.load(self.x, 0, here + r) for r in range(count)])
            self._subtract(first, count, *((past, self.size) if forward else (0, first)))
        else:
            known = (0, first) if forward else (past, self.size)
            self._corner(first, self._remainders(first, count, *known))

    def _remainders(
        self, first: Value, count: int, lower: Subscript, upper: Subscript
    ) -> list[Value]:
        """The right sides of some rows less what known unknowns have part in."""
        code, b = self.code, self.code.b

        def step(k: Value, sums: list[Value]) -> list[Value]:
            mask = b.tail_mask(Linear.of(upper) + Linear.of(k) * -1, code.lanes)
            x = code.vector(self.x, 0, k, mask)
            rows = [code.vector(self.matrix, Linear.of(first) + r, k, mask) for r in range(count)]
            return [b.fma(row, x, total) for row, total in zip(rows, sums, strict=True)]

        sums = b.for_(lower, upper, step, [code.zero()] * count, step=code.lanes, name="k")
        return [
            code.subtract(code.load(self.x, 0, Linear.of(first) + r), code.total(part))
            for r, part in enumerate(sums)
        ]

    def _corner(self, first: Value, right: list[Value]) -> None:
        """Solve a small system, and store the unknowns."""
        code, count = self.code, len(right)
        order = range(count) if self.op.forward else reversed(range(count))
        known: dict[int, Value] = {}
        for r in order:
            here = Linear.of(first) + r
            x = right[r]
            for s, value in known.items():
                part = code.multiply(self._coefficient(here, Linear.of(first) + s), value)
                x = code.subtract(x, part)
            if not self.op.unit:
                x = code.divide(x, self._coefficient(here, here))
            known[r] = x
            code.store(x, self.x, 0, here)

    def _subtract(self, first: Value, count: int, lower: Subscript, upper: Subscript) -> None:
        """Take what some unknowns have part in from other rows."""
        code, b = self.code, self.code.b
        known = [code.wide(code.load(self.x, 0, Linear.of(first) + r)) for r in range(count)]

        def rows(i: Value, mask: Value) -> None:
            total = code.zero()
            for r, x in enumerate(known):
                part = code.vector(self.matrix, Linear.of(first) + r, i, mask)
                total = b.fma(part, x, total)
            code.put(code.subtract(code.vector(self.x, 0, i, mask), total), self.x, 0, i, mask)

        code.each_vector(lower, upper, rows)


class Substitution:
    """Solves lower triangular systems in place, in memory of its own."""

    def __init__(self, tiles: Tiles, unit: bool) -> None:
        b, block, dtype = tiles.code.b, tiles.block, tiles.code.dtype
        self.tiles = tiles
        self.code = tiles.code
        self.unit = unit
        self.corner = Matrix(b.alloca((block * block,), dtype), Linear(), block)
        self.inverse = None if unit else Matrix(b.alloca((block,), dtype), Linear(), block)
        self.panels = tiles.panels()
        self.strips = tiles.strips() if tiles.extent > block else None

    def run(self, coefficients: Matrix, x: Matrix) -> None:
        """Solve for all columns of `x`."""
        tiles = self.tiles

        def block(first: Value, rows: Subscript) -> None:
            self._pack_corner(coefficients.part(first, first), rows)
            here = x.part(first, 0)

            def solve(number: Value, column: Linear) -> None:
                panel = tiles.panel(self.panels, number)
                target = here.part(0, column)
                tiles.solve(target, panel, self.corner, self.inverse, rows, column)

            tiles.each_panel(0, solve)
            if self.strips is not None:
                begin = Linear.of(first) + rows
                self._rest(coefficients.part(begin, first), x.part(begin, 0), self.strips, begin)

        tiles.each_block(block)

    def _pack_corner(self, coefficients: Matrix, rows: Subscript) -> None:
        """A block on the diagonal, column by column, and its reciprocals."""
        code, b = self.code, self.code.b

        def column(k: Value) -> None:
            def element(i: Value) -> None:
                code.store(code.load(coefficients, i, k), self.corner, k, i)

            b.each(b.index(Linear.of(k) + 1), rows, 1, element)
            if self.inverse is not None:
                reciprocal = code.divide(code.number(1.0), code.load(coefficients, k, k))
                code.store(reciprocal, self.inverse, 0, k)

        b.each(0, rows, 1, column)

    def _rest(self, coefficients: Matrix, x: Matrix, memory: Value, begin: Linear) -> None:
        """Subtract what a solved block contributes to the rows after it."""
        tiles, code = self.tiles, self.code
        left = code.b.index(begin * -1 + tiles.extent)

        def pack(i: Value, height: int) -> None:
            strip = tiles.strip(memory, i)

            def column(k: Value) -> None:
                for r in range(height):
                    value = code.load(coefficients, Linear.of(i) + r, k)
                    code.store(value, strip, k, r)

            code.b.each(0, tiles.block, 1, column)

        def update(number: Value, column: Linear) -> None:
            panel = tiles.panel(self.panels, number)

            def tile(i: Value, height: int) -> None:
                strip = tiles.strip(memory, i)
                tiles.update(x.part(i, column), strip, panel, height, column)

            tiles.each_tile(left, tile)

        tiles.each_tile(left, pack)
        tiles.each_panel(0, update)
