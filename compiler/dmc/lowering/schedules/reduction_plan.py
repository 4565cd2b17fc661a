"""In which order a reduction combines, and how it is divided.

The order of a sum of floats follows from the shape of what is summed, the axes, the element type
and the target: it is planned as if nothing had been fused into it. What combines exactly (extremes,
integers) may be taken as its operands lie.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from dmc.dialects import kernel
from dmc.ir.operation import Block
from dmc.ir.types import MemRefType, dtype_of
from dmc.lowering.machine import Machine
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

MOST_TERMS = 16
"""An accumulator takes in so many terms; then it is a term of another."""

TOGETHER = 512
"""About how many elements of short rows are prepared at a time."""

LIGHT = 6
"""A body of so few operations is repeated for twice as many accumulators of different outputs."""

_FOLD_COST = 20.0
"""Cost of combining lanes and accumulators of one output, in vector operations."""


@dataclass(frozen=True)
class Plan:
    """Dimension `vector` runs along `lanes` lanes, in `blocks` accumulators side by side.

    The elements of the last `joined` dimensions are summed as if these were one, the vector
    dimension, in rows of `row` elements if there are rows; `staged` if an operand is not one along
    them.
    `pieces` divides a reduced dimension: each piece is reduced by itself, then they are combined.
    """

    vector: int
    lanes: int
    blocks: int
    joined: int = 1
    row: int = 0
    staged: bool = False
    pieces: Split | None = None

    @property
    def round(self) -> int:
        """How many elements the accumulators take in at a time."""
        return self.lanes * self.blocks

    @property
    def rounds(self) -> int:
        """How many rounds belong together: those that some whole rows make."""
        if not self.row:
            return 1
        fewest = self.row // math.gcd(self.row, self.round)
        return max(1, TOGETHER // (fewest * self.round)) * fewest

    def moved(self, by: int) -> Plan:
        """The plan of a nest with so many more dimensions in front."""
        pieces = self.pieces
        if pieces is not None:
            pieces = replace(pieces, dimension=pieces.dimension + by)
        return replace(self, vector=self.vector + by, pieces=pieces)


def make_plan(machine: Machine, nest: Nest) -> tuple[Nest, Plan]:
    """The nest with its dimensions arranged, and how to reduce it."""
    if _is_free(nest):
        nest = nest.sorted().fused()
        return nest, _divided(nest, _choose(machine, nest, lanes_for(machine, nest)))
    nest = nest.shrunk()
    if not nest.reduction_dims:
        return nest, along_outputs(machine, nest)
    plain = _plain(nest)
    joined = _short_rows(machine, plain)
    flat = plain.flattened(joined)
    plan = _choose(machine, flat, lanes_for(machine, flat))
    if joined > 1 and plan.vector != len(flat.sizes) - 1:
        flat, joined, plan = plain, 1, along_outputs(machine, plain)
    plan = _divided(flat, replace(plan, joined=joined, row=plain.sizes[-1] if joined > 1 else 0))
    arranged = nest.sorted(reductions=False).fused(reductions=False)
    staged = not arranged.can_join(joined)
    if not staged:
        arranged = arranged.flattened(joined)
    made = replace(plan, staged=staged).moved(arranged.parallel - nest.parallel)
    if plan.vector in flat.reduction_dims:
        return arranged, made
    # Every output is summed by itself, whichever of them are neighbours.
    return arranged, replace(along_outputs(machine, arranged), pieces=made.pieces)


def _short_rows(machine: Machine, nest: Nest) -> int:
    """How many last dimensions to join for the accumulators to be full."""
    if nest.inputs[0].strides[-1] != 1:
        return 1
    enough = lanes_for(machine, nest) * ACCUMULATORS * 2
    joined, size = 1, nest.sizes[-1]
    while joined < len(nest.reduction_dims) and size < enough and nest.can_join(joined + 1):
        joined += 1
        size *= nest.sizes[-joined]
    return joined


def along_outputs(machine: Machine, nest: Nest) -> Plan:
    """Each output is combined one element after another: outputs along the lanes, or one by one."""
    return _choose(machine, nest, lanes_for(machine, nest), elements=False)


def _is_free(nest: Nest) -> bool:
    """Whether the order shows in no result, or is that of the operands as they lie."""
    if not nest.order:
        return True
    types = [dtype_of(value.type) for value in nest.body.terminator.operands]
    pairs = zip(nest.combiners, types, strict=False)
    return all(kernel.combines_exactly(name, dtype) for name, dtype in pairs)


def _plain(nest: Nest) -> Nest:
    """The same reduction of an array in memory, with nothing fused into it."""
    strides = [0] * len(nest.sizes)
    step = 1
    for d in reversed(nest.order):
        strides[d] = step
        step *= nest.sizes[d]
    (type_, *_) = (value.type for value in nest.body.terminator.operands)
    identity = Block([type_])
    identity.insert(kernel.Yield(identity.args))
    (buffer,) = Block([MemRefType((step,), dtype_of(type_))]).args
    inputs = (Access(buffer, tuple(strides)),)
    one = nest.combiners[:1]
    return Nest(nest.sizes, nest.parallel, inputs, (), identity, one)


def _choose(machine: Machine, nest: Nest, lanes: int, elements: bool = True) -> Plan:
    """The cheapest of scalar code, outputs along the lanes, and elements along the lanes."""
    inputs = [a for a in nest.inputs if a.in_memory]
    best, plan = scalar_cost(nest, inputs), Plan(-1, 1, 1)
    if lanes == 1 or nest.points == 0:
        return plan
    outputs = math.prod(nest.sizes[: nest.parallel])
    dims = range(len(nest.sizes)) if elements else nest.parallel_dims
    for d in reversed(dims):
        if not machine.has_masks and nest.sizes[d] < lanes:
            continue
        cost = vector_cost(nest, inputs, d, lanes)
        if d in nest.reduction_dims:
            cost += _FOLD_COST * outputs * len(nest.combiners)
        if cost < best:
            best, plan = cost, Plan(d, lanes, _blocks(machine, nest, d, lanes))
    return plan


def _blocks(machine: Machine, nest: Nest, dimension: int, lanes: int) -> int:
    """How many accumulators there are side by side; of an output by its own size alone."""
    size = nest.sizes[dimension]
    if dimension in nest.reduction_dims:
        return min(ACCUMULATORS, max(1, size // lanes))
    light = sum(1 for _ in nest.body) <= LIGHT
    most = max(1, (2 if light else 1) * ACCUMULATORS // len(nest.combiners))
    return min(most, -(-size // lanes) if machine.has_masks else max(1, size // lanes))


def _divided(nest: Nest, plan: Plan) -> Plan:
    """The plan in pieces where outputs alone would keep few cores busy."""
    time = nanoseconds(nest, plan.lanes)
    units = {plan.vector: plan.round * plan.rounds}
    outer = split(nest.sizes, nest.parallel_dims, time, units)
    pieces = split(nest.sizes, nest.reduction_dims, time, units)
    if pieces is None or (outer is not None and outer.tasks >= min(4, pieces.tasks)):
        return plan
    return replace(plan, pieces=pieces)
