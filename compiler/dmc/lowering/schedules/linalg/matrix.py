"""Matrices in memory, and code that runs over many of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dmc.dialects import arith
from dmc.dialects.arith import Direction
from dmc.dialects.loop import INDEX
from dmc.ir.operation import Value
from dmc.ir.types import DType, dtype_of
from dmc.lowering.loop_builder import Linear, LoopBuilder, Subscript, register_type
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.movement import memref_type
from dmc.lowering.schedules.plan import MOST_TASKS, Split


@dataclass(frozen=True)
class Matrix:
    """Element (i, j) is at `origin + i * down + j * across` of a flat buffer."""

    buffer: Value
    origin: Linear
    down: int
    across: int = 1

    def at(self, i: Subscript, j: Subscript) -> list[Subscript]:
        return [self.origin + Linear.of(i) * self.down + Linear.of(j) * self.across]

    def part(self, i: Subscript, j: Subscript) -> Matrix:
        """What begins at an element."""
        (origin,) = self.at(i, j)
        return replace(self, origin=Linear.of(origin))

    def row(self, i: Subscript) -> Matrix:
        """A row as a matrix of one."""
        return self.part(i, 0)

    @property
    def transposed(self) -> Matrix:
        return replace(self, down=self.across, across=self.down)

    def reversed(self, rows: int) -> Matrix:
        """Its rows from the last to the first."""
        origin = self.origin + (rows - 1) * self.down
        return replace(self, origin=origin, down=-self.down)

    def turned(self, size: int) -> Matrix:
        """Of a square matrix: rows and columns from the last to the first."""
        origin = self.origin + (size - 1) * (self.down + self.across)
        return Matrix(self.buffer, origin, -self.down, -self.across)


@dataclass(frozen=True)
class Code:
    """What writes vector code for elements of one type."""

    b: LoopBuilder
    dtype: DType
    lanes: int

    def zero(self, lanes: int | None = None) -> Value:
        return self.b.constant(0.0, register_type(self.dtype, lanes or self.lanes))

    def number(self, value: float) -> Value:
        return self.b.constant(value, register_type(self.dtype, 1))

    def load(self, matrix: Matrix, i: Subscript, j: Subscript) -> Value:
        return self.b.load(matrix.buffer, matrix.at(i, j))

    def store(self, value: Value, matrix: Matrix, i: Subscript, j: Subscript) -> None:
        self.b.store(value, matrix.buffer, matrix.at(i, j))

    def vector(
        self, matrix: Matrix, i: Subscript, j: Subscript, mask: Value | None = None
    ) -> Value:
        """Neighbours along a row."""
        return self.b.vector_load(matrix.buffer, matrix.at(i, j), self.lanes, mask=mask)

    def put(
        self, value: Value, matrix: Matrix, i: Subscript, j: Subscript, mask: Value | None = None
    ) -> None:
        self.b.vector_store(value, matrix.buffer, matrix.at(i, j), mask=mask)

    def wide(self, scalar: Value) -> Value:
        return self.b.broadcast(scalar, self.lanes)

    def add(self, x: Value, y: Value) -> Value:
        return arith.add(self.b.builder, x, y)

    def subtract(self, x: Value, y: Value) -> Value:
        return arith.subtract(self.b.builder, x, y)

    def multiply(self, x: Value, y: Value) -> Value:
        return arith.multiply(self.b.builder, x, y)

    def divide(self, x: Value, y: Value) -> Value:
        return arith.divide(self.b.builder, x, y)

    def compare(self, x: Value, direction: Direction, y: Value) -> Value:
        return arith.compare(self.b.builder, direction, x, y)

    def magnitude(self, x: Value) -> Value:
        return self.b.insert(arith.Abs([x])).result

    def negative(self, x: Value) -> Value:
        return arith.negate(self.b.builder, x)

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        return arith.select(self.b.builder, condition, x, y)

    def minimum(self, x: Subscript, y: Subscript) -> Value:
        return arith.minimum(self.b.builder, self.b.index(x), self.b.index(y))

    def maximum(self, x: Subscript, y: Subscript) -> Value:
        return arith.maximum(self.b.builder, self.b.index(x), self.b.index(y))

    def down_to(self, x: Subscript, step: int) -> Value:
        """The multiple of `step`, a power of two, at or below a number that is not negative."""
        mask = self.b.constant(-step, INDEX)
        return self.b.insert(arith.And([self.b.index(x), mask])).result

    def divided(self, x: Subscript, step: int) -> Value:
        """How often a number that is not negative has `step`, a power of two."""
        shift = self.b.constant(step.bit_length() - 1, INDEX)
        return self.b.insert(arith.ShiftRightLogical([self.b.index(x), shift])).result

    def dot(self, lower: Subscript, upper: Subscript, x: Vector, y: Vector) -> Value:
        """The sum of the products of two vectors' elements."""

        def step(k: Value, sums: list[Value]) -> list[Value]:
            mask = self.b.tail_mask(Linear.of(upper) + Linear.of(k) * -1, self.lanes)
            return [self.b.fma(x(k, mask), y(k, mask), sums[0])]

        (sums,) = self.b.for_(lower, upper, step, [self.zero()], step=self.lanes, name="k")
        return self.total(sums)

    def total(self, sums: Value) -> Value:
        """The sum of the lanes."""
        (out,) = self.b.fold_lanes(
            [sums], lambda x, y: [self.add(p, q) for p, q in zip(x, y, strict=True)]
        )
        return out

    def totals(self, sums: Sequence[Value]) -> Value:
        """The sums of the lanes of as many vectors as each has lanes, in one."""
        parts = self.b.transpose(sums)
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [self.add(*pair) for pair in zip(parts[:half], parts[half:], strict=True)]
        return parts[0]

    def largest(self, sizes: Value) -> Value:
        """The largest of the lanes."""

        def larger(x: Value, y: Value) -> Value:
            return self.select(self.compare(y, Direction.GT, x), y, x)

        (out,) = self.b.fold_lanes(
            [sizes], lambda x, y: [larger(p, q) for p, q in zip(x, y, strict=True)]
        )
        return out

    def place_of_largest(self, row: Matrix, lower: Subscript, upper: Subscript) -> Value:
        """The first subscript from `lower` on whose element's magnitude is the largest."""
        b = self.b
        none = b.constant(-1.0, register_type(self.dtype, self.lanes))
        start = b.broadcast(b.index(lower), self.lanes)
        lanes = b.iota(self.lanes)

        def step(j: Value, best: list[Value]) -> list[Value]:
            mask = b.tail_mask(Linear.of(upper) + Linear.of(j) * -1, self.lanes)
            size = self.select(mask, self.magnitude(self.vector(row, 0, j, mask)), none)
            place = self.add(b.broadcast(j, self.lanes), lanes)
            larger = self.compare(size, Direction.GT, best[0])
            return [self.select(larger, size, best[0]), self.select(larger, place, best[1])]

        best = b.for_(lower, upper, step, [none, start], step=self.lanes)

        def better(x: list[Value], y: list[Value]) -> list[Value]:
            larger = self.compare(y[0], Direction.GT, x[0])
            equal = self.compare(y[0], Direction.EQ, x[0])
            earlier = self.compare(y[1], Direction.LT, x[1])
            both = arith.logical_and(b.builder, equal, earlier)
            chosen = arith.logical_or(b.builder, larger, both)
            return [self.select(chosen, p, q) for p, q in zip(y, x, strict=True)]

        return b.fold_lanes(best, better)[1]

    def any(self, condition: Value) -> Value:
        """Whether a condition holds in some lane."""
        (out,) = self.b.fold_lanes(
            [condition],
            lambda x, y: [
                arith.logical_or(self.b.builder, p, q) for p, q in zip(x, y, strict=True)
            ],
        )
        return out

    def each_some(
        self,
        lower: Subscript,
        upper: Subscript,
        count: int,
        body: Callable[[Value, int], None],
    ) -> None:
        """Subscripts by groups of `count`, a power of two, and what is left one by one."""
        b = self.b
        if isinstance(lower, int) and isinstance(upper, int):
            whole: Subscript = lower + (upper - lower) // count * count
        else:
            size = self.down_to(Linear.of(upper) + Linear.of(lower) * -1, count)
            whole = b.index(Linear.of(lower) + size)
        b.each(lower, whole, count, lambda i: body(i, count))
        b.each(whole, upper, 1, lambda i: body(i, 1))

    def each_vector(
        self, lower: Subscript, upper: Subscript, body: Callable[[Value, Value], None]
    ) -> None:
        """Vectors from `lower` until `upper`: `body` gets the first subscript and a mask."""
        end = Linear.of(upper)

        def step(j: Value) -> None:
            body(j, self.b.tail_mask(end + Linear.of(j) * -1, self.lanes))

        self.b.each(lower, upper, self.lanes, step)

    def copy(self, source: Matrix, target: Matrix, rows: Subscript, columns: Subscript) -> None:
        """Rows of neighbours from one matrix to another."""

        def row(i: Value) -> None:
            self.each_vector(
                0,
                columns,
                lambda j, mask: self.put(self.vector(source, i, j, mask), target, i, j, mask),
            )

        self.b.each(0, rows, 1, row)

    def turn(
        self,
        source: Matrix,
        target: Matrix,
        rows: Subscript,
        columns: Subscript,
        whole: bool = False,
    ) -> None:
        """The transpose of a matrix, in square blocks that are turned in registers.

        If `whole`, the rows of the target are written in whole vectors, with zeros at the end.
        """
        b, lanes = self.b, self.lanes

        def counted(here: Linear, end: Subscript, count: Linear) -> Value:
            inside = self.compare(b.index(here), Direction.LT, b.index(end))
            return b.tail_mask(self.select(inside, b.index(count), b.index(0)), lanes)

        filled = Linear((), lanes) if whole else None

        def block(i: Value, j: Value) -> None:
            across = Linear.of(columns) + Linear.of(j) * -1
            down = Linear.of(rows) + Linear.of(i) * -1
            read = [
                self.vector(source, Linear.of(i) + r, j, counted(Linear.of(i) + r, rows, across))
                for r in range(lanes)
            ]
            for c, column in enumerate(b.transpose(read)):
                here = Linear.of(j) + c
                self.put(column, target, here, i, counted(here, columns, filled or down))

        b.each(0, rows, lanes, lambda i: b.each(0, columns, lanes, lambda j: block(i, j)))

    def fill(self, value: float, target: Matrix, rows: Subscript, columns: Subscript) -> None:
        wide = self.b.constant(value, register_type(self.dtype, self.lanes))

        def row(i: Value) -> None:
            self.each_vector(0, columns, lambda j, mask: self.put(wide, target, i, j, mask))

        self.b.each(0, rows, 1, row)


