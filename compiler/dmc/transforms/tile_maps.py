"""Maps that stay maps run on several points at once."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from dmc.dialects import arith, control, tensor
from dmc.ir import (
    Batched,
    Block,
    Builder,
    DType,
    Module,
    RuleMissing,
    TensorType,
    Value,
    shape_of,
)
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op
from dmc.transforms.batch import Batcher, Unbatchable, erase_between


@dataclass(frozen=True)
class TileMaps(Pass):
    """Rewrite each `control.map` as a map over tiles of `lanes` points, outer ones first.

    The body is batched over the points of a tile: its values become vectors with one lane for each
    point, loops run until the last lane is done, and lanes that are done keep their values. The
    last tile is moved back to end with the last point, so all tiles are full and read neighbours;
    what it computes again is dropped.
    """

    name = "tile-maps"
    lanes: int = 16

    def run(self, module: Module) -> None:
        for op in list(module.walk()):
            is_gone = op.parent is None  # with a map around it, whose tiles do its work
            if isinstance(op, control.Map) and not is_gone:
                _tile(op, self.lanes)


def _tile(op: control.Map, most_lanes: int) -> None:
    """Replace `op`, unless its body cannot be batched or it has too few points to be worth it."""
    points = prod(op.sizes)
    lanes = min(most_lanes, points)
    if lanes < 2:
        return
    assert op.parent is not None
    start = op.previous
    builder = Builder.ahead_of(op)
    builder.location = op.location.by(TileMaps.name)
    tiles = -(-points // lanes)
    block = Block([control.INDEX], ["tile"])
    inner = Builder(block, location=builder.location)
    batcher = Batcher([lanes], divergent=True)
    first = arith.multiply(inner, block.args[0], arith.index(inner, lanes))
    if points % lanes:
        first = arith.minimum(inner, first, arith.index(inner, points - lanes))
    axis = tensor.iota(inner, TensorType((lanes,), DType.I64))
    point = arith.add(inner, tensor.broadcast_in_dim(inner, first, (lanes,), ()), axis)
    stride = points
    for arg, size in zip(op.body.args, op.sizes, strict=True):
        stride //= size
        index = _coordinate(inner, point, stride, size if arg is not op.body.args[0] else None)
        batcher.values[arg] = Batched(index, (0,))
    try:
        elements = batcher.run(op.body, inner, None)
    except (Unbatchable, RuleMissing):
        batcher.abandon()
        block.drop_all()
        erase_between(op.parent, start, op)
        return
    control.make_yield(inner, [batcher.align(inner, item, (0,)) for item in elements])
    tiled = control.make_map(builder, [tiles], block)
    replace_op(op, [_untiled(builder, value, op.sizes, lanes) for value in tiled.results])


def _coordinate(builder: Builder, point: Value, stride: int, size: int | None) -> Value:
    """One subscript of a point from its number; the first needs no remainder."""
    if stride != 1:
        by = arith.constant(builder, stride, point.type)
        point = arith.floor_divide(builder, point, by)
    if size is not None:
        point = arith.remainder(builder, point, arith.constant(builder, size, point.type))
    return point


def _untiled(builder: Builder, value: Value, sizes: tuple[int, ...], lanes: int) -> Value:
    """The results of all points from those of all tiles."""
    tiles, _, *element = shape_of(value.type)
    points = prod(sizes)
    rest = points - (tiles - 1) * lanes
    flat = tensor.reshape(builder, value, (tiles * lanes, *element))
    if rest < lanes:
        whole = (tiles - 1) * lanes
        head = tensor.slice_axis(builder, flat, 0, 0, whole)
        tail = tensor.slice_axis(builder, flat, 0, tiles * lanes - rest, tiles * lanes)
        flat = tensor.concatenate(builder, [head, tail], 0)
    return tensor.reshape(builder, flat, (*sizes, *element))
