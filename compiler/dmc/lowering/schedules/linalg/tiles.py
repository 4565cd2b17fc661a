"""The blocked part of factorizations: block rows solved, and what follows updated, tile by tile.

As in a product of matrices (see `contraction`), a register tile of the result is fed by panels: a
block of rows that has been solved is kept in panels of a tile's width, the left operand in panels
of its height. See Goto and van de Geijn, "High-performance implementation of the level-3 BLAS"
(2008).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dmc.ir.operation import Value
from dmc.ir.types import DType
from dmc.lowering.loop_builder import Linear, LoopBuilder, Subscript
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.linalg.matrix import Code, Matrix

BLOCK = 64
"""Rows that are solved before what follows is updated."""

VECTORS = 2
"""A tile's width."""

MOST_PARTS = 16
"""Tasks that share the panels of a block."""


@dataclass(frozen=True)
class Tiles:
    """Tiles of `height` rows and `width` columns of matrices of `columns`.

    `extent` is the size of the triangular matrix: where a block begins, so many rows are left that
    they are whole tiles and, perhaps, `extent % height` rows more.
    """

    code: Code
    height: int
    extent: int
    columns: int
    parallel: bool

    @staticmethod
    def of(
        b: LoopBuilder,
        machine: Machine,
        dtype: DType,
        extent: int,
        columns: int,
        parallel: bool = False,
    ) -> Tiles:
        code = Code(b, dtype, machine.lanes(dtype))
        return Tiles(code, height_of(machine), extent, columns, parallel)

    @property
    def width(self) -> int:
        return VECTORS * self.code.lanes

    @property
    def block(self) -> int:
        """The rows of a block."""
        return min(BLOCK, -(-self.extent // self.height) * self.height)

    def panels(self) -> Value:
        """Memory for a block of rows of all columns, in panels of the width of a tile."""
        count = -(-self.columns // self.width)
        return self.code.b.alloca((count * self.block * self.width,), self.code.dtype)

    def strips(self) -> Value:
        """Memory for a block of columns of all rows, in strips of the height of a tile."""
        count = -(-self.extent // self.height)
        return self.code.b.alloca((count * self.block * self.height,), self.code.dtype)

    def each_block(self, body: Callable[[Value, Subscript], None]) -> None:
        """Blocks of rows: `body` gets the first row and their number."""
        block, extent = self.block, self.extent

        def step(first: Value) -> None:
            rows: Subscript = block
            if extent % block:
                rows = self.code.minimum(Linear.of(first) * -1 + extent, block)
            body(first, rows)

        self.code.b.each(0, extent, block, step)

    def each_tile(self, rows: Subscript, body: Callable[[Value, int], None]) -> None:
        """Tiles of so many rows: `body` gets the first row and their number."""
        b, height = self.code.b, self.height
        rest = self.extent % height
        end = rows
        if rest:
            end = rows - rows % height if isinstance(rows, int) else self.code.down_to(rows, height)
        b.each(0, end, height, lambda i: body(i, height))
        if rest:
            b.each(end, rows, height, lambda i: body(i, rest))

    def each_panel(self, first: Subscript, body: Callable[[Value, Linear], None]) -> None:
        """Panels of columns from `first` on: `body` gets the number and the first column.

        They are dealt out to tasks in turn.
        """
        b, width = self.code.b, self.width
        count = -(-self.columns // width)
        left = Linear.of(first) * -1 + (self.columns + width - 1)
        past: Subscript = count
        if not isinstance(first, int):
            past = self.code.divided(left, width)

        def panel(p: Value) -> None:
            body(p, Linear.of(first) + Linear.of(p) * width)

        parts = min(MOST_PARTS, count // 4)
        if not self.parallel or parts < 2:
            b.each(0, past, 1, panel)
        else:
            b.parallel(parts, lambda task: b.each(task, past, parts, panel))

    def masks(self, column: Subscript) -> list[Value | None]:
        """Which lanes of the vectors of a tile are columns of the matrix."""
        if self.columns % self.width == 0:
            return [None] * VECTORS
        left = Linear.of(column) * -1 + self.columns
        b, lanes = self.code.b, self.code.lanes
        return [b.tail_mask(left + v * -lanes, lanes) for v in range(VECTORS)]

    def panel(self, memory: Value, number: Subscript) -> Matrix:
        """Rows of a panel."""
        return Matrix(memory, Linear.of(number) * (self.block * self.width), self.width)

    def strip(self, memory: Value, first: Subscript) -> Matrix:
        """The strip of the tile that begins with a row; its rows are the columns of the operand."""
        return Matrix(memory, Linear.of(first) * self.block, self.height)

    def update(
        self, target: Matrix, left: Matrix, right: Matrix, rows: int, column: Linear
    ) -> None:
        """Subtract a product from a tile whose first column is `column` of the whole."""
        code, masks = self.code, self.masks(column)
        sums = products(code, left, right, rows, self.block)
        for r in range(rows):
            for v, mask in enumerate(masks):
                place = v * code.lanes
                old = code.vector(target, r, place, mask)
                code.put(code.subtract(old, sums[r][v]), target, r, place, mask)

    def solve(
        self,
        target: Matrix,
        panel: Matrix,
        triangle: Matrix,
        inverse: Matrix | None,
        rows: Subscript,
        column: Linear,
    ) -> None:
        """Solve for a panel of a block of rows, in place and into `panel`.

        `triangle[k, i]` is the coefficient of unknown k in row i; `inverse` has the reciprocals of
        the diagonal, which is ones without.
        """
        code, masks = self.code, self.masks(column)

        def tile(i: Value, height: int) -> None:
            sums = products(code, triangle.part(0, i), panel, height, i)
            solved: list[list[Value]] = []
            for r in range(height):
                here = Linear.of(i) + r
                scale = None if inverse is None else code.wide(code.load(inverse, 0, here))
                row: list[Value] = []
                for v, mask in enumerate(masks):
                    place = v * code.lanes
                    x = code.subtract(code.vector(target, here, place, mask), sums[r][v])
                    for s in range(r):
                        factor = code.load(triangle, Linear.of(i) + s, here)
                        moved = code.multiply(code.wide(factor), solved[s][v])
                        x = code.subtract(x, moved)
                    x = x if scale is None else code.multiply(x, scale)
                    code.put(x, target, here, place, mask)
                    code.put(x, panel, here, place)
                    row.append(x)
                solved.append(row)

        self.each_tile(rows, tile)


def height_of(machine: Machine) -> int:
    """The rows of a tile, for which there are registers."""
    return 8 if machine.vector_registers >= 32 else 4


def products(
    code: Code,
    left: Matrix,
    right: Matrix,
    rows: int,
    count: Subscript,
    sums: list[list[Value]] | None = None,
) -> list[list[Value]]:
    """The sums over `k < count` of `left[k, r] * right[k, :]`, for each row of a tile."""
    b = code.b

    def step(k: Value, sums: list[Value]) -> list[Value]:
        vectors = [code.vector(right, k, v * code.lanes) for v in range(VECTORS)]
        out: list[Value] = []
        for r in range(rows):
            factor = code.wide(code.load(left, k, r))
            row = sums[r * VECTORS : (r + 1) * VECTORS]
            out += [b.fma(factor, *pair) for pair in zip(vectors, row, strict=True)]
        return out

    inits = [code.zero()] * (rows * VECTORS) if sums is None else [x for row in sums for x in row]
    out = b.for_(0, count, step, inits, name="k")
    return [out[r * VECTORS : (r + 1) * VECTORS] for r in range(rows)]
