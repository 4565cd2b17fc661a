"""Reductions: partial results in registers, combined by a tree that sizes and machine determine.

Either several outputs lie along the lanes (each accumulates in its own order, one after another),
or the elements of one output do (lanes and accumulators are then combined pairwise). Few outputs
over many elements are cut into fixed pieces whose results are combined in order. No accumulator
takes in more than `MOST_TERMS` terms: it then becomes a term of another, so that the error of a
sum does not grow with its length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from dmc.dialects import arith, kernel
from dmc.ir.affine_set import AffineSet
from dmc.ir.operation import Block, Value
from dmc.ir.types import dtype_of
from dmc.lowering.loop_builder import Linear, LoopBuilder, Subscript, register_type
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.body import Body, Entry, Frame, Lanes, absorbed, mask_of, spread, store
from dmc.lowering.schedules.domain import Domain, Known, Range, Spread, at
from dmc.lowering.schedules.elementwise import part_before
from dmc.lowering.schedules.nest import Access, Nest
from dmc.lowering.schedules.plan import Split, nanoseconds, split
from dmc.lowering.schedules.reduction_plan import MOST_TERMS, Plan, along_outputs, make_plan
from dmc.lowering.schedules.staging import Staging

Enter = Callable[[Sequence[tuple[Subscript, Lanes]]], list[Frame]]
"""The frames of some vectors along the vector dimension."""

Step = Callable[[Value, list[Value]], list[Value]]
"""An iteration: from its subscript and the sums so far to the next sums."""

Bounds = dict[int, tuple[Subscript, Subscript]]
"""The part of some dimensions that a task takes; other dimensions are whole."""


def emit_reduction(b: LoopBuilder, machine: Machine, nest: Nest, parallel: bool) -> None:
    """Emit a nest with reduction dimensions; `parallel` allows tasks."""
    if any(nest.sizes[d] == 0 for d in nest.parallel_dims):
        return
    nest, plan = make_plan(machine, nest)
    if plan.pieces is not None:
        _emit_pieces(b, machine, nest, plan, plan.pieces, parallel)
        return
    units = {plan.vector: plan.lanes * plan.blocks}
    time = nanoseconds(nest, plan.lanes)
    outer = split(nest.sizes, nest.parallel_dims, time, units) if parallel else None
    if outer is None:
        _Reduction(b, machine, nest, plan).emit({})
        return
    division = outer

    def run(task: Value) -> None:
        _Reduction(b, machine, nest, plan).emit({division.dimension: division.bounds(b, task)})

    b.parallel(division.tasks, run)


def _emit_pieces(
    b: LoopBuilder, machine: Machine, nest: Nest, plan: Plan, pieces: Split, parallel: bool
) -> None:
    """Reduce pieces of a dimension, in tasks where allowed, then their results in order."""
    outputs = math.prod(nest.sizes[: nest.parallel])
    reduced = nest.body.terminator.operands[: len(nest.combiners)]
    dtypes = [dtype_of(v.type) for v in reduced]
    partials = [b.alloca((pieces.tasks * outputs,), dtype) for dtype in dtypes]
    within: list[int] = []
    step = 1
    for d in reversed(nest.parallel_dims):
        within.insert(0, step)
        step *= nest.sizes[d]
    strides = (*within, *(0 for _ in nest.reduction_dims))

    def run(task: Value) -> None:
        start = Linear.of(task) * outputs
        parts = tuple(Access(buffer, strides, start) for buffer in partials)
        part = replace(nest, outputs=parts, extras=(), epilogue=None)
        _Reduction(b, machine, part, plan).emit({pieces.dimension: pieces.bounds(b, task)})

    def one_after_another(task: Value, _: list[Value]) -> list[Value]:
        run(task)
        return []

    if parallel:
        b.parallel(pieces.tasks, run)
    else:
        b.for_(0, pieces.tasks, one_after_another)

    def keep(access: Access) -> Access:
        return replace(access, strides=(*access.strides[: nest.parallel], 0))

    identity = Block([v.type for v in reduced])
    identity.insert(kernel.Yield(identity.args))
    rest = replace(
        nest,
        sizes=(*nest.sizes[: nest.parallel], pieces.tasks),
        inputs=tuple(Access(buffer, (*within, outputs)) for buffer in partials),
        outputs=tuple(map(keep, nest.outputs)),
        extras=tuple(map(keep, nest.extras)),
        stored=(),
        body=identity,
        domain=AffineSet(),
    )
    _Reduction(b, machine, rest, along_outputs(machine, rest)).emit({})


class _Reduction:
    """Emits one nest by a plan."""

    def __init__(self, b: LoopBuilder, machine: Machine, nest: Nest, plan: Plan) -> None:
        self.b = b
        self.machine = machine
        self.plan = plan
        self.staging = None
        if plan.staged:
            rows = plan.round * plan.rounds // nest.sizes[-1]
            self.staging = Staging(b, machine, nest, plan.joined, plan.lanes, rows)
            nest = self.staging.flat
        self.nest = nest
        self.domain = Domain(b, nest)
        self.vectors = [Lanes(plan.vector, plan.lanes)] * plan.blocks
        self.counts = list(nest.sizes)
        if plan.pieces is not None:
            self.counts[plan.pieces.dimension] = plan.pieces.chunk
        self.body = self.staging.body if self.staging else Body(b, nest, nest.body, nest.inputs)
        self.reduced = self.body.yielded[: len(nest.combiners)]
        self.stored = self.body.yielded[len(nest.combiners) :]
        self.types = [dtype_of(v.type) for v in self.reduced]
        self.products = [
            _product(nest.body, v) if name == "add" and not machine.strict else None
            for v, name in zip(self.reduced, nest.combiners, strict=True)
        ]
        self.body.left_out = frozenset(op for op in self.products if op is not None)
        self.epilogue = (
            None
            if nest.epilogue is None
            else Body(b, nest, nest.epilogue, nest.extras, given=len(self.types))
        )

    def emit(self, bounds: Bounds) -> None:
        """The whole nest, or the part of it that `bounds` leave."""
        if self.staging is not None:
            self.staging.begin()
        frame = self.body.enter(Frame(), {})
        after = Frame() if self.epilogue is None else self.epilogue.enter(Frame(), {})
        order = [d for d in self.nest.parallel_dims if d != self.plan.vector]
        self._outputs(order, frame, after, bounds)

    def _bounds(self, dimension: int, bounds: Bounds) -> tuple[Subscript, Subscript]:
        return bounds.get(dimension, (0, self.nest.sizes[dimension]))

    def _outputs(self, order: Sequence[int], frame: Frame, after: Frame, bounds: Bounds) -> None:
        """Loops over the outputs, the last along the lanes if it is the vector dimension."""
        if not order:
            if self.plan.vector in self.nest.parallel_dims:
                self._output_vectors(frame, after, bounds)
            elif self.plan.lanes > 1:
                self._finish(after, self._along_lanes(frame, bounds), {}, None)
            else:
                dims = self.nest.reduction_dims
                reduced = self._accumulate(dims, frame, [frame], self._identities(1), bounds)
                self._finish(after, reduced, {}, None)
            return
        d = order[0]

        def step(i: Value, _: list[Value]) -> list[Value]:
            inner = self.body.enter(frame, {d: i})
            later = after if self.epilogue is None else self.epilogue.enter(after, {d: i})
            if self.epilogue is None:
                later = Frame({**after.positions, d: Linear.of(i)})
            self._outputs(order[1:], inner, later, bounds)
            return []

        self.b.for_(*self._bounds(d, bounds), step)

    def _finish(
        self,
        after: Frame,
        reduced: Sequence[Value],
        positions: dict[int, Subscript],
        lanes: Lanes | None,
    ) -> None:
        """The epilogue, and the results into memory."""
        if self.epilogue is None:
            known = {**after.positions, **{d: Linear.of(s) for d, s in positions.items()}}
            frame, values = Frame(known, {}, lanes), list(reduced)
        else:
            frame = self.epilogue.enter(after, positions, lanes, reduced)
            values = self.epilogue.outputs(frame)
        for value, access in zip(values, self.nest.outputs, strict=True):
            store(self.b, value, access, frame)

    # Outputs along the lanes

    def _output_vectors(self, frame: Frame, after: Frame, bounds: Bounds) -> None:
        d, lanes, blocks = self.plan.vector, self.plan.lanes, self.plan.blocks
        lower, upper = self._bounds(d, bounds)
        size = self.nest.sizes[d]

        def columns(at: Subscript, all_lanes: Sequence[Lanes]) -> None:
            places = [Linear.of(at) + u * lanes for u in range(len(all_lanes))]
            frames = self.body.enter_all(
                [
                    Entry(frame, {d: place}, each)
                    for place, each in zip(places, all_lanes, strict=True)
                ]
            )
            dims = self.nest.reduction_dims
            inits = self._identities(all_lanes[0].count) * len(frames)
            sums = self._accumulate(dims, frame, frames, inits, bounds)
            count = len(self.types)
            for u, (place, each) in enumerate(zip(places, all_lanes, strict=True)):
                self._finish(after, sums[u * count : (u + 1) * count], {d: place}, each)

        def groups(lower: Subscript, upper: Subscript, lanes: Sequence[Lanes]) -> None:
            def group(i: Value, _: list[Value]) -> list[Value]:
                columns(i, lanes)
                return []

            self.b.for_(lower, upper, group, step=sum(each.count for each in lanes))

        b, vector = self.b, Lanes(d, lanes)
        middle = part_before(b, upper, size, lanes * blocks)
        groups(lower, middle, [vector] * blocks)
        whole, left = divmod(size % (lanes * blocks), lanes)
        if left and self.machine.has_masks:
            groups(middle, upper, [*[vector] * whole, Lanes(d, lanes, b.tail_mask(left, lanes))])
            return
        if whole:
            end = part_before(b, upper, size, lanes)
            groups(middle, end, [vector] * whole)
            middle = end
        if left:
            groups(middle, upper, [Lanes(d, 1)])

    def _accumulate(
        self,
        dims: Sequence[int],
        shared: Frame,
        frames: Sequence[Frame],
        sums: list[Value],
        bounds: Bounds,
    ) -> list[Value]:
        """Loops over `dims` that combine the points of every frame into its sums.

        What does not depend on the lanes is computed in `shared`, once for all frames.
        """
        if not dims:
            count = len(self.types)
            out: list[Value] = []
            for u, frame in enumerate(frames):
                out += self._combine_point(frame, sums[u * count : (u + 1) * count])
            return out
        d = dims[0]

        def step(i: Value, carried: list[Value]) -> list[Value]:
            common = self.body.enter(shared, {d: i})
            inner = self.body.enter_all([Entry(_merged(common, frame), {}) for frame in frames])
            return self._accumulate(dims[1:], common, inner, carried, bounds)

        known = at(shared.positions)
        vector = frames[0].positions.get(self.plan.vector)
        if vector is not None:
            known[self.plan.vector] = Spread(vector, self.plan.lanes * len(frames))
        terms = self._terms(dims[1:])
        within = partial(self._within, d, known)
        whole = self._bounds(d, bounds)
        return self._repeat(within, whole, 1, self.counts[d], step, sums, terms)

    def _within(self, dimension: int, known: Known, whole: Range, unit: int) -> Range:
        """The part of a range of subscripts in which some point counts, in steps of `unit`."""
        return self.domain.within(dimension, whole, known, unit)

    def _terms(self, dims: Sequence[int]) -> int:
        """How many terms loops over `dims` add to the sums they are given."""
        terms = 1
        for d in reversed(dims):
            terms = _added(self.counts[d], terms)
        return terms

    def _repeat(
        self,
        within: Callable[[Range, int], Range],
        whole: Range,
        step: int,
        count: int,
        body: Step,
        sums: list[Value],
        terms: int = 1,
        together: int = 1,
    ) -> list[Value]:
        """A loop of at most `count` iterations that each add `terms` terms to the sums.

        When these are too many, blocks of them start from nothing and are terms themselves; blocks
        of whole groups of iterations that belong `together`. Where they begin follows from the
        range `whole`, of which iterations that are not `within` are left out.
        """
        b = self.b
        most = _most(terms * together) * together
        if count <= most:
            return b.for_(*within(whole, step), body, sums, step=step)
        span = most * step

        def block(first: Value, carried: list[Value]) -> list[Value]:
            past = b.index(Linear.of(first) + span)
            stop = arith.minimum(b.builder, past, b.index(whole[1]))
            bounds = within((first, stop), step)
            return self._joined(carried, b.for_(*bounds, body, self._fresh(carried), step=step))

        return self._repeat(within, whole, span, -(-count // most), block, sums)

    def _fresh(self, sums: Sequence[Value]) -> list[Value]:
        """The identity for each of the sums."""
        names = self.nest.combiners
        return [
            self.b.constant(kernel.identity_of(names[i % len(names)], dtype_of(v.type)), v.type)
            for i, v in enumerate(sums)
        ]

    def _joined(self, sums: Sequence[Value], more: Sequence[Value]) -> list[Value]:
        count = len(self.types)
        out: list[Value] = []
        for i in range(0, len(sums), count):
            out += self._combine(sums[i : i + count], more[i : i + count])
        return out

    # Elements along the lanes

    def _along_lanes(self, frame: Frame, bounds: Bounds) -> list[Value]:
        """Reduce everything for one output; the results are scalars."""
        blocks = self.plan.blocks
        count = len(self.types)
        sums = self._identities(self.plan.lanes) * blocks
        if self._has_single_tail():
            sums += self._identities(1)
        outer = [d for d in self.nest.reduction_dims if d != self.plan.vector]
        sums = self._lane_loops(outer, frame, sums, bounds)
        single, sums = sums[count * blocks :], sums[: count * blocks]
        parts = [sums[u * count : (u + 1) * count] for u in range(blocks)]
        while len(parts) > 1:
            half = (len(parts) + 1) // 2
            pairs = zip(parts[: len(parts) - half], parts[half:], strict=True)
            parts = [*(self._combine(x, y) for x, y in pairs), *parts[len(parts) - half : half]]
        total = self.b.fold_lanes(parts[0], self._combine)
        return self._combine(total, single) if single else total

    def _has_single_tail(self) -> bool:
        return not self.machine.has_masks and bool(
            self.nest.sizes[self.plan.vector] % self.plan.lanes
        )

    def _lane_loops(
        self, dims: Sequence[int], frame: Frame, sums: list[Value], bounds: Bounds
    ) -> list[Value]:
        if not dims:
            return self._lane_blocks(frame, sums, bounds)
        d = dims[0]

        def step(i: Value, carried: list[Value]) -> list[Value]:
            return self._lane_loops(dims[1:], self.body.enter(frame, {d: i}), carried, bounds)

        terms = self._lane_terms()
        for inner in reversed(dims[1:]):
            terms = _added(self.counts[inner], terms)
        within = partial(self._within, d, at(frame.positions))
        whole = self._bounds(d, bounds)
        return self._repeat(within, whole, 1, self.counts[d], step, sums, terms)

    def _lane_terms(self) -> int:
        """How many terms one run over the vector dimension adds to an accumulator."""
        plan = self.plan
        step = plan.round * plan.rounds
        whole, rest = self.counts[plan.vector] // step, self.nest.sizes[plan.vector] % step
        return (_added(whole, plan.rounds) if whole else 0) + (plan.rounds if rest else 0)

    def _lane_blocks(self, frame: Frame, sums: list[Value], bounds: Bounds) -> list[Value]:
        """The vector dimension: rounds of whole rows, and what is left over."""
        b, d, plan = self.b, self.plan.vector, self.plan
        lower, upper = self._bounds(d, bounds)
        size = self.nest.sizes[d]
        step = plan.round * plan.rounds
        whole = part_before(b, upper, size, step)
        count = self.counts[d] // step
        within = partial(self._within, d, at(frame.positions))

        staging = self.staging
        if staging is None:

            def direct(places: Sequence[tuple[Subscript, Lanes]]) -> list[Frame]:
                return self.body.enter_all([Entry(frame, {d: i}, lanes) for i, lanes in places])

            body = self._round(direct, self.vectors)
            rounds = count * plan.rounds
            sums = self._repeat(
                within, (lower, whole), plan.round, rounds, body, sums, together=plan.rounds
            )
            return self._rest(direct, whole, upper, sums)

        def rows(first: Value, carried: list[Value]) -> list[Value]:
            past = b.index(Linear.of(first) + step)
            staging.fill(frame, first, past)
            body = self._round(partial(staging.enter, frame, first), self.vectors)
            return b.for_(first, past, body, carried, step=plan.round)

        sums = self._repeat(within, (lower, whole), step, count, rows, sums, plan.rounds)
        if size % step == 0:
            return sums
        first = b.index(whole)
        staging.fill(frame, first, b.index(upper))
        return self._rest(partial(staging.enter, frame, first), first, upper, sums)

    def _round(self, enter: Enter, vectors: Sequence[Lanes]) -> Step:
        """Neighbouring vectors, one for each of the first accumulators."""
        count = len(self.types)

        def step(i: Value, carried: list[Value]) -> list[Value]:
            out: list[Value] = []
            places = [
                (Linear.of(i) + u * self.plan.lanes, lanes) for u, lanes in enumerate(vectors)
            ]
            for u, inner in enumerate(enter(places)):
                out += self._combine_point(inner, carried[u * count : (u + 1) * count])
            return [*out, *carried[len(vectors) * count :]]

        return step

    def _rest(
        self, enter: Enter, lower: Subscript, upper: Subscript, sums: list[Value]
    ) -> list[Value]:
        """What is left over: rounds, then vectors, of which the last is masked."""
        b, d, plan = self.b, self.plan.vector, self.plan
        size, count = self.nest.sizes[d], len(self.types)

        def single(i: Value, carried: list[Value]) -> list[Value]:
            (inner,) = enter([(i, Lanes(d, 1))])
            return [*carried[:-count], *self._combine_point(inner, carried[-count:])]

        if plan.rounds > 1:
            middle = part_before(b, upper, size, plan.round)
            sums = b.for_(lower, middle, self._round(enter, self.vectors), sums, step=plan.round)
            lower = middle
        whole, left = divmod(size % plan.round, plan.lanes)
        vectors, end = self.vectors[:whole], part_before(b, upper, size, plan.lanes)
        if left and self.machine.has_masks:
            vectors, end = [*vectors, Lanes(d, plan.lanes, b.tail_mask(left, plan.lanes))], upper
        if vectors:
            sums = b.for_(lower, end, self._round(enter, vectors), sums, step=plan.round)
        return b.for_(end, upper, single, sums) if self._has_single_tail() else sums

    # Combining

    def _identities(self, lanes: int) -> list[Value]:
        return [
            self.b.constant(kernel.identity_of(name, dtype), register_type(dtype, lanes))
            for name, dtype in zip(self.nest.combiners, self.types, strict=True)
        ]

    def _combine(self, left: Sequence[Value], right: Sequence[Value]) -> list[Value]:
        return [
            self.b.insert(kernel.COMBINE[name]([x, y])).results[0]
            for name, x, y in zip(self.nest.combiners, left, right, strict=True)
        ]

    def _combine_point(self, frame: Frame, sums: Sequence[Value]) -> list[Value]:
        """The values of a point joined to `sums`, or stored; idle lanes change nothing."""
        b = self.b
        for value, access in zip(self.stored, self.nest.stored, strict=True):
            store(b, frame.values[value], access, frame)
        lanes = frame.lanes.count if frame.lanes is not None else 1
        out: list[Value] = []
        for i, (name, total) in enumerate(zip(self.nest.combiners, sums, strict=True)):
            product = self.products[i]
            if product is not None:
                x, y = (spread(b, frame.values[v], lanes) for v in product.operands)
                x, y = absorbed(b, x, y, product.lhs_absorbs, product.rhs_absorbs)
                joined = b.fma(x, y, total)
            else:
                value = spread(b, frame.values[self.reduced[i]], lanes)
                joined = b.insert(kernel.COMBINE[name]([total, value])).results[0]
            idle = frame.lanes is not None and frame.lanes.mask is not None
            if idle and self.plan.vector in self.nest.reduction_dims:
                mask = mask_of(b, frame.lanes, lanes)
                joined = arith.select(b.builder, mask, joined, total)
            out.append(joined)
        return out


def _most(terms: int) -> int:
    """How many iterations of so many terms each one accumulator takes in."""
    return max(1, MOST_TERMS // max(terms, 1))


def _added(count: int, terms: int) -> int:
    """How many terms `_Reduction._repeat` adds to the sums it is given."""
    most = _most(terms)
    return count * terms if count <= most else _added(-(-count // most), 1)


def _merged(common: Frame, frame: Frame) -> Frame:
    return Frame(
        {**frame.positions, **common.positions}, {**common.values, **frame.values}, frame.lanes
    )


def _product(body: Block, value: Value) -> arith.Product | None:
    """The floating product that `value` is, if only the reduction uses it."""
    op = value.defining_op
    if not isinstance(op, arith.Product) or not dtype_of(value.type).is_float:
        return None
    return op if op.parent is body and len(value.uses) == 1 else None
