"""`linalg.lu`, by blocks of columns."""

from __future__ import annotations

from collections.abc import Mapping

from dmc.dialects import arith, linalg
from dmc.dialects.arith import Direction
from dmc.ir.operation import Operation, Value
from dmc.ir.types import DType, dtype_of
from dmc.lowering.loop_builder import Linear, LoopBuilder, Subscript
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.linalg.matrix import Matrix, Run, each_matrix, matrix_in
from dmc.lowering.schedules.linalg.tiles import Tiles

TOGETHER = 4
"""Columns whose products are subtracted from another at once."""


def emit_lu(
    b: LoopBuilder,
    machine: Machine,
    op: Operation,
    buffers: list[Value],
    captured: Mapping[Value, Value],
    parallel: bool,
) -> None:
    """Right-looking: a block of columns is factored, then what is beside and below follows."""
    assert isinstance(op, linalg.LU)
    source, target, permutation, inverse = buffers
    count = op.rows

    def prepare(parallel: bool) -> Run:
        tiles = Tiles.of(b, machine, dtype_of(source.type), count, count, parallel)
        elimination = _Elimination(tiles)

        def run(m: Linear) -> None:
            order, back = (
                Matrix(b.flat(buffer), m * count, count) for buffer in (permutation, inverse)
            )
            elimination.run(matrix_in(b, source, m), matrix_in(b, target, m), order)

            def invert(i: Value) -> None:
                place = arith.convert(b.builder, elimination.code.load(order, 0, i), DType.I64)
                number = arith.convert(b.builder, i, DType.I32)
                elimination.code.store(number, back, 0, place)

            b.each(0, count, 1, invert)

        return run

    each_matrix(b, source, op.work(), parallel, prepare)


class _Elimination:
    """Factors matrices, one after the other, in memory of its own."""

    def __init__(self, tiles: Tiles) -> None:
        b, block, dtype = tiles.code.b, tiles.block, tiles.code.dtype
        self.tiles = tiles
        self.code = tiles.code
        # Neighbouring columns begin in other sets of the cache.
        pitch = tiles.extent + tiles.code.lanes
        # A block of columns, as rows.
        self.columns = Matrix(b.alloca((block * pitch,), dtype), Linear(), pitch)
        self.panels = tiles.panels() if tiles.extent > block else None
        self.strips = tiles.strips() if tiles.extent > block else None

    def run(self, source: Matrix, target: Matrix, order: Matrix) -> None:
        code, extent = self.code, self.tiles.extent
        b = code.b
        code.copy(source, target, extent, extent)
        b.each(
            0,
            extent,
            1,
            lambda i: code.store(arith.convert(b.builder, i, DType.I32), order, 0, i),
        )

        def block(first: Value, rows: Subscript) -> None:
            left = b.index(Linear.of(first) * -1 + extent)
            below = target.part(first, first)
            code.turn(below, self.columns, left, rows)
            b.each(0, rows, 1, lambda c: self._column(target, order, first, rows, left, c))
            code.turn(self.columns, below, rows, left)
            if self.panels is not None and self.strips is not None:
                self._rest(target, self.panels, self.strips, first, rows)

        self.tiles.each_block(block)

    def _column(
        self,
        target: Matrix,
        order: Matrix,
        first: Value,
        rows: Subscript,
        left: Value,
        c: Value,
    ) -> None:
        """Bring a column of a block up to date, and choose its pivot."""
        code, b = self.code, self.code.b
        whole = code.down_to(c, TOGETHER)
        b.each(0, whole, TOGETHER, lambda k: self._subtract(c, k, TOGETHER, left))
        b.each(whole, c, 1, lambda k: self._subtract(c, k, 1, left))
        pivot = code.place_of_largest(self.columns.part(c, 0), c, left)
        same = code.compare(pivot, Direction.EQ, c)

        def exchange() -> list[Value]:
            def in_block(k: Value) -> None:
                x, y = (code.load(self.columns, k, i) for i in (c, pivot))
                code.store(y, self.columns, k, c)
                code.store(x, self.columns, k, pivot)

            b.each(0, rows, 1, in_block)
            mine, other = (Linear.of(first) + i for i in (c, pivot))

            def in_rows(j: Value, mask: Value) -> None:
                x, y = (code.vector(target, i, j, mask) for i in (mine, other))
                code.put(y, target, mine, j, mask)
                code.put(x, target, other, j, mask)

            code.each_vector(0, self.tiles.extent, in_rows)
            x, y = (code.load(order, 0, i) for i in (mine, other))
            code.store(y, order, 0, mine)
            code.store(x, order, 0, other)
            return []

        b.if_(same, lambda: [], exchange)
        value = code.load(self.columns, c, c)
        divisor = code.select(
            code.compare(value, Direction.EQ, code.number(0.0)), code.number(1.0), value
        )
        wide = code.wide(divisor)

        def scale(i: Value, mask: Value) -> None:
            x = code.vector(self.columns, c, i, mask)
            code.put(code.divide(x, wide), self.columns, c, i, mask)

        code.each_vector(b.index(Linear.of(c) + 1), left, scale)

    def _subtract(self, c: Value, k: Value, count: int, left: Value) -> None:
        """Subtract from column `c` what `count` columns from `k` on have part in."""
        code, columns = self.code, self.columns
        factors: list[Value] = []
        for s in range(count):
            here = Linear.of(k) + s
            x = code.load(columns, c, here)
            for r, factor in enumerate(factors):
                part = code.multiply(factor, code.load(columns, Linear.of(k) + r, here))
                x = code.subtract(x, part)
            if s:
                code.store(x, columns, c, here)
            factors.append(x)
        wide = [code.wide(x) for x in factors]

        def rows(i: Value, mask: Value) -> None:
            total = code.zero()
            for r, factor in enumerate(wide):
                part = code.vector(columns, Linear.of(k) + r, i, mask)
                total = code.b.fma(factor, part, total)
            old = code.vector(columns, c, i, mask)
            code.put(code.subtract(old, total), columns, c, i, mask)

        code.each_vector(code.b.index(Linear.of(k) + count), left, rows)

    def _rest(
        self, target: Matrix, panels: Value, strips: Value, first: Value, rows: Subscript
    ) -> None:
        """The rows beside a block of columns, and what they change below it."""
        tiles, code = self.tiles, self.code
        begin = Linear.of(first) + rows
        left = code.b.index(begin * -1 + tiles.extent)
        beside, below = target.part(first, 0), target.part(begin, 0)

        def pack(i: Value, height: int) -> None:
            strip = tiles.strip(strips, i)

            def column(k: Value) -> None:
                for r in range(height):
                    value = code.load(self.columns, k, Linear.of(i) + rows + r)
                    code.store(value, strip, k, r)

            code.b.each(0, tiles.block, 1, column)

        def solve(number: Value, column: Linear) -> None:
            panel = tiles.panel(panels, number)
            tiles.solve(beside.part(0, column), panel, self.columns, None, rows, column)

        def update(number: Value, column: Linear) -> None:
            panel = tiles.panel(panels, number)

            def tile(i: Value, height: int) -> None:
                strip = tiles.strip(strips, i)
                tiles.update(below.part(i, column), strip, panel, height, column)

            tiles.each_tile(left, tile)

        tiles.each_tile(left, pack)
        tiles.each_panel(begin, solve)
        tiles.each_panel(begin, update)
