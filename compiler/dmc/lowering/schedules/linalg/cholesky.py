"""`linalg.cholesky`, by blocks of rows of the upper factor."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dmc.dialects import linalg
from dmc.dialects.arith import Direction
from dmc.dialects.math import sqrt
from dmc.ir.operation import Operation, Value
from dmc.ir.types import dtype_of
from dmc.lowering.loop_builder import Linear, LoopBuilder, Subscript
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.linalg.matrix import Matrix, Run, each_matrix, matrix_in
from dmc.lowering.schedules.linalg.tiles import Tiles


def emit_cholesky(
    b: LoopBuilder,
    machine: Machine,
    op: Operation,
    buffers: list[Value],
    captured: Mapping[Value, Value],
    parallel: bool,
) -> None:
    """Right-looking: a block on the diagonal, the rows beside it, what is below both."""
    assert isinstance(op, linalg.Cholesky)
    source, target = buffers

    def prepare(parallel: bool) -> Run:
        tiles = Tiles.of(b, machine, dtype_of(source.type), op.rows, op.rows, parallel)
        factor = _Factor(tiles)
        return lambda m: factor.run(matrix_in(b, source, m), matrix_in(b, target, m))

    each_matrix(b, source, op.work(), parallel, prepare)


class _Factor:
    """Factors matrices, one after the other, in memory of its own."""

    def __init__(self, tiles: Tiles) -> None:
        b, block, dtype = tiles.code.b, tiles.block, tiles.code.dtype
        self.tiles = tiles
        self.code = tiles.code
        # Vectors of a row of a block may run over its end.
        self.pitch = -(-block // tiles.code.lanes) * tiles.code.lanes
        self.corner = Matrix(b.alloca((block * self.pitch,), dtype), Linear(), self.pitch)
        self.inverse = Matrix(b.alloca((block,), dtype), Linear(), block)
        self.panels = tiles.panels() if tiles.extent > block else None

    def run(self, source: Matrix, target: Matrix) -> None:
        tiles, code = self.tiles, self.code
        code.copy(source, target, tiles.extent, tiles.extent)

        def block(first: Value, rows: Subscript) -> None:
            corner = target.part(first, first)
            code.copy(corner, self.corner, rows, rows)
            self._factor_corner(rows)
            code.copy(self.corner, corner, rows, rows)
            if self.panels is not None:
                self._rest(target, self.panels, first, rows)

        tiles.each_block(block)

        def clear(i: Value) -> None:
            code.each_vector(0, i, lambda j, mask: code.put(code.zero(), target, i, j, mask))

        code.b.each(0, tiles.extent, 1, clear)

    def _rest(self, target: Matrix, memory: Value, first: Value, rows: Subscript) -> None:
        """The rows beside a block on the diagonal, and what they change below it."""
        tiles = self.tiles
        begin = Linear.of(first) + rows
        left = begin * -1 + tiles.extent
        beside, below = target.part(first, 0), target.part(begin, 0)

        def solve(number: Value, column: Linear) -> None:
            panel = tiles.panel(memory, number)
            tiles.solve(beside.part(0, column), panel, self.corner, self.inverse, rows, column)

        def update(number: Value, column: Linear) -> None:
            panel = tiles.panel(memory, number)
            past = self.code.minimum(Linear.of(number) * tiles.width + tiles.width, left)

            def tile(i: Value, height: int) -> None:
                of_rows = self.code.divided(i, tiles.width)
                local = Linear.of(i) + Linear.of(of_rows) * -tiles.width
                part = tiles.panel(memory, of_rows).part(0, local)
                tiles.update(below.part(i, column), part, panel, height, column)

            tiles.each_tile(past, tile)

        tiles.each_panel(begin, solve)
        tiles.each_panel(begin, update)

    def _factor_corner(self, rows: Subscript) -> None:
        """Factor a block row by row, each from those above it; what is left of it is not used."""
        code, b, corner = self.code, self.code.b, self.corner
        nan, zero, one = (code.number(x) for x in (math.nan, 0.0, 1.0))

        def row(start: Value, i: Value) -> None:
            def rest(j: Value) -> None:
                def step(k: Value, sums: list[Value]) -> list[Value]:
                    factor = code.wide(code.load(corner, k, i))
                    return [b.fma(factor, code.vector(corner, k, j), sums[0])]

                (sums,) = b.for_(0, i, step, [code.zero()], name="k")
                code.put(code.subtract(code.vector(corner, i, j), sums), corner, i, j)

            b.each(start, rows, code.lanes, rest)
            pivot = code.load(corner, i, i)
            positive = code.compare(pivot, Direction.GT, zero)
            root = sqrt(b.builder, code.select(positive, pivot, nan))
            wide = code.wide(root)

            def scale(j: Value) -> None:
                code.put(code.divide(code.vector(corner, i, j), wide), corner, i, j)

            b.each(start, rows, code.lanes, scale)
            code.store(root, corner, i, i)
            code.store(code.divide(one, root), self.inverse, 0, i)

        def group(start: Value) -> None:
            past = code.minimum(Linear.of(start) + code.lanes, rows)
            b.each(start, past, 1, lambda i: row(start, i))

        b.each(0, rows, code.lanes, group)