Vector = Callable[[Value, Value], Value]
"""The elements of a vector from a subscript on, those that a mask has."""


Run = Callable[[Linear], None]
"""What is done with the matrix of a number."""


Group = Callable[[Linear, Subscript], None]
"""What is done with some matrices, from a number on."""


def each_group(
    b: LoopBuilder,
    machine: Machine,
    buffer: Value,
    work: int,
    parallel: bool,
    prepare: Callable[[], Group],
) -> None:
    """Run code for the matrices of a buffer, as many at once as there are lanes.

    The arguments are those of `each_matrix`.
    """
    if 0 in memref_type(buffer).shape:
        return
    code = code_for(b, machine, buffer)
    lanes = code.lanes
    count = math.prod(memref_type(buffer).shape[:-2])
    groups = -(-count // lanes)

    def some(lower: Subscript, upper: Subscript) -> None:
        run = prepare()

        def group(number: Value) -> None:
            first = Linear.of(number) * lanes
            rest: Subscript = lanes
            if count % lanes:
                rest = code.minimum(first * -1 + count, lanes)
            run(first, rest)

        b.each(lower, upper, 1, group)

    tasks = min(MOST_TASKS, groups, count * work // TASK_WORK)
    if not parallel or tasks < 2:
        some(0, groups)
        return
    division = Split(0, groups, -(-groups // tasks))
    b.parallel(division.tasks, lambda task: some(*division.bounds(b, task)))


def each_matrix(
    b: LoopBuilder,
    buffer: Value,
    work: int,
    parallel: bool,
    prepare: Callable[[bool], Run],
) -> None:
    """Run code for every matrix of a buffer, on several threads where `work` repays it.

    `work` is of one matrix, in multiplications. `prepare` reserves memory, is told whether parallel
    loops are allowed inside, and gives what to run.
    """
    count = math.prod(memref_type(buffer).shape[:-2])
    if 0 in memref_type(buffer).shape:
        return
    if count == 1:
        prepare(parallel)(Linear())
        return
    tasks = min(MOST_TASKS, count, count * work // TASK_WORK)
    if not parallel or tasks < 2:
        run = prepare(False)
        b.each(0, count, 1, lambda m: run(Linear.of(m)))
        return
    division = Split(0, count, -(-count // tasks))

    def task(number: Value) -> None:
        run = prepare(False)
        lower, upper = division.bounds(b, number)
        b.each(lower, upper, 1, lambda m: run(Linear.of(m)))

    b.parallel(division.tasks, task)


TASK_WORK = 30_000
"""Multiplications that repay handing out a task."""


def matrix_in(b: LoopBuilder, buffer: Value, number: Linear) -> Matrix:
    """One of the matrices in a buffer."""
    *_, rows, columns = memref_type(buffer).shape
    return Matrix(b.flat(buffer), number * (rows * columns), columns)


def code_for(b: LoopBuilder, machine: Machine, buffer: Value) -> Code:
    """What writes code for the elements of a buffer."""
    dtype = dtype_of(buffer.type)
    return Code(b, dtype, machine.lanes(dtype))
