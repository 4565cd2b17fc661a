"""Kernels that share rows run on a tile of rows after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from dmc.dialects import func, kernel
from dmc.ir import (
    AffineExpr,
    AffineMap,
    ArrayAttr,
    Block,
    Builder,
    Module,
    Operation,
    Value,
    bytes_of,
    shape_of,
)
from dmc.ir.passes import Pass
from dmc.transforms.common import code_blocks
from dmc.transforms.compose import drop_unused
from dmc.transforms.generics import Read, make_generic, passing
from dmc.transforms.streams.emit import Loop
from dmc.transforms.streams.plan import Axes, Copied, Group, Plan, planned

LEAST_ROWS = 16
"""Fewer rows leave too little work for each kernel."""

LEAST_SAVED = 0.5
"""The part of the traffic that repays a loop."""

LEAST_TILES = 8
"""Tiles that are larger than was asked for are so many at least."""

MOST_TILES = 512
"""Tiles that are added up one after the other, as an accumulator takes in terms."""


@dataclass(frozen=True)
class StreamRows(Pass):
    """Compute what is `large`, and made and read row by row, in tiles of about `tile` bytes.

    The scores and weights of attention are rows of queries times keys, the distances of a
    clustering rows of points times centres: far larger than what they are made from and reduced
    to. Where the rows are independent of each other, all kernels that share them run on one tile
    of rows, then on the next, and what lies between them stays in the caches. What a later loop
    reads again is computed again there, as in Rabe and Staats (2021), "Self-attention does not need
    O(n^2) memory", where that takes less time than moving it.

    Products of matrices that are sums along the rows are added up tile by tile. Sums with an order
    of their own are left outside. With `tasks`, loops around the tiles run in parallel where they
    carry nothing, each in memory of its own.
    """

    name = "stream-rows"
    large: int = 4 << 20
    tile: int = 1 << 19
    tasks: bool = True

    def run(self, module: Module) -> None:
        for function in func.functions(module):
            streamed = [self._stream(block) for block in code_blocks(function)]
            if any(streamed):
                for block in code_blocks(function):
                    drop_unused(block)

    def _stream(self, block: Block) -> bool:
        """Whether anything in a block now comes in tiles."""
        found = False
        for op in block:
            if isinstance(op, kernel.Generic):
                _leave_units_out(op)
        done: set[Value] = set()
        for seed in self._seeds(block):
            made = seed.defining_op
            if seed in done or made is None or made.parent is not block:
                continue
            groups = [self._group(block, seed, axes) for axes in _choices(seed)]
            # Whatever is dissolved with it would grow the same groups.
            done.update(value for group in groups for value in group.dissolved)
            groups = [each for each in groups if seed in each.dissolved and each.copies_few()]
            best = self._best(groups, seed)
            if best is not None:
                _apply(block, best, self.tasks)
                found = True
        return found

    def _seeds(self, block: Block) -> list[Value]:
        """What kernels make that is large, the largest first."""
        made = (value for op in block if isinstance(op, kernel.Generic) for value in op.results)
        return sorted((v for v in made if bytes_of(v) >= self.large), key=bytes_of, reverse=True)

    def _group(self, block: Block, seed: Value, axes: Axes) -> Group:
        group = Group(block, [shape_of(seed.type)[axis] for axis in axes], self.large)
        group.grow(seed, axes)
        return group

    def _best(self, groups: Sequence[Group], seed: Value) -> Plan | None:
        """What saves most with the smallest tiles that save enough.

        What all rows share is moved for each tile, so that small ones may not repay their loop.
        """
        tile = self.tile
        while True:
            plans = [plan for group in groups if (plan := self._plan(group, tile)) is not None]
            best = max(plans, key=lambda plan: plan.saved, default=None)
            if best is not None and best.saved > LEAST_SAVED:
                return best
            tile *= 2
            if tile * LEAST_TILES > bytes_of(seed):
                return None

    def _plan(self, group: Group, tile: int) -> Plan | None:
        rows, size = self._rows(group, tile), group.sizes[-1]
        is_loop = len(group.sizes) > 1 or 2 * rows <= size
        return planned(group, rows) if is_loop and rows else None

    def _rows(self, group: Group, tile: int) -> int:
        """How many rows a tile has: a divisor of all where one is near; 0 if too few would fit."""
        count = size = group.sizes[-1]
        for value, axes in group.dissolved.items():
            each = bytes_of(value)
            for axis in axes:
                each //= shape_of(value.type)[axis]
            count = min(count, tile // max(each, 1))
        if count < min(LEAST_ROWS, size):
            return 0
        count = max(count, -(-size // MOST_TILES))
        return next((n for n in range(count, count // 2, -1) if size % n == 0), count)


def _choices(seed: Value) -> Iterator[Axes]:
    """Axes to stream along: the outer ones by single indexes, the last in tiles."""
    axes = tuple(axis for axis, size in enumerate(shape_of(seed.type)) if size > 1)
    for count in range(len(axes)):
        yield axes[: count + 1]
        if count:
            yield (*axes[: count - 1], axes[count])


def _leave_units_out(op: kernel.Generic) -> None:
    """Let subscripts be single dimensions where what is added to them is always zero."""
    maps = [
        AffineMap(map_.dimensions, tuple(expr.without_units(op.space) for expr in map_.results))
        for map_ in op.operand_maps
    ]
    if maps != list(op.operand_maps):
        op.attributes["maps"] = ArrayAttr((*maps, *op.result_maps))


def _copy(copied: Copied) -> None:
    """Let a member read a copy, one axis for each dimension that it reads along."""
    op, index, dims = copied
    read = op.operand_maps[index]
    sizes = [op.space[d] for d in dims]
    by = [
        AffineExpr.dim(len(dims), dims.index(d)) if d in dims else AffineExpr.number(len(dims), 0)
        for d in range(read.dimensions)
    ]
    source = Read(op.operands[index], read.substitute(by, len(dims), sizes))
    builder = Builder.ahead_of(op)
    made = make_generic(builder, sizes, [source], passing, [AffineMap.identity(len(dims))])
    maps = list(op.affine_maps)
    maps[index] = AffineMap.select(read.dimensions, dims)
    op.set_operand(index, made.results[0])
    op.attributes["maps"] = ArrayAttr(tuple(maps))


def _apply(block: Block, plan: Plan, tasks: bool) -> None:
    """Put loops in the place of the members of a plan."""
    for copied in plan.group.copied():
        _copy(copied)
    order = _in_order(block, plan)
    last = block.terminator
    whole: dict[Value, Value] = {}
    for op in list(block):
        if op is not last and op not in plan.group.members:
            op.detach()
    for step in order:
        if isinstance(step, Operation):
            block.insert(step, last)
            continue
        loop = Loop(plan, step, tasks)
        location = loop.ops[-1].location.by(StreamRows.name)
        made = loop.emit(Builder(block, last, location), whole)
        whole.update(made)
    for old, new in whole.items():
        old.replace_all_uses_with(new)
    for op in reversed(list(block)):
        if op in plan.group.members:
            op.erase()


def _in_order(block: Block, plan: Plan) -> list[Operation | int]:
    """The operations that stay and the numbers of the loops: as they were, as far as can be."""
    members, levels = plan.group.members, plan.levels
    place = {op: i for i, op in enumerate(block)}
    first: dict[Operation | int, int] = {op: i for op, i in place.items() if op not in members}
    del first[block.terminator]
    for number, ops in enumerate(plan.loops):
        first[number] = max((place[op] for op in ops if levels[op] == number), default=0)
    needs: dict[Operation | int, set[Operation | int]] = {}
    for step in first:
        ops = [step] if isinstance(step, Operation) else plan.loops[step]
        makers = {v.defining_op for op in ops for v in op.reads()} - {*ops, None}
        found = {levels[op] if op in members else op for op in makers if op in place}
        needs[step] = found - {step}
    readers: dict[Operation | int, list[Operation | int]] = {step: [] for step in first}
    for step, found in needs.items():
        for need in found:
            readers[need].append(step)
    ready: list[tuple[int, int, Operation | int]] = []
    for step, found in needs.items():
        if not found:
            heappush(ready, (first[step], len(ready), step))
    order: list[Operation | int] = []
    while ready:
        *_, step = heappop(ready)
        order.append(step)
        for reader in readers[step]:
            needs[reader].discard(step)
            if not needs[reader]:
                heappush(ready, (first[reader], len(order) + len(ready), reader))
    return order
