"""Reductions: partial results in registers, combined by a tree that sizes and machine determine.

Either several outputs lie along the lanes (each accumulates in its own order, one after another),
or the elements of one output do (lanes and accumulators are then combined pairwise). Few outputs
over many elements are cut into fixed chunks whose results are combined in order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dmc.dialects import arith, kernel
from dmc.ir.affine_set import AffineSet
from dmc.ir.operation import Block, Operation, Value
from dmc.ir.types import dtype_of
from dmc.lowering.loop_builder import Linear, LoopBuilder, Subscript, register_type
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.body import Body, Frame, Lanes, absorbed, mask_of, spread, store
from dmc.lowering.schedules.domain import Domain, Spread, at
from dmc.lowering.schedules.elementwise import part_before, vector_blocks
from dmc.lowering.schedules.nest import Access, Nest
from dmc.lowering.schedules.plan import (
    Split,
    lanes_for,
    nanoseconds,
    scalar_cost,
    split,
    vector_cost,
)

ACCUMULATORS = 4
"""Independent chains that hide the latency of an addition."""

_FOLD_COST = 20.0
"""Cost of combining lanes and accumulators of one output, in vector operations."""

COMBINE: dict[str, type[Operation]] = {
    "add": arith.Add,
    "mul": arith.Multiply,
    "max": arith.Maximum,
    "min": arith.Minimum,
}

Bounds = dict[int, tuple[Subscript, Subscript]]
"""The part of some dimensions that a task takes; other dimensions are whole."""


def emit_reduction(b: LoopBuilder, machine: Machine, nest: Nest, parallel: bool) -> None:
    """Emit a nest with reduction dimensions; `parallel` allows tasks."""
    nest = nest.sorted().fused()
    if any(nest.sizes[d] == 0 for d in nest.parallel_dims):
        return
    plan = _choose(machine, nest)
    time = nanoseconds(nest, plan.lanes)
    units = {plan.vector: plan.lanes * plan.blocks}
    outer = split(nest.sizes, nest.parallel_dims, time, units) if parallel else None
    chunks = split(nest.sizes, nest.reduction_dims, time, units) if parallel else None
    if chunks is not None and (outer is None or outer.tasks < min(4, chunks.tasks)):
        _emit_chunks(b, machine, nest, chunks)
    elif outer is not None:
        division = outer

        def run(task: Value) -> None:
            _Reduction(b, machine, nest, plan).emit({division.dimension: division.bounds(b, task)})

        b.parallel(division.tasks, run)
    else:
        _Reduction(b, machine, nest, plan).emit({})


@dataclass(frozen=True)
class _Plan:
    """Dimension `vector` runs along `lanes` lanes, in `blocks` accumulators side by side."""

    vector: int
    lanes: int
    blocks: int


def _choose(machine: Machine, nest: Nest) -> _Plan:
    """The cheapest of scalar code, outputs along the lanes, and elements along the lanes."""
    inputs = [a for a in nest.inputs if a.in_memory]
    lanes = lanes_for(machine, nest)
    best, plan = scalar_cost(nest, inputs), _Plan(-1, 1, 1)
    if lanes == 1 or nest.points == 0:
        return plan
    outputs = math.prod(nest.sizes[: nest.parallel])
    for d in reversed(range(len(nest.sizes))):
        if not machine.has_masks and nest.sizes[d] < lanes:
            continue
        cost = vector_cost(nest, inputs, d, lanes)
        if d in nest.reduction_dims:
            cost += _FOLD_COST * outputs * len(nest.combiners)
        if cost < best:
            blocks = max(1, nest.sizes[d] // lanes)
            most = max(1, ACCUMULATORS // len(nest.combiners))
            best, plan = cost, _Plan(d, lanes, min(most, blocks))
    return plan


def _emit_chunks(b: LoopBuilder, machine: Machine, nest: Nest, division: Split) -> None:
    """Reduce fixed parts of a dimension in tasks, then their results in order."""
    outputs = math.prod(nest.sizes[: nest.parallel])
    dtypes = [dtype_of(v.type) for v in nest.body.terminator.operands]
    partial = [b.alloca((division.tasks * outputs,), dtype) for dtype in dtypes]
    within: list[int] = []
    step = 1
    for d in reversed(nest.parallel_dims):
        within.insert(0, step)
        step *= nest.sizes[d]
    strides = (*within, *(0 for _ in nest.reduction_dims))

    def run(task: Value) -> None:
        start = Linear.of(task) * outputs
        parts = tuple(Access(buffer, strides, start) for buffer in partial)
        part = replace(nest, outputs=parts, extras=(), epilogue=None)
        bounds: Bounds = {division.dimension: division.bounds(b, task)}
        _Reduction(b, machine, part, _choose(machine, part)).emit(bounds)

    b.parallel(division.tasks, run)

    def keep(access: Access) -> Access:
        return replace(access, strides=(*access.strides[: nest.parallel], 0))

    args = [v.type for v in nest.body.terminator.operands]
    identity = Block(args)
    identity.insert(kernel.Yield(identity.args))
    rest = replace(
        nest,
        sizes=(*nest.sizes[: nest.parallel], division.tasks),
        inputs=tuple(Access(buffer, (*within, outputs)) for buffer in partial),
        outputs=tuple(map(keep, nest.outputs)),
        extras=tuple(map(keep, nest.extras)),
        body=identity,
        domain=AffineSet(),
    )
    _Reduction(b, machine, rest, _choose(machine, rest)).emit({})


class _Reduction:
    """Emits one nest by a plan."""

    def __init__(self, b: LoopBuilder, machine: Machine, nest: Nest, plan: _Plan) -> None:
        self.b = b
        self.machine = machine
        self.nest = nest
        self.plan = plan
        self.domain = Domain(b, nest)
        self.body = Body(b, nest, nest.body, nest.inputs)
        self.types = [dtype_of(v.type) for v in self.body.yielded]
        self.products = [
            _product(nest.body, v) if name == "add" else None
            for v, name in zip(self.body.yielded, nest.combiners, strict=True)
        ]
        self.body.left_out = frozenset(op for op in self.products if op is not None)
        self.epilogue = (
            None
            if nest.epilogue is None
            else Body(b, nest, nest.epilogue, nest.extras, given=len(self.types))
        )

    def emit(self, bounds: Bounds) -> None:
        """The whole nest, or the part of it that `bounds` leave."""
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
            frames = [
                self.body.enter(frame, {d: place}, each)
                for place, each in zip(places, all_lanes, strict=True)
            ]
            dims = self.nest.reduction_dims
            inits = self._identities(all_lanes[0].count) * len(frames)
            sums = self._accumulate(dims, frame, frames, inits, bounds)
            count = len(self.types)
            for u, (place, each) in enumerate(zip(places, all_lanes, strict=True)):
                self._finish(after, sums[u * count : (u + 1) * count], {d: place}, each)

        def wide(i: Value, _: list[Value]) -> list[Value]:
            columns(i, [Lanes(d, lanes)] * blocks)
            return []

        if blocks > 1:
            middle = part_before(self.b, upper, size, lanes * blocks)
            self.b.for_(lower, middle, wide, step=lanes * blocks)
            lower = middle
        vector_blocks(
            self.b,
            self.machine,
            d,
            size,
            lanes,
            (lower, upper),
            lambda i, each: columns(i, [each]),
        )

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
            inner = [self.body.enter(_merged(common, frame), {}) for frame in frames]
            return self._accumulate(dims[1:], common, inner, carried, bounds)

        known = at(shared.positions)
        vector = frames[0].positions.get(self.plan.vector)
        if vector is not None:
            known[self.plan.vector] = Spread(vector, self.plan.lanes * len(frames))
        return self.b.for_(*self.domain.within(d, self._bounds(d, bounds), known), step, sums)

    # Elements along the lanes

    def _along_lanes(self, frame: Frame, bounds: Bounds) -> list[Value]:
        """Reduce everything for one output; the results are scalars."""
        vector, blocks = self.plan.vector, self.plan.blocks
        count = len(self.types)
        dims = [d for d in self.nest.reduction_dims if d != vector]
        sums = self._identities(self.plan.lanes) * blocks
        if self._has_single_tail():
            sums += self._identities(1)
        sums = self._lane_loops(dims, frame, sums, bounds)
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

        known = at(frame.positions)
        return self.b.for_(*self.domain.within(d, self._bounds(d, bounds), known), step, sums)

    def _lane_blocks(self, frame: Frame, sums: list[Value], bounds: Bounds) -> list[Value]:
        """The vector dimension: several vectors at a time, then one, then the masked rest."""
        d, lanes, blocks = self.plan.vector, self.plan.lanes, self.plan.blocks
        known = at(frame.positions)
        # Whole rounds of the accumulators, for each element to go to its own.
        lower, upper = self.domain.within(d, self._bounds(d, bounds), known, lanes * blocks)
        size = self.nest.sizes[d]
        count = len(self.types)

        def wide(i: Value, carried: list[Value]) -> list[Value]:
            out: list[Value] = []
            for u in range(blocks):
                at = Linear.of(i) + u * lanes
                inner = self.body.enter(frame, {d: at}, Lanes(d, lanes))
                out += self._combine_point(inner, carried[u * count : (u + 1) * count])
            return [*out, *carried[blocks * count :]]

        def narrow(i: Value, carried: list[Value]) -> list[Value]:
            inner = self.body.enter(frame, {d: i}, Lanes(d, lanes))
            return [*self._combine_point(inner, carried[:count]), *carried[count:]]

        def masked(i: Value, carried: list[Value]) -> list[Value]:
            left = Linear.of(upper) + Linear.of(i) * -1
            mask = self.b.tail_mask(left, lanes)
            inner = self.body.enter(frame, {d: i}, Lanes(d, lanes, mask))
            return [*self._combine_point(inner, carried[:count]), *carried[count:]]

        def single(i: Value, carried: list[Value]) -> list[Value]:
            inner = self.body.enter(frame, {d: i}, Lanes(d, 1))
            return [*carried[:-count], *self._combine_point(inner, carried[-count:])]

        b = self.b
        if blocks > 1:
            middle = part_before(b, upper, size, lanes * blocks)
            sums = b.for_(lower, middle, wide, sums, step=lanes * blocks)
            lower = middle
        middle = part_before(b, upper, size, lanes)
        sums = b.for_(lower, middle, narrow, sums, step=lanes)
        if size % lanes == 0:
            return sums
        if self.machine.has_masks:
            return b.for_(middle, upper, masked, sums, step=lanes)
        return b.for_(middle, upper, single, sums)

    # Combining

    def _identities(self, lanes: int) -> list[Value]:
        return [
            self.b.constant(kernel.identity_of(name, dtype), register_type(dtype, lanes))
            for name, dtype in zip(self.nest.combiners, self.types, strict=True)
        ]

    def _combine(self, left: Sequence[Value], right: Sequence[Value]) -> list[Value]:
        return [
            self.b.insert(COMBINE[name]([x, y])).results[0]
            for name, x, y in zip(self.nest.combiners, left, right, strict=True)
        ]

    def _combine_point(self, frame: Frame, sums: Sequence[Value]) -> list[Value]:
        """The values of a point joined to `sums`; idle lanes change nothing."""
        b = self.b
        lanes = frame.lanes.count if frame.lanes is not None else 1
        out: list[Value] = []
        for i, (name, total) in enumerate(zip(self.nest.combiners, sums, strict=True)):
            product = self.products[i]
            if product is not None:
                x, y = (spread(b, frame.values[v], lanes) for v in product.operands)
                x, y = absorbed(b, x, y, product.lhs_absorbs, product.rhs_absorbs)
                joined = b.fma(x, y, total)
            else:
                value = spread(b, frame.values[self.body.yielded[i]], lanes)
                joined = b.insert(COMBINE[name]([total, value])).results[0]
            idle = frame.lanes is not None and frame.lanes.mask is not None
            if idle and self.plan.vector in self.nest.reduction_dims:
                mask = mask_of(b, frame.lanes, lanes)
                joined = arith.select(b.builder, mask, joined, total)
            out.append(joined)
        return out


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
