"""Many small matrices at once, one in each lane: vectors are computed with as numbers are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from dmc.dialects import arith, linalg
from dmc.dialects.arith import Direction
from dmc.dialects.math import sqrt
from dmc.ir.operation import Operation, Value
from dmc.ir.types import DType
from dmc.lowering.loop_builder import Linear, LoopBuilder, Subscript, register_type
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.emit import Emit
from dmc.lowering.schedules.linalg.matrix import Code, Group, Matrix, code_for, each_group
from dmc.lowering.schedules.movement import memref_type

LARGEST = 16
"""Rows of the largest matrices for which this is done: as many as lanes fit the first cache."""

TOGETHER = 4
"""Elements of a row that are computed at once, lest each wait for the one before."""


def or_interleaved(small: Emit, large: Emit) -> Emit:
    """`small` for many small matrices, else `large`."""

    def emit(
        b: LoopBuilder,
        machine: Machine,
        op: Operation,
        buffers: list[Value],
        captured: Mapping[Value, Value],
        parallel: bool,
    ) -> None:
        *lead, rows, columns = memref_type(buffers[0]).shape
        many = math.prod(lead) >= code_for(b, machine, buffers[0]).lanes > 1
        chosen = small if many and max(rows, columns) <= LARGEST else large
        chosen(b, machine, op, buffers, captured, parallel)

    return emit


@dataclass(frozen=True)
class Lanes:
    """Matrices of `rows` and `columns`, one in each lane; element (i, j) is a vector."""

    code: Code
    matrix: Matrix
    rows: int
    columns: int

    @staticmethod
    def reserved(code: Code, rows: int, columns: int) -> Lanes:
        """In memory of their own."""
        memory = code.b.alloca((rows * columns * code.lanes,), code.dtype)
        matrix = Matrix(memory, Linear(), columns * code.lanes, code.lanes)
        return Lanes(code, matrix, rows, columns)

    @property
    def _size(self) -> int:
        return self.rows * self.columns

    @property
    def _elements(self) -> Matrix:
        """The elements of all lanes, a row for each."""
        return Matrix(self.matrix.buffer, Linear(), self.code.lanes)

    def read(self, buffer: Value, first: Subscript, count: Subscript) -> None:
        """Take `count` matrices from a buffer; lanes beyond are zero."""
        source = Matrix(self.code.b.flat(buffer), Linear.of(first) * self._size, self._size)
        self.code.turn(source, self._elements, count, self._size, whole=True)

    def write(self, buffer: Value, first: Subscript, count: Subscript) -> None:
        """Put `count` matrices into a buffer."""
        target = Matrix(self.code.b.flat(buffer), Linear.of(first) * self._size, self._size)
        self.code.turn(self._elements, target, self._size, count)

    def __getitem__(self, place: tuple[Subscript, Subscript]) -> Value:
        return self.code.vector(self.matrix, *place)

    def __setitem__(self, place: tuple[Subscript, Subscript], value: Value) -> None:
        self.code.put(value, self.matrix, *place)

    def set(self, i: Subscript, j: Subscript, value: Value) -> None:
        """Store an element."""
        self[i, j] = value

    @property
    def transposed(self) -> Lanes:
        """The transposes, in the same memory."""
        return replace(self, matrix=self.matrix.transposed, rows=self.columns, columns=self.rows)

    def wide(self, value: float) -> Value:
        """A number in every lane."""
        return self.code.b.constant(value, register_type(self.code.dtype, self.code.lanes))

    def each(self, body: Callable[[Value, Value], None]) -> None:
        """The subscripts of all elements."""
        b = self.code.b
        b.each(0, self.rows, 1, lambda i: b.each(0, self.columns, 1, lambda j: body(i, j)))

    def set_identity(self) -> None:
        """Ones on the diagonal, zeros elsewhere."""
        self.each(lambda i, j: self.set(i, j, self.wide(0.0)))
        steps = min(self.rows, self.columns)
        self.code.b.each(0, steps, 1, lambda i: self.set(i, i, self.wide(1.0)))

    def scale(self, upper: bool) -> tuple[Value, Value]:
        """Divide by the largest element: gives it, and where all were finite.

        If `upper`, the lower triangle is not looked at.
        """
        code, b = self.code, self.code.b
        zero, one = self.wide(0.0), self.wide(1.0)

        def over(step: Callable[[Value, Value, Value], Value]) -> Value:
            def row(i: Value, out: list[Value]) -> list[Value]:
                begin = i if upper else 0
                return b.for_(begin, self.columns, lambda j, x: [step(i, j, x[0])], out)

            return b.for_(0, self.rows, row, [zero])[0]

        def larger(i: Value, j: Value, best: Value) -> Value:
            size = code.magnitude(self[i, j])
            return code.select(code.compare(size, Direction.GT, best), size, best)

        size = over(larger)
        size = code.select(code.compare(size, Direction.EQ, zero), one, size)

        def divide(i: Value, j: Value, total: Value) -> Value:
            x = code.divide(self[i, j], size)
            self[i, j] = x
            return code.add(total, x)

        total = over(divide)
        return size, code.compare(total, Direction.EQ, total)

    def spoil(self, where: Value) -> None:
        """NaN in some lanes."""
        nan = self.wide(math.nan)
        self.each(lambda i, j: self.set(i, j, self.code.select(where, nan, self[i, j])))


def emit_cholesky(
    b: LoopBuilder,
    machine: Machine,
    op: Operation,
    buffers: list[Value],
    captured: Mapping[Value, Value],
    parallel: bool,
) -> None:
    """Row by row, each from those above it."""
    assert isinstance(op, linalg.Cholesky)
    source, target = buffers
    size = op.rows

    def prepare() -> Group:
        code = code_for(b, machine, source)
        a = Lanes.reserved(code, size, size)
        zero, one, nan = (a.wide(x) for x in (0.0, 1.0, math.nan))

        def row(i: Value) -> None:
            def elements(j: Value, count: int) -> None:
                columns = [Linear.of(j) + c for c in range(count)]

                def step(k: Value, sums: list[Value]) -> list[Value]:
                    factor = a[k, i]
                    pairs = zip(columns, sums, strict=True)
                    return [b.fma(factor, a[k, c], total) for c, total in pairs]

                sums = b.for_(0, i, step, [zero] * count)
                for c, total in zip(columns, sums, strict=True):
                    a[i, c] = code.subtract(a[i, c], total)

            code.each_some(i, size, TOGETHER, elements)
            pivot = a[i, i]
            positive = code.compare(pivot, Direction.GT, zero)
            root = sqrt(b.builder, code.select(positive, pivot, nan))
            inverse = code.divide(one, root)

            def scale(j: Value) -> None:
                a[i, j] = code.multiply(a[i, j], inverse)

            b.each(i, size, 1, scale)
            a[i, i] = root

            def clear(j: Value) -> None:
                a[i, j] = zero

            b.each(0, i, 1, clear)

        def run(first: Linear, count: Subscript) -> None:
            a.read(source, first, count)
            b.each(0, size, 1, row)
            a.write(target, first, count)

        return run

    each_group(b, machine, source, op.work(), parallel, prepare)


def emit_triangular_solve(
    b: LoopBuilder,
    machine: Machine,
    op: Operation,
    buffers: list[Value],
    captured: Mapping[Value, Value],
    parallel: bool,
) -> None:
    """Row by row, each from those that are solved."""
    assert isinstance(op, linalg.TriangularSolve)
    matrix, right, target = buffers
    *_, size, columns = memref_type(right).shape

    def prepare() -> Group:
        code = code_for(b, machine, right)
        given, x = Lanes.reserved(code, size, size), Lanes.reserved(code, size, columns)
        a, turned = given.matrix.transposed if op.transposed else given.matrix, x.matrix
        if not op.forward:
            a, turned = a.turned(size), turned.reversed(size)
        a, unknown = replace(given, matrix=a), replace(x, matrix=turned)

        def row(i: Value) -> None:
            inverse = None if op.unit else code.divide(x.wide(1.0), a[i, i])

            def elements(j: Value, count: int) -> None:
                places = [Linear.of(j) + c for c in range(count)]

                def step(k: Value, sums: list[Value]) -> list[Value]:
                    factor = a[i, k]
                    pairs = zip(places, sums, strict=True)
                    return [b.fma(factor, unknown[k, c], total) for c, total in pairs]

                sums = b.for_(0, i, step, [code.zero()] * count)
                for c, total in zip(places, sums, strict=True):
                    value = code.subtract(unknown[i, c], total)
                    unknown[i, c] = value if inverse is None else code.multiply(value, inverse)

            code.each_some(0, columns, TOGETHER, elements)

        def run(first: Linear, count: Subscript) -> None:
            given.read(matrix, first, count)
            x.read(right, first, count)
            b.each(0, size, 1, row)
            x.write(target, first, count)

        return run

    each_group(b, machine, right, size * size * columns, parallel, prepare)


def emit_lu(
    b: LoopBuilder,
    machine: Machine,
    op: Operation,
    buffers: list[Value],
    captured: Mapping[Value, Value],
    parallel: bool,
) -> None:
    """Column by column; each lane has a pivot of its own."""
    assert isinstance(op, linalg.LU)
    source, target, permutation, inverse = buffers
    size = op.rows

    def prepare() -> Group:
        elimination = _Elimination(Lanes.reserved(code_for(b, machine, source), size, size))

        def run(first: Linear, count: Subscript) -> None:
            elimination.lanes.read(source, first, count)
            elimination.run()
            elimination.lanes.write(target, first, count)
            elimination.write_order(permutation, inverse, first, count)

        return run

    each_group(b, machine, source, op.work(), parallel, prepare)


class _Elimination:
    """Factors the matrices of all lanes."""

    def __init__(self, lanes: Lanes) -> None:
        code = lanes.code
        self.lanes = lanes
        self.code = code
        self.b = code.b
        places = self.b.alloca((lanes.rows * code.lanes,), DType.I64)
        self.order = Matrix(places, Linear(), code.lanes)

    def run(self) -> None:
        """Leave both factors in the lanes, and the order of their rows."""
        b, code = self.b, self.code

        def number(i: Value) -> None:
            code.put(b.broadcast(i, code.lanes), self.order, i, 0)

        b.each(0, self.lanes.rows, 1, number)
        b.each(0, self.lanes.rows, 1, self._column)

    def _column(self, k: Value) -> None:
        b, code, a = self.b, self.code, self.lanes
        size = a.rows
        zero, one = a.wide(0.0), a.wide(1.0)
        self._exchange(k, self._pivot(k))
        value = a[k, k]
        divisor = code.select(code.compare(value, Direction.EQ, zero), one, value)

        def row(i: Value) -> None:
            factor = code.divide(a[i, k], divisor)
            a[i, k] = factor
            minus = code.negative(factor)

            def elements(j: Value, count: int) -> None:
                for c in range(count):
                    column = Linear.of(j) + c
                    a[i, column] = b.fma(minus, a[k, column], a[i, column])

            code.each_some(b.index(Linear.of(k) + 1), size, TOGETHER, elements)

        b.each(b.index(Linear.of(k) + 1), size, 1, row)

    def _pivot(self, k: Value) -> Value:
        """The first of the largest elements of a column, in each lane."""
        b, code, a = self.b, self.code, self.lanes

        def step(i: Value, best: list[Value]) -> list[Value]:
            size = code.magnitude(a[i, k])
            larger = code.compare(size, Direction.GT, best[0])
            place = b.broadcast(i, code.lanes)
            return [code.select(larger, size, best[0]), code.select(larger, place, best[1])]

        start = [a.wide(-1.0), b.broadcast(k, code.lanes)]
        return b.for_(k, a.rows, step, start)[1]

    def _exchange(self, k: Value, pivot: Value) -> None:
        """Exchange row `k` of each lane for the one of its pivot."""
        b, code, a = self.b, self.code, self.lanes

        def exchange(matrix: Matrix, i: Value, column: Subscript, here: Value) -> None:
            x, y = (code.vector(matrix, row, column) for row in (k, i))
            code.put(code.select(here, y, x), matrix, k, column)
            code.put(code.select(here, x, y), matrix, i, column)

        def row(i: Value) -> None:
            here = code.compare(pivot, Direction.EQ, b.broadcast(i, code.lanes))

            def rows() -> list[Value]:
                b.each(0, a.columns, 1, lambda j: exchange(a.matrix, i, j, here))
                exchange(self.order, i, 0, here)
                return []

            b.if_(code.any(here), rows)

        b.each(b.index(Linear.of(k) + 1), a.rows, 1, row)

    def write_order(
        self, permutation: Value, inverse: Value, first: Linear, count: Subscript
    ) -> None:
        """The order of the rows of each matrix, and its inverse."""
        b, size = self.b, self.lanes.rows

        def matrix(lane: Value) -> None:
            here = (first + Linear.of(lane)) * size
            out, back = (Matrix(b.flat(x), here, size) for x in (permutation, inverse))

            def row(i: Value) -> None:
                place = b.load(self.order.buffer, self.order.at(i, lane))
                b.store(arith.convert(b.builder, place, DType.I32), out.buffer, out.at(0, i))
                number = arith.convert(b.builder, i, DType.I32)
                b.store(number, back.buffer, back.at(0, place))

            b.each(0, size, 1, row)

        b.each(0, count, 1, matrix)
