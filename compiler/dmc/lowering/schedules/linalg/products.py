"""Products of a matrix that is being reduced, and its updates by blocks.

Reflections from both sides are put off: until a block of them is complete, the matrix is multiplied
as it was before, and what the block would have changed is taken off the product. See Dongarra,
Sorensen and Hammarling, "Block reduction of matrices to condensed forms for eigenvalue
computations" (1989). All memory is that of `reflections`, padded with zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dmc.ir.operation import Value
from dmc.lowering.loop_builder import Linear, Subscript
from dmc.lowering.schedules.linalg.matrix import TASK_WORK, Matrix
from dmc.lowering.schedules.linalg.reflections import (
    MOST_PARTS,
    STRIP,
    TOGETHER,
    Space,
    dots,
    subtract,
)
from dmc.lowering.schedules.linalg.tiles import VECTORS, products

PANEL = 4
"""Tiles that use the same rows one after the other."""


@dataclass(frozen=True)
class Term:
    """`Σ left[k, i] right[k, j]`: what a block of reflections takes off element (i, j)."""

    left: Matrix
    right: Matrix


@dataclass(frozen=True)
class Changes:
    """What the first reflections of a block have taken off a matrix, by `terms`.

    `factors` is memory for as many numbers as there are terms times reflections.
    """

    space: Space
    terms: Sequence[Term]
    factors: Matrix

    @property
    def transposed(self) -> Changes:
        """What is taken off the transpose."""
        return replace(self, terms=[Term(t.right, t.left) for t in self.terms])

    def of_row(self, target: Matrix, i: Subscript, counts: Sequence[Subscript]) -> None:
        """Take it off row `i`, where each term has so many summands by now."""
        space = self.space
        given = target.row(i)
        pairs = [(t.right, t.left.part(0, i).transposed) for t in self.terms]
        begin = space.code.down_to(i, STRIP * space.code.lanes)
        combine(space, given, [(*p, n) for p, n in zip(pairs, counts, strict=True)], begin)

    def of_product(
        self, target: Matrix, v: Matrix, begin: Value, counts: Sequence[Subscript]
    ) -> None:
        """Take it off the product of the matrix and a vector, which is zero before `begin`."""
        space = self.space
        parts: list[tuple[Matrix, Matrix, Subscript]] = []
        for n, (term, count) in enumerate(zip(self.terms, counts, strict=True)):
            factors = self.factors.part(0, n * space.block)
            multiply_rows(space, term.right, count, v, factors, begin)
            parts.append((term.left, factors, count))
        combine(space, target, parts, space.code.down_to(begin, STRIP * space.code.lanes))

    def of_rest(self, target: Matrix, first: Value, symmetric: bool) -> None:
        """Take it off the rows and columns from `first`; if `symmetric`, off the upper triangle."""
        space, code = self.space, self.space.code
        b, height, width = code.b, space.height, VECTORS * code.lanes

        def panel(number: Value) -> None:
            start = Linear.of(first) + Linear.of(number) * (PANEL * width)
            end = code.minimum(start + PANEL * width, space.length)
            past = code.minimum(end, space.count) if symmetric else space.count

            def rows(i: Value) -> None:
                own = code.down_to(i, width)
                begin = code.maximum(start, own) if symmetric else b.index(start)

                def tile(j: Value) -> None:
                    sums = None
                    for term in self.terms:
                        left, right = term.left.part(0, i), term.right.part(0, j)
                        sums = products(code, left, right, height, space.block, sums)
                    assert sums is not None
                    subtract(code, target.part(i, j), sums)

                b.each(begin, end, width, tile)

            b.each(first, past, height, rows)

        count = -(-space.length // (PANEL * width))
        left = Linear.of(first) * -1 + (space.length + PANEL * width - 1)
        past = code.divided(left, PANEL * width)
        parts = min(MOST_PARTS, count, space.count * space.length * space.block // TASK_WORK)
        if space.parallel and parts > 1:
            b.parallel(parts, lambda task: b.each(task, past, parts, panel))
        else:
            b.each(0, past, 1, panel)


def combine(
    space: Space,
    target: Matrix,
    parts: Sequence[tuple[Matrix, Matrix, Subscript]],
    begin: Value,
) -> None:
    """Take rows times factors off a row: `parts` are rows, factors, and how many."""
    code, b = space.code, space.code.b

    def strip(place: Value) -> None:
        places = [Linear.of(place) + v * code.lanes for v in range(STRIP)]
        sums = [code.vector(target, 0, here) for here in places]
        for rows, factors, count in parts:

            def step(
                k: Value, sums: list[Value], rows: Matrix = rows, factors: Matrix = factors
            ) -> list[Value]:
                factor = code.wide(code.negative(code.load(factors, 0, k)))
                pairs = zip(places, sums, strict=True)
                return [b.fma(factor, code.vector(rows, k, here), total) for here, total in pairs]

            sums = b.for_(0, count, step, sums)
        for here, value in zip(places, sums, strict=True):
            code.put(value, target, 0, here)

    b.each(begin, space.length, STRIP * code.lanes, strip)


def multiply_rows(
    space: Space, rows: Matrix, count: Subscript, v: Matrix, target: Matrix, begin: Value
) -> None:
    """The products of the first rows and a vector, which is zero before `begin`."""
    code = space.code
    begin = code.down_to(begin, code.lanes)

    def some(i: Value, number: int) -> None:
        for r, total in enumerate(dots(code, rows.part(i, 0), number, v, begin, space.length)):
            code.store(total, target, 0, Linear.of(i) + r)

    code.each_some(0, count, TOGETHER, some)


def multiply_columns(space: Space, a: Matrix, v: Matrix, target: Matrix, begin: Value) -> None:
    """The products of columns and a vector, which is zero before `begin`."""
    code, b = space.code, space.code.b
    space.clear_row(target, space.length)

    def rows(i: Value) -> None:
        factors = [code.wide(code.load(v, 0, Linear.of(i) + r)) for r in range(TOGETHER)]

        def columns(j: Value) -> None:
            total = code.vector(target, 0, j)
            for r, factor in enumerate(factors):
                total = b.fma(factor, code.vector(a, Linear.of(i) + r, j), total)
            code.put(total, target, 0, j)

        b.each(code.down_to(begin, code.lanes), space.length, code.lanes, columns)

    b.each(code.down_to(begin, TOGETHER), space.count, TOGETHER, rows)


def multiply_symmetric(space: Space, a: Matrix, v: Matrix, target: Matrix, begin: Value) -> None:
    """The product of a symmetric matrix and a vector, which is zero before `begin`.

    Reads each element once, of the upper triangle, and squares of a tile's width on the diagonal.
    """
    code, b = space.code, space.code.b
    width = VECTORS * code.lanes
    space.clear_row(target, space.length)

    def rows(i: Value) -> None:
        here = a.part(i, 0)
        places = [Linear.of(i) + r for r in range(TOGETHER)]
        factors = [code.wide(code.load(v, 0, place)) for place in places]
        own = code.down_to(i, width)
        past = b.index(Linear.of(own) + width)

        def step(j: Value, sums: list[Value]) -> list[Value]:
            along, total = code.vector(v, 0, j), code.vector(target, 0, j)
            out: list[Value] = []
            for r, (factor, mine) in enumerate(zip(factors, sums, strict=True)):
                x = code.vector(here, r, j)
                out.append(b.fma(x, along, mine))
                total = b.fma(x, factor, total)
            code.put(total, target, 0, j)
            return out

        zeros = [code.zero()] * TOGETHER
        behind = b.for_(past, space.length, step, zeros, step=code.lanes)
        inside = dots(code, here, TOGETHER, v, own, past)
        for place, total, other in zip(places, behind, inside, strict=True):
            both = code.add(code.total(total), other)
            code.store(code.add(code.load(target, 0, place), both), target, 0, place)

    b.each(code.down_to(begin, TOGETHER), space.count, TOGETHER, rows)
