"""Operands of contractions copied into panels, which the micro-kernel reads one after the other.

The panels are those of Goto and van de Geijn, "Anatomy of high-performance matrix multiplication"
(2008), and Van Zee and van de Geijn, "BLIS: a framework for rapidly instantiating BLAS
functionality" (2015). A micro-kernel knows of no layout: whatever strides, windows and orders an
operand is read with are resolved once, here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dmc.dialects import arith
from dmc.ir.operation import Value
from dmc.ir.types import VectorType
from dmc.lowering.loop_builder import Linear, LoopBuilder, Subscript, known_index, register_type
from dmc.lowering.schedules.body import address
from dmc.lowering.schedules.domain import Range
from dmc.lowering.schedules.elementwise import part_before
from dmc.lowering.schedules.nest import Access
from dmc.process import lazy

PAD_BYTES = 64
"""Panels lie so much apart, lest all begin in one set of a cache."""

STRIP_BYTES = 1024
"""So much of a row of memory is copied before the next row."""

Places = Mapping[int, Linear]
"""Subscripts of dimensions."""


@dataclass(frozen=True)
class Piece:
    """`count` neighbouring subscripts, the `number`th piece of a dimension cut by `width`."""

    number: Linear
    width: int
    count: int

    @property
    def first(self) -> Linear:
        return self.number * self.width


@dataclass(frozen=True)
class Cut:
    """A dimension (None: one subscript) cut into pieces, the last of which may be narrower."""

    dimension: int | None
    extent: int
    width: int

    @property
    def pieces(self) -> int:
        return -(-self.extent // self.width)

    def past(self, b: LoopBuilder, first: Value, count: int, most: Value | None = None) -> Value:
        """The piece past a group of `count` pieces, of those before `most`."""
        if count >= self.pieces:
            return b.index(self.pieces) if most is None else most
        past = b.index(Linear.of(first) + count)
        return (
            b.minimum(past, self.pieces) if most is None else arith.minimum(b.builder, past, most)
        )

    def each(
        self, b: LoopBuilder, first: Value, past: Value, body: Callable[[Piece], None]
    ) -> None:
        """Run `body` for the pieces from `first` until `past`."""
        whole = self.extent // self.width
        everything = known_index(past) == self.pieces
        middle = b.index(whole) if everything else b.minimum(past, whole)
        b.each(first, middle, 1, lambda p: body(Piece(Linear.of(p), self.width, self.width)))
        rest = self.extent % self.width
        if rest:
            b.each(middle, past, 1, lambda p: body(Piece(Linear.of(p), self.width, rest)))


@dataclass(frozen=True)
class Box:
    """A part of what is summed over: some subscripts of one dimension and all of those within it.

    `around` are the subscripts of the dimensions around; `inner` has the others with their sizes.
    """

    around: Places
    moving: int
    size: int
    start: Value
    end: Subscript
    inner: Sequence[tuple[int, int]]

    @property
    def unit(self) -> int:
        """How many points one subscript of the moving dimension has."""
        return math.prod(size for _, size in self.inner)

    @lazy
    def whole(self) -> Range:
        return self.start, self.end

    def flat(self, places: Places) -> Linear:
        """The number of a point within the box."""
        number = places[self.moving] + Linear.of(self.start) * -1
        for d, size in self.inner:
            number = number * size + places[d]
        return number

    def rows(
        self,
        b: LoopBuilder,
        within: Range,
        body: Callable[[Places, int, Range, int, list[Value]], Sequence[Value]],
        inits: Sequence[Value] = (),
    ) -> list[Value]:
        """Loops over all but the innermost dimension, carrying values.

        `body` gets the subscripts so far, the innermost dimension, its range and its size.
        """
        dims = [(self.moving, within, self.size)]
        dims += [(d, (0, size), size) for d, size in self.inner]

        def run(depth: int, places: Places, carried: list[Value]) -> Sequence[Value]:
            d, (lower, upper), size = dims[depth]
            if depth == len(dims) - 1:
                return body(places, d, (lower, upper), size, carried)

            def one(i: Value, carried: list[Value]) -> Sequence[Value]:
                return run(depth + 1, {**places, d: Linear.of(i)}, carried)

            return b.for_(lower, upper, one, carried)

        return list(run(0, self.around, list(inits)))

    def points(
        self,
        b: LoopBuilder,
        within: Range,
        body: Callable[[Places, list[Value]], Sequence[Value]],
        inits: Sequence[Value] = (),
    ) -> list[Value]:
        """Loops over all points in order, carrying values."""

        def row(
            places: Places, d: int, bounds: Range, _: int, carried: list[Value]
        ) -> Sequence[Value]:
            def one(k: Value, carried: list[Value]) -> Sequence[Value]:
                return body({**places, d: Linear.of(k)}, carried)

            return b.for_(*bounds, one, carried, name="k")

        return self.rows(b, within, row, inits)


class Panels:
    """Memory for the pieces of a group, each as rows of `cut.width` elements, point after point.

    Rows are written as whole vectors, whose ends the next row overwrites. What is f16 or bf16 is
    widened.
    """

    def __init__(
        self, b: LoopBuilder, access: Access, cut: Cut, lanes: int, group: int, points: int
    ) -> None:
        self.b = b
        self.access = access
        self.cut = cut
        self.lanes = lanes
        self.dtype = access.dtype.wide
        self.vector = register_type(self.dtype, lanes)
        self.group = group
        self.pitch = points * cut.width + max(lanes, PAD_BYTES // self.dtype.bytes)
        self.memory = b.alloca((group * self.pitch,), self.dtype)

    def at(self, local: Linear, point: Linear, offset: Subscript) -> Linear:
        """Where an element of the piece number `local` of the group is."""
        return local * self.pitch + point * self.cut.width + offset

    def pack(self, known: Places, first: Value, past: Value, box: Box, within: Range) -> None:
        """Copy the points `within` a box of the group of pieces from `first` until `past`."""
        innermost = box.inner[-1][0] if box.inner else box.moving
        assert self.cut.dimension is not None
        turned = self.access.strides[innermost] == 1 != self.access.strides[self.cut.dimension]
        (self._transpose if turned else self._copy)(known, first, past, box, within)

    def _copy(self, known: Places, first: Value, past: Value, box: Box, within: Range) -> None:
        """Row after row of memory, of some pieces at a time: few lines are written to at once."""
        b = self.b
        strip = max(1, STRIP_BYTES // (self.cut.width * self.dtype.bytes))

        def some(some: Value) -> None:
            end = self.cut.past(b, some, strip, past)

            def point(places: Places, _: list[Value]) -> Sequence[Value]:
                row, places = box.flat(places), {**known, **places}
                self.cut.each(b, some, end, lambda piece: self._row(places, piece, first, row))
                return ()

            box.points(b, within, point)

        b.each(first, past, strip, some)

    def _row(self, places: Places, piece: Piece, first: Value, row: Linear) -> None:
        """One point of a piece."""
        local = piece.number + Linear.of(first) * -1
        lanes = min(self.lanes, 1 << (self.cut.width - 1).bit_length())
        for v in range(0, piece.count, lanes):
            mask = self.b.tail_mask(piece.count - v, lanes) if v + lanes > piece.count else None
            value = read_vector(self.b, self.access, self.cut, lanes, places, piece.first + v, mask)
            self.b.vector_store(value, self.memory, [self.at(local, row, v)])

    def _transpose(self, known: Places, first: Value, past: Value, box: Box, within: Range) -> None:
        """Blocks of rows of memory that are columns of panels, turned in registers."""
        b, lanes = self.b, self.lanes

        def piece(piece: Piece) -> None:
            local = piece.number + Linear.of(first) * -1

            def row(
                places: Places, d: int, bounds: Range, size: int, _: list[Value]
            ) -> Sequence[Value]:
                places = {**known, **places}
                lower, upper = bounds
                # Every part but the last is a whole number of blocks.
                middle = part_before(b, upper, size, lanes)

                def block(k: Value) -> None:
                    self._block({**places, d: Linear.of(k)}, piece, local, box)

                def one(k: Value) -> None:
                    point = {**places, d: Linear.of(k)}
                    self._row(point, piece, first, box.flat(point))

                b.each(lower, middle, lanes, block)
                if size % lanes:
                    b.each(middle, upper, 1, one)
                return ()

            box.rows(b, within, row)

        self.cut.each(b, first, past, piece)

    def _block(self, places: Places, piece: Piece, local: Linear, box: Box) -> None:
        """As many points along a dimension as there are lanes, of a whole piece."""
        b, lanes = self.b, self.lanes
        row = box.flat(places)

        def store(column: Value, point: int, before: Subscript) -> None:
            b.vector_store(column, self.memory, [self.at(local, row + point, before)])

        whole, rest = divmod(piece.count, lanes)
        if self.cut.width % lanes:
            # Ends of rows are overwritten: all of a row comes before the next.
            starts = range(0, piece.count, lanes)
            turned = [
                self._turned(places, piece.first + v, min(lanes, piece.count - v)) for v in starts
            ]
            for point, columns in enumerate(zip(*turned, strict=True)):
                for v, column in zip(starts, columns, strict=True):
                    store(column, point, v)
            return

        def block(v: Subscript, count: int) -> None:
            before = Linear.of(v) * lanes
            for point, column in enumerate(self._turned(places, piece.first + before, count)):
                store(column, point, before)

        b.each(0, whole, 1, lambda v: block(v, lanes))
        if rest:
            block(whole, rest)

    def _turned(self, places: Places, first: Linear, count: int) -> list[Value]:
        """Of `count` neighbours the rows of memory, as columns."""
        b, dimension = self.b, self.cut.dimension
        assert dimension is not None
        rows = [b.constant(0.0, self.vector)] * self.lanes
        for i in range(count):
            at = address(self.access, {**places, dimension: first + i})
            row = b.vector_load(self.access.buffer, [at], self.lanes)
            rows[i] = arith.convert(b.builder, row, self.dtype)
        return b.transpose(rows)


def read_vector(
    b: LoopBuilder,
    access: Access,
    cut: Cut,
    lanes: int,
    places: Places,
    first: Linear,
    mask: Value | None,
) -> Value:
    """Neighbours of an operand along a dimension, where it lies; widened."""
    assert cut.dimension is not None
    at = address(access, {**places, cut.dimension: first})
    stride = access.strides[cut.dimension]
    if stride == 1:
        found = b.vector_load(access.buffer, [at], lanes, mask=mask)
    else:
        every = mask or b.constant(True, VectorType((lanes,), access.dtype.BOOL))
        found = b.gather(access.buffer, [at], b.iota(lanes, stride), every)
    return arith.convert(b.builder, found, access.dtype.wide)
