"""Kernels with an order along one axis: scan and sort."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from dmc.dialects import arith, kernel
from dmc.dialects.loop import INDEX
from dmc.ir.operation import Operation, Value
from dmc.ir.types import DType, MemRefType, dtype_of
from dmc.lowering.loop_builder import Linear, LoopBuilder, register_type
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.movement import memref_type


def _around(type_: MemRefType, axis: int) -> tuple[int, int, int]:
    """Sizes before, of, and after an axis."""
    shape = type_.shape
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def emit_scan(
    b: LoopBuilder,
    machine: Machine,
    op: Operation,
    buffers: list[Value],
    captured: Mapping[Value, Value],
    parallel: bool,
) -> None:
    """`kernel.scan`: the running value of each line in a register, neighbouring lines in lanes."""
    assert isinstance(op, kernel.Scan)
    source, output = buffers
    outer, length, inner = _around(memref_type(source), op.axis)
    read, write = b.flat(source), b.flat(output)
    dtype = dtype_of(source.type)
    lanes = machine.lanes(dtype)

    def lines(row: Value, column: Linear, count: int) -> None:
        """Scan `count` neighbouring lines."""
        start = b.constant(kernel.identity_of(op.combiner, dtype), register_type(dtype, count))

        def step(i: Value, carried: list[Value]) -> list[Value]:
            along = Linear.of(i) * -1 + (length - 1) if op.reverse else Linear.of(i)
            at = Linear.of(row) * (length * inner) + along * inner + column
            value = b.load(read, [at]) if count == 1 else b.vector_load(read, [at], count)
            total = b.insert(kernel.COMBINE[op.combiner]([carried[0], value])).results[0]
            out = carried[0] if op.exclusive else total
            if count == 1:
                b.store(out, write, [at])
            else:
                b.vector_store(out, write, [at])
            return [total]

        b.for_(0, length, step, [start])

    def rows(row: Value, _: list[Value]) -> list[Value]:
        whole = inner - inner % lanes
        b.for_(0, whole, _each(lambda j: lines(row, Linear.of(j), lanes)), step=lanes)
        b.for_(whole, inner, _each(lambda j: lines(row, Linear.of(j), 1)))
        return []

    b.for_(0, outer, rows)


def _each(run: Callable[[Value], None]) -> Callable[[Value, list[Value]], list[Value]]:
    def step(i: Value, _: list[Value]) -> list[Value]:
        run(i)
        return []

    return step


def emit_sort(
    b: LoopBuilder,
    machine: Machine,
    op: Operation,
    buffers: list[Value],
    captured: Mapping[Value, Value],
    parallel: bool,
) -> None:
    """`kernel.sort`: a bottom-up merge sort of the subscripts of each line.

    Runs of 1, 2, 4 … elements are merged from one half of the work space to the other. An element
    of the right run goes first only if it is strictly before, which keeps the sort stable.
    """
    assert isinstance(op, kernel.Sort)
    source, output, permutation = buffers
    outer, length, inner = _around(memref_type(source), op.axis)
    read, write, order = b.flat(source), b.flat(output), b.flat(permutation)
    work = b.alloca((2 * max(length, 1),), DType.I64)
    passes = max(0, (length - 1).bit_length())

    def line(row: Value, column: Value) -> None:
        def place(i: Value | Linear) -> Linear:
            return Linear.of(row) * (length * inner) + Linear.of(i) * inner + column

        b.for_(0, length, _each(lambda i: b.store(i, work, [i])))

        def before(right: Value, left: Value) -> Value:
            x, y = b.load(read, [place(right)]), b.load(read, [place(left)])
            return _precedes(b, x, y, op.descending)

        for level in range(passes):
            _merge_runs(b, work, length, level, before)
        half = (passes % 2) * length

        def finish(i: Value) -> None:
            at = b.load(work, [Linear.of(i) + half])
            b.store(b.load(read, [place(at)]), write, [place(i)])
            b.store(arith.convert(b.builder, at, dtype_of(order.type)), order, [place(i)])

        b.for_(0, length, _each(finish))

    def lines(row: Value) -> None:
        b.for_(0, inner, _each(lambda column: line(row, column)))

    b.for_(0, outer, _each(lines))


def _precedes(b: LoopBuilder, x: Value, y: Value, descending: bool) -> Value:
    """Whether `x` goes strictly before `y`; NaN counts as the largest."""
    if descending:
        x, y = y, x
    less = arith.compare(b.builder, arith.Direction.LT, x, y)
    if not dtype_of(x.type).is_float:
        return less
    number = arith.compare(b.builder, arith.Direction.EQ, x, x)
    nan = arith.compare(b.builder, arith.Direction.NE, y, y)
    return arith.logical_or(b.builder, less, arith.logical_and(b.builder, number, nan))


def _merge_runs(
    b: LoopBuilder,
    work: Value,
    length: int,
    level: int,
    before: Callable[[Value, Value], Value],
) -> None:
    """Merge neighbouring sorted runs of `2**level` subscripts into the other half of `work`."""
    width = 1 << level
    source, target = (level % 2) * length, (1 - level % 2) * length

    def merge(start: Value) -> None:
        middle = b.minimum(b.index(Linear.of(start) + width), length)
        end = b.minimum(b.index(Linear.of(start) + 2 * width), length)

        def step(k: Value, carried: list[Value]) -> list[Value]:
            left, right = carried
            compare = arith.Direction.LT
            has_left = arith.compare(b.builder, compare, left, middle)
            has_right = arith.compare(b.builder, compare, right, end)

            def both() -> list[Value]:
                i, j = (
                    b.load(work, [Linear.of(left) + source]),
                    b.load(work, [Linear.of(right) + source]),
                )
                return [before(j, i)]

            either = arith.logical_and(b.builder, has_left, has_right)
            (take_right,) = b.if_(either, both, lambda: [has_right])
            chosen = arith.select(b.builder, take_right, right, left)
            b.store(b.load(work, [Linear.of(chosen) + source]), work, [Linear.of(k) + target])
            one = b.constant(1, INDEX)
            moved = arith.convert(b.builder, take_right, DType.I64)
            rest = arith.subtract(b.builder, one, moved)
            return [arith.add(b.builder, left, rest), arith.add(b.builder, right, moved)]

        b.for_(start, end, step, [start, middle])

    b.for_(0, length, _each(merge), step=2 * width)
