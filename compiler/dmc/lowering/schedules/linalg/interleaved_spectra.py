"""Orthogonal factorizations of many small matrices at once, one in each lane.

Spectra by Jacobi's rotations, whose angles no lane waits for: see Golub and Van Loan, "Matrix
Computations" (2013), sections 8.5 and 8.6.3. A lane that is done goes on with rotations by nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dmc.dialects import arith, linalg
from dmc.dialects.arith import Direction
from dmc.dialects.math import sqrt
from dmc.ir.operation import Operation, Value
from dmc.ir.types import DType
from dmc.lowering.loop_builder import Linear, LoopBuilder, Subscript, register_type
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.linalg.interleaved import TOGETHER, Lanes
from dmc.lowering.schedules.linalg.matrix import Group, code_for, each_group
from dmc.lowering.schedules.linalg.rotations import EPSILON

MOST_SWEEPS = 40
"""Over all pairs; six or seven are usual."""

ROUNDING = 2.0
"""What rotations may leave beside a diagonal, in distances of neighbouring numbers."""

PATIENCE = 12
"""Sweeps until what is small beside the whole matrix counts as nothing."""


def emit_qr(
    b: LoopBuilder,
    machine: Machine,
    op: Operation,
    buffers: list[Value],
    captured: Mapping[Value, Value],
    parallel: bool,
) -> None:
    """By reflections of the columns."""
    assert isinstance(op, linalg.QR)
    source, left, right = buffers

    def prepare() -> Group:
        code = code_for(b, machine, source)
        orthogonal = _Orthogonal(Lanes.reserved(code, op.rows, op.columns))
        triangle = Lanes.reserved(code, op.columns, op.columns)

        def run(first: Linear, count: Subscript) -> None:
            orthogonal.given.read(source, first, count)
            orthogonal.run()
            orthogonal.q.write(left, first, count)

            def row(i: Value) -> None:
                b.each(0, i, 1, lambda j: triangle.set(i, j, triangle.wide(0.0)))
                b.each(i, op.columns, 1, lambda j: triangle.set(i, j, orthogonal.given[i, j]))

            b.each(0, op.columns, 1, row)
            triangle.write(right, first, count)

        return run

    each_group(b, machine, source, op.work(), parallel, prepare)


class _Orthogonal:
    """Factors `given`: its upper triangle is the triangular factor, `q` the other one."""

    def __init__(self, given: Lanes) -> None:
        self.given = given
        self.q = Lanes.reserved(given.code, given.rows, given.columns)
        self.factors = Lanes.reserved(given.code, 1, given.columns)

    def run(self) -> None:
        b, q = self.given.code.b, self.q
        size = self.given.columns

        def column(k: Value) -> None:
            self._make(k)
            self._reflect(k, self.given, b.index(Linear.of(k) + 1))

        b.each(0, size, 1, column)
        q.set_identity()

        def back(s: Value) -> None:
            k = b.index(Linear.of(s) * -1 + (size - 1))
            self._reflect(k, q, k)

        b.each(0, size, 1, back)

    def _make(self, k: Value) -> None:
        """Reflect column `k` to the first axis: leaves the vector below, but for its first 1."""
        a = self.given
        code, b = a.code, a.code.b
        zero, one = a.wide(0.0), a.wide(1.0)
        below = b.index(Linear.of(k) + 1)

        def look(i: Value, best: list[Value]) -> list[Value]:
            x = code.magnitude(a[i, k])
            return [code.select(code.compare(x, Direction.GT, best[0]), x, best[0])]

        (size,) = b.for_(k, a.rows, look, [zero])
        size = code.select(code.compare(size, Direction.EQ, zero), one, size)

        def square(i: Value, sums: list[Value]) -> list[Value]:
            x = code.divide(a[i, k], size)
            a[i, k] = x
            return [b.fma(x, x, sums[0])]

        (rest,) = b.for_(below, a.rows, square, [zero])
        given = a[k, k]
        first = code.divide(given, size)
        end = sqrt(b.builder, b.fma(first, first, rest))
        end = code.select(code.compare(first, Direction.GE, zero), code.negative(end), end)
        nothing = code.compare(rest, Direction.EQ, zero)
        left = code.subtract(first, end)
        inverse = code.divide(one, code.select(nothing, one, left))
        factor = code.divide(left, code.select(nothing, one, end))
        self.factors[0, k] = code.select(nothing, zero, factor)
        a[k, k] = code.select(nothing, given, code.multiply(end, size))

        def scale(i: Value) -> None:
            a[i, k] = code.multiply(a[i, k], inverse)

        b.each(below, a.rows, 1, scale)

    def _reflect(self, k: Value, target: Lanes, first: Value) -> None:
        """Reflect the columns from `first` on; factors are negative."""
        a = self.given
        code, b = a.code, a.code.b
        factor = self.factors[0, k]
        below = b.index(Linear.of(k) + 1)

        def columns(j: Value, count: int) -> None:
            places = [Linear.of(j) + c for c in range(count)]

            def step(i: Value, sums: list[Value]) -> list[Value]:
                v = a[i, k]
                pairs = zip(places, sums, strict=True)
                return [b.fma(v, target[i, place], total) for place, total in pairs]

            sums = b.for_(below, a.rows, step, [target[k, place] for place in places])
            shares = [code.multiply(factor, total) for total in sums]
            for place, share in zip(places, shares, strict=True):
                target[k, place] = code.add(target[k, place], share)

            def add(i: Value) -> None:
                v = a[i, k]
                for place, share in zip(places, shares, strict=True):
                    target[i, place] = b.fma(v, share, target[i, place])

            b.each(below, a.rows, 1, add)

        code.each_some(first, target.columns, TOGETHER, columns)


def emit_eigh(
    b: LoopBuilder,
    machine: Machine,
    op: Operation,
    buffers: list[Value],
    captured: Mapping[Value, Value],
    parallel: bool,
) -> None:
    """Rotates until nothing is beside the diagonal."""
    assert isinstance(op, linalg.Eigh)
    source, values, vectors = buffers
    size = op.rows

    def prepare() -> Group:
        code = code_for(b, machine, source)
        symmetric = _Symmetric(Lanes.reserved(code, size, size))

        def run(first: Linear, count: Subscript) -> None:
            symmetric.given.read(source, first, count)
            symmetric.run()
            symmetric.values.write(values, first, count)
            symmetric.stored.write(vectors, first, count)

        return run

    each_group(b, machine, source, op.work(), parallel, prepare)


def emit_svd(
    b: LoopBuilder,
    machine: Machine,
    op: Operation,
    buffers: list[Value],
    captured: Mapping[Value, Value],
    parallel: bool,
) -> None:
    """Rotates columns until they are orthogonal; factored, they give a basis whatever the rank."""
    assert isinstance(op, linalg.SVD)
    source, left, values, right = buffers

    def prepare() -> Group:
        code = code_for(b, machine, source)
        columns = _Columns(Lanes.reserved(code, op.rows, op.columns))

        def run(first: Linear, count: Subscript) -> None:
            columns.given.read(source, first, count)
            columns.run()
            columns.left.write(left, first, count)
            columns.values.write(values, first, count)
            columns.right.write(right, first, count)

        return run

    each_group(b, machine, source, op.work(), parallel, prepare)


@dataclass(frozen=True)
class _Sweeps:
    """Rotations of all pairs, again and again; `given` is what gives the angles."""

    given: Lanes

    def until(self, pair: Callable[[Value, Value, Value], Value], count: int) -> Value:
        """Sweep over the pairs below `count`; where that had no end.

        `pair` gets two subscripts and what counts as nothing beside 1, and says where the two had
        to be rotated.
        """
        code, b = self.given.code, self.given.code.b
        some = register_type(DType.BOOL, code.lanes)

        def sweep(state: list[Value]) -> list[Value]:
            number, _ = state
            patient = code.compare(number, Direction.LT, b.index(PATIENCE))
            bound = code.select(patient, code.number(0.0), code.number(EPSILON[code.dtype]))
            floor = code.wide(bound)

            def first(p: Value, on: list[Value]) -> list[Value]:
                def second(q: Value, on: list[Value]) -> list[Value]:
                    return [arith.logical_or(b.builder, on[0], pair(p, q, floor))]

                return b.for_(b.index(Linear.of(p) + 1), count, second, on)

            (on,) = b.for_(0, count, first, [b.constant(False, some)])
            return [b.index(Linear.of(number) + 1), on]

        def going(state: list[Value]) -> Value:
            number, on = state
            more = code.compare(number, Direction.LT, b.index(MOST_SWEEPS))
            return arith.logical_and(b.builder, more, code.any(on))

        _, on = b.while_([b.index(0), b.constant(True, some)], going, sweep)
        return on

    def angle(self, x: Value, y: Value, mixed: Value) -> tuple[Value, Value, Value]:
        """Cosine, sine and tangent of the rotation that makes [[x, m], [m, y]] diagonal."""
        given = self.given
        code, b = given.code, given.code.b
        zero, one, two = (given.wide(value) for value in (0.0, 1.0, 2.0))
        nothing = code.compare(mixed, Direction.EQ, zero)
        twice = code.multiply(two, code.select(nothing, one, mixed))
        ratio = code.divide(code.subtract(y, x), twice)
        length = sqrt(b.builder, b.fma(ratio, ratio, one))
        tangent = code.divide(one, code.add(code.magnitude(ratio), length))
        negative = code.compare(ratio, Direction.LT, zero)
        tangent = code.select(negative, code.negative(tangent), tangent)
        tangent = code.select(nothing, zero, tangent)
        cosine = code.divide(one, sqrt(b.builder, b.fma(tangent, tangent, one)))
        return cosine, code.multiply(cosine, tangent), tangent


def _rotated(given: Lanes, angle: tuple[Value, Value, Value], x: Value, y: Value) -> list[Value]:
    """`c x - s y` and `s x + c y`."""
    code, (cosine, sine, _) = given.code, angle
    return [
        code.b.fma(code.negative(sine), y, code.multiply(cosine, x)),
        code.b.fma(sine, x, code.multiply(cosine, y)),
    ]


def _rotate(lanes: Lanes, angle: tuple[Value, Value, Value], p: Value, q: Value) -> None:
    """Rotate two rows."""

    def element(k: Value) -> None:
        x, y = _rotated(lanes, angle, lanes[p, k], lanes[q, k])
        lanes[p, k] = x
        lanes[q, k] = y

    lanes.code.b.each(0, lanes.columns, 1, element)


class _Symmetric:
    """Matrices of which the upper triangle is used; eigenvectors are rows."""

    def __init__(self, given: Lanes) -> None:
        self.given = given
        self.stored = Lanes.reserved(given.code, given.rows, given.rows)
        self.vectors = self.stored.transposed
        self.values = Lanes.reserved(given.code, 1, given.rows)
        self.sweeps = _Sweeps(given)

    def run(self) -> None:
        a, vectors, values = self.given, self.vectors, self.values
        code, b = a.code, a.code.b
        size, finite = a.scale(upper=True)
        vectors.set_identity()
        going = self.sweeps.until(self._pair, a.rows)
        b.each(0, a.rows, 1, lambda i: values.set(0, i, code.multiply(a[i, i], size)))
        _put_in_order(values, [vectors], Direction.LT)
        _turn_positive(vectors)
        spoilt = arith.logical_or(b.builder, going, arith.logical_not(b.builder, finite))
        for part in (values, vectors):
            part.spoil(spoilt)

    def _pair(self, p: Value, q: Value, floor: Value) -> Value:
        a = self.given
        code, b = a.code, a.code.b
        zero = a.wide(0.0)
        epsilon = a.wide(ROUNDING * EPSILON[code.dtype])
        x, y, mixed = a[p, p], a[q, q], a[p, q]
        size = code.add(code.magnitude(x), code.magnitude(y))
        bound = code.multiply(epsilon, size)
        bound = code.select(code.compare(bound, Direction.GT, floor), bound, floor)
        large = code.compare(code.magnitude(mixed), Direction.GT, bound)
        a[p, q] = code.select(large, zero, mixed)
        mixed = code.select(large, mixed, zero)
        angle = self.sweeps.angle(x, y, mixed)
        moved = code.multiply(angle[2], mixed)
        a[p, p] = code.subtract(x, moved)
        a[q, q] = code.add(y, moved)

        def between(
            lower: Subscript, upper: Subscript, places: Callable[[Value], list[tuple[Value, Value]]]
        ) -> None:
            def element(k: Value) -> None:
                first, second = places(k)
                u, v = _rotated(a, angle, a[first], a[second])
                a[first] = u
                a[second] = v

            b.each(lower, upper, 1, element)

        after, behind = (b.index(Linear.of(x) + 1) for x in (p, q))
        between(0, p, lambda k: [(k, p), (k, q)])
        between(after, q, lambda k: [(p, k), (k, q)])
        between(behind, a.rows, lambda k: [(p, k), (q, k)])
        _rotate(self.vectors, angle, p, q)
        return large


class _Columns:
    """Matrices whose columns become orthogonal; singular vectors are rows meanwhile."""

    def __init__(self, given: Lanes) -> None:
        code = given.code
        self.given = given
        self.columns = given.transposed
        self.orthogonal = _Orthogonal(given)
        self.right = Lanes.reserved(code, given.columns, given.columns)
        self.values = Lanes.reserved(code, 1, given.columns)
        self.sweeps = _Sweeps(given)

    @property
    def left(self) -> Lanes:
        """The left singular vectors, in the end."""
        return self.orthogonal.q

    def run(self) -> None:
        columns, values, right = self.columns, self.values, self.right
        code, b = columns.code, columns.code.b
        zero = columns.wide(0.0)
        size, finite = self.given.scale(upper=False)
        right.set_identity()
        going = self.sweeps.until(self._pair, columns.rows)

        def length(j: Value) -> None:
            values[0, j] = sqrt(b.builder, self._products(j, j)[0])

        b.each(0, columns.rows, 1, length)
        _put_in_order(values, [columns, right], Direction.GT)
        self.orthogonal.run()

        def direct(j: Value) -> None:
            values[0, j] = code.multiply(values[0, j], size)
            back = code.compare(self.given[j, j], Direction.LT, zero)

            def element(i: Value) -> None:
                x = self.left[i, j]
                self.left[i, j] = code.select(back, code.negative(x), x)

            b.each(0, self.left.rows, 1, element)

        b.each(0, columns.rows, 1, direct)
        _turn_positive(self.left.transposed, right)
        spoilt = arith.logical_or(b.builder, going, arith.logical_not(b.builder, finite))
        for part in (self.left, values, right):
            part.spoil(spoilt)

    def _products(self, p: Value, q: Value) -> list[Value]:
        """The products of two columns with themselves, and of the one with the other."""
        columns = self.columns
        b = columns.code.b

        def step(i: Value, sums: list[Value]) -> list[Value]:
            x, y = columns[p, i], columns[q, i]
            return [b.fma(x, x, sums[0]), b.fma(y, y, sums[1]), b.fma(x, y, sums[2])]

        return b.for_(0, columns.columns, step, [columns.wide(0.0)] * 3)

    def _pair(self, p: Value, q: Value, floor: Value) -> Value:
        columns = self.columns
        code, b = columns.code, columns.code.b
        epsilon = columns.wide(ROUNDING * EPSILON[code.dtype])
        x, y, mixed = self._products(p, q)
        both = code.multiply(*(sqrt(b.builder, z) for z in (x, y)))
        bound = code.multiply(
            code.multiply(epsilon, both), columns.wide(math.sqrt(self.given.rows))
        )
        bound = code.select(code.compare(bound, Direction.GT, floor), bound, floor)
        large = code.compare(code.magnitude(mixed), Direction.GT, bound)
        angle = self.sweeps.angle(x, y, code.select(large, mixed, columns.wide(0.0)))
        _rotate(columns, angle, p, q)
        _rotate(self.right, angle, p, q)
        return large


def _put_in_order(values: Lanes, rows: Sequence[Lanes], direction: Direction) -> None:
    """Order the values of each lane, and the rows that go with them."""
    code, b = values.code, values.code.b

    def first(i: Value) -> None:
        def second(j: Value) -> None:
            later = code.compare(values[0, j], direction, values[0, i])

            def exchange(lanes: Lanes) -> None:
                def element(k: Value) -> None:
                    u, v = lanes[i, k], lanes[j, k]
                    lanes[i, k] = code.select(later, v, u)
                    lanes[j, k] = code.select(later, u, v)

                b.each(0, lanes.columns, 1, element)

            def some() -> list[Value]:
                for part in (values.transposed, *rows):
                    exchange(part)
                return []

            b.if_(code.any(later), some)

        b.each(b.index(Linear.of(i) + 1), values.columns, 1, second)

    b.each(0, values.columns, 1, first)


def _turn_positive(rows: Lanes, *others: Lanes) -> None:
    """Turn rows round whose first largest element is negative, and those that go with them."""
    code, b = rows.code, rows.code.b
    zero = rows.wide(0.0)

    def row(i: Value) -> None:
        def look(k: Value, best: list[Value]) -> list[Value]:
            x = rows[i, k]
            size = code.magnitude(x)
            larger = code.compare(size, Direction.GT, best[0])
            return [code.select(larger, size, best[0]), code.select(larger, x, best[1])]

        _, largest = b.for_(0, rows.columns, look, [zero, zero])
        back = code.compare(largest, Direction.LT, zero)

        def turn(part: Lanes) -> None:
            def element(k: Value) -> None:
                x = part[i, k]
                part[i, k] = code.select(back, code.negative(x), x)

            b.each(0, part.columns, 1, element)

        for part in (rows, *others):
            turn(part)

    b.each(0, rows.rows, 1, row)
