"""Maps that stay maps run on several points at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from dmc.dialects import arith, control, tensor
from dmc.ir import (
    Batched,
    Block,
    Builder,
    DType,
    Module,
    Operation,
    RuleMissing,
    TensorType,
    Value,
    bytes_of,
    shape_of,
)
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op
from dmc.transforms.batch import Batcher, Unbatchable
from dmc.transforms.common import inline_block

MOST_PARTS = 64
"""As many tasks as a loop is divided into at most."""

PART_WORK = 8
"""A private copy of the sums pays when its share of the work is so many times its bytes."""

PART_MEMORY = 4
"""Private copies take at most so many times the memory of all that the map reads and gives."""

FLOP_BYTES = 2.5
"""The bytes that are moved in the time of one operation on numbers."""


@dataclass(frozen=True)
class TileMaps(Pass):
    """Rewrite each `control.map` as a map over tiles of `lanes` points, outer ones first.

    The body is batched over the points of a tile: its values become vectors with one lane for each
    point, loops run until the last lane is done, and lanes that are done keep their values. The
    last tile is moved back to end with the last point, so all tiles are full and read neighbours;
    what it computes again is dropped.

    A map with sums becomes a loop over tiles, or a map over parts that each hold such a loop, with
    sums of their own that are added up behind. There are as many parts as repay what they cost,
    by the sizes alone; so a sum has one order, whatever the number of threads.
    """

    name = "tile-maps"
    lanes: int = 16

    def run(self, module: Module) -> None:
        pending = [op for op in module.walk() if isinstance(op, control.Map)]
        while pending:
            op = pending.pop(0)
            if op.parent is None:  # gone with a map around it, whose tiles do its work
                continue
            made = _summed(op, self.lanes) if op.inits else _tiled(op, self.lanes)
            if made is not None:
                inside = (each for each in made.walk() if each is not made)
                pending += [each for each in inside if isinstance(each, control.Map) and each.inits]


@dataclass(frozen=True)
class _Tiles:
    """The points of a map in row-major order, `lanes` at a time."""

    op: control.Map
    lanes: int

    @property
    def points(self) -> int:
        return prod(self.op.sizes)

    @property
    def count(self) -> int:
        return -(-self.points // self.lanes)

    def emit(self, builder: Builder, tile: Value, sums: Sequence[Value]) -> list[Value]:
        """The body at the points of `tile`: what it yields, with an axis of lanes where it stacks.

        Raises Unbatchable or RuleMissing, with what was emitted so far left behind.
        """
        op = self.op
        if self.lanes == 1:
            at = [_coordinate(builder, tile, *each) for each in self._strides()]
            return list(inline_block(op.body, [*at, *sums], builder))
        batcher = Batcher([self.lanes], divergent=True)
        mine = arith.multiply(builder, tile, arith.index(builder, self.lanes))
        first, mask = mine, None
        if self.points % self.lanes:
            most = arith.index(builder, self.points - self.lanes)
            first = arith.minimum(builder, mine, most)
        axis = tensor.iota(builder, TensorType((self.lanes,), DType.I64))
        point = arith.add(builder, self._spread(builder, first), axis)
        if op.inits and first is not mine:
            new = arith.compare(builder, arith.Direction.GE, point, self._spread(builder, mine))
            mask = Batched(new, (0,))
        for arg, (stride, size) in zip(op.indices, self._strides(), strict=True):
            batcher.values[arg] = Batched(_coordinate(builder, point, stride, size), (0,))
        batcher.add_to(op.sums, [Batched(value) for value in sums], (), (0,))
        try:
            yielded = batcher.run(op.body, builder, mask)
        except (Unbatchable, RuleMissing):
            batcher.abandon()
            raise
        count = len(op.inits)
        stacks = [batcher.align(builder, item, (0,)) for item in yielded[count:]]
        return [*(item.value for item in yielded[:count]), *stacks]

    def _spread(self, builder: Builder, value: Value) -> Value:
        return tensor.broadcast_in_dim(builder, value, (self.lanes,), ())

    def _strides(self) -> list[tuple[int, int | None]]:
        """How each subscript follows from the number of a point; the first needs no remainder."""
        strides: list[tuple[int, int | None]] = []
        stride = self.points
        for axis, size in enumerate(self.op.sizes):
            stride //= size
            strides.append((stride, size if axis else None))
        return strides

    def untiled(self, builder: Builder, value: Value) -> Value:
        """The results of all points from those of all tiles."""
        lead = 1 if self.lanes == 1 else 2
        element = shape_of(value.type)[lead:]
        tiles, lanes, points = self.count, self.lanes, self.points
        rest = points - (tiles - 1) * lanes
        flat = tensor.reshape(builder, value, (tiles * lanes, *element))
        if rest < lanes:
            whole = (tiles - 1) * lanes
            head = tensor.slice_axis(builder, flat, 0, 0, whole)
            tail = tensor.slice_axis(builder, flat, 0, tiles * lanes - rest, tiles * lanes)
            flat = tensor.concatenate(builder, [head, tail], 0)
        return tensor.reshape(builder, flat, (*self.op.sizes, *element))


def _coordinate(builder: Builder, point: Value, stride: int, size: int | None) -> Value:
    """One subscript of a point from its number."""
    if stride != 1:
        by = arith.constant(builder, stride, point.type)
        point = arith.floor_divide(builder, point, by)
    if size is not None:
        point = arith.remainder(builder, point, arith.constant(builder, size, point.type))
    return point


def _builder(op: control.Map) -> Builder:
    builder = Builder.ahead_of(op)
    builder.location = op.location.by(TileMaps.name)
    return builder


# Maps that only stack


def _tiled(op: control.Map, most_lanes: int) -> Operation | None:
    """Replace `op`, unless its body cannot be batched or it has too few points to be worth it."""
    tiles = _Tiles(op, min(most_lanes, prod(op.sizes)))
    if tiles.lanes < 2:
        return None
    block = Block([control.INDEX], ["tile"])
    builder = _builder(op)
    inner = Builder(block, location=builder.location)
    try:
        yielded = tiles.emit(inner, block.args[0], ())
    except (Unbatchable, RuleMissing):
        block.drop_all()
        return None
    control.make_yield(inner, yielded)
    new = control.make_map(builder, [tiles.count], block)
    replace_op(op, [tiles.untiled(builder, value) for value in new.results])
    return new


# Maps with sums


def _summed(op: control.Map, most_lanes: int) -> Operation | None:
    """Replace `op` by loops over its tiles."""
    builder = _builder(op)
    if 0 in op.sizes:
        replace_op(op, [*op.inits, *(arith.zeros(builder, value.type) for value in op.stacks)])
        return None
    tiles = _Tiles(op, min(most_lanes, prod(op.sizes)))
    parts = _parts(op, tiles.count)
    try:
        made, results = _divided(builder, tiles, parts)
    except (Unbatchable, RuleMissing):
        tiles = _Tiles(op, 1)
        made, results = _divided(builder, tiles, _parts(op, tiles.count))
    replace_op(op, results)
    return made


def _parts(op: control.Map, tiles: int) -> int:
    """How many parts have sums of their own."""
    summed = sum(bytes_of(value) for value in op.inits)
    named = summed + sum(map(bytes_of, (*op.results, *op.regions[0].captures())))
    cost = op.cost()
    work = cost.bytes + int(FLOP_BYTES * cost.flops)
    most = min(work // (PART_WORK * summed), PART_MEMORY * named // summed) if summed else tiles
    return max(1, min(MOST_PARTS, tiles, most))


def _divided(builder: Builder, tiles: _Tiles, parts: int) -> tuple[Operation, list[Value]]:
    """A loop over all tiles, or over those of each part, and what `op` gives."""
    count = len(tiles.op.inits)
    if parts == 1:
        every = arith.index(builder, tiles.count)
        loop = _loop(builder, tiles, every, tiles.op.inits, None, parts)
        stacks = [tiles.untiled(builder, value) for value in loop.stacks]
        return loop, [*loop.finals, *stacks]
    block = Block([control.INDEX], ["part"])
    inner = Builder(block, location=builder.location)
    part = block.args[0]
    # Tiles are dealt out in turn: neighbours take about equally long.
    left = arith.subtract(inner, arith.index(inner, tiles.count + parts - 1), part)
    mine = arith.floor_divide(inner, left, arith.index(inner, parts))
    zeros = [arith.zeros(inner, value.type) for value in tiles.op.inits]
    try:
        loop = _loop(inner, tiles, mine, zeros, part, parts)
    except (Unbatchable, RuleMissing):
        block.drop_all()
        raise
    control.make_yield(inner, loop.results)
    new = control.make_map(builder, [parts], block)
    totals = [
        arith.add(builder, init, tensor.reduce_sum(builder, each, (0,)))
        for init, each in zip(tiles.op.inits, new.results, strict=False)
    ]
    stacks = [_dealt(builder, tiles, value) for value in new.results[count:]]
    return new, [*totals, *stacks]


def _loop(
    builder: Builder,
    tiles: _Tiles,
    count: Value,
    inits: Sequence[Value],
    part: Value | None,
    parts: int,
) -> control.For:
    """A loop over the tiles that `part` has, one in `parts`."""
    body = Block([control.INDEX, *(value.type for value in inits)], ["tile"])
    for arg, named in zip(body.args[1:], tiles.op.sums, strict=True):
        arg.name = named.name
    inner = Builder(body, location=builder.location)
    tile, *sums = body.args
    if part is not None:
        tile = arith.multiply(inner, tile, arith.index(inner, parts))
        tile = arith.add(inner, tile, part)
    try:
        yielded = tiles.emit(inner, tile, sums)
    except (Unbatchable, RuleMissing):
        body.drop_all()
        raise
    control.make_yield(inner, yielded)
    most = -(-tiles.count // parts)
    known = most if part is None else -1
    return control.make_for(builder, count, inits, [], body, known, most=most)


def _dealt(builder: Builder, tiles: _Tiles, value: Value) -> Value:
    """What was stacked for each tile of each part, in the order of points."""
    parts, most, *element = shape_of(value.type)
    turned = tensor.transpose(builder, value, (1, 0, *range(2, 2 + len(element))))
    flat = tensor.reshape(builder, turned, (most * parts, *element))
    return tiles.untiled(builder, tensor.slice_axis(builder, flat, 0, 0, tiles.count))
