"""A kernel on some of its rows: one index of the outer classes, a tile of the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmc.dialects import arith, kernel
from dmc.dialects.control import INDEX
from dmc.ir import AffineExpr, AffineMap, Block, Builder, Operation, Value, dtype_of, shape_of
from dmc.transforms.generics import Read, assemble, block_of, index, make_generic, passing
from dmc.transforms.streams.plan import Axes


@dataclass(frozen=True)
class Tile:
    """Rows: one index of each outer class, `rows` of the last from where it begins."""

    begins: Sequence[Value | None]
    """0-d integers; None is 0."""
    rows: int


@dataclass(frozen=True)
class Local:
    """What stands for a value in a tile, and which axes of the value it has, in order."""

    value: Value
    axes: Sequence[int]


class Rows:
    """What is left of a kernel in a tile: its dimensions are numbered anew."""

    def __init__(self, op: kernel.Generic, dims: Axes, tile: Tile) -> None:
        self.op = op
        self.tile = tile
        self.classes = {d: c for c, d in enumerate(dims)}
        outer = set(dims[:-1])
        if op.reduction and outer.issuperset(op.reduction):
            outer.discard(op.reduction[-1])  # of one index, so that there still is a reduction
        self.kept = [d for d in range(len(op.space)) if d not in outer]
        self.number = {d: i for i, d in enumerate(self.kept)}
        last = {dims[-1]: tile.rows}
        self.sizes = [last.get(d, 1 if d in dims else op.space[d]) for d in self.kept]
        rank = len(self.kept)
        self.by = [
            AffineExpr.dim(rank, self.number[d]) if d in self.number else AffineExpr.number(rank, 0)
            for d in range(len(op.space))
        ]

    def made(
        self, builder: Builder, operands: Sequence[Local], results: Sequence[Sequence[int]]
    ) -> Operation:
        """The kernel, whose results have these axes of the whole ones."""
        op = self.op
        body, after = (inner.clone({}).block for inner in op.regions)
        reads = [*self._reads(operands[: op.body_count]), *self._begins(body)]
        more = [*self._reads(operands[op.body_count :], op.body_count), *self._begins(after)]
        if not op.reduction:
            after, more = self._plain(body), []
        pairs = zip(op.result_maps, results, strict=True)
        writes = [self._map(map_, axes) for map_, axes in pairs]
        return self._assembled(builder, reads, body, writes, more, after)

    def added(
        self,
        builder: Builder,
        operands: Sequence[Local],
        dims: Sequence[int],
        sums: Sequence[Value],
    ) -> Operation:
        """The reduction without the epilogue, joined to `sums`, whose axes are `dims`."""
        op = self.op
        body = op.regions[0].clone({}).block
        reads = [*self._reads(operands[: op.body_count]), *self._begins(body)]
        picked = AffineMap.select(len(self.kept), [self.number[d] for d in dims])
        count = len(sums)

        def joined(inner: Builder, args: list[Value]) -> list[Value]:
            pairs = zip(op.combiner_names, args[count:], args[:count], strict=True)
            return [inner.insert(kernel.COMBINE[name]([x, y])).results[0] for name, x, y in pairs]

        dtypes = [dtype_of(value.type) for value in sums]
        after = block_of([*dtypes, *dtypes], joined, builder.location)
        more = [Read(value, picked) for value in sums]
        return self._assembled(builder, reads, body, [picked] * count, more, after)

    def _assembled(
        self,
        builder: Builder,
        reads: Sequence[Read],
        body: Block,
        writes: Sequence[AffineMap],
        more: Sequence[Read],
        after: Block,
    ) -> Operation:
        op = self.op
        reduced = sum(d in self.number for d in op.reduction)
        order = [self.number[d] for d in op.order if d in self.number]
        names = [value.name for value in op.results]
        combiners = op.combiner_names
        return assemble(
            builder, self.sizes, reads, body, writes, combiners, reduced, more, after, names, order
        )

    def _plain(self, body: Block) -> Block:
        dtypes = [dtype_of(value.type) for value in body.terminator.operands]
        return block_of(dtypes, passing, body.terminator.location)

    def _reads(self, operands: Sequence[Local], first: int = 0) -> list[Read]:
        maps = self.op.operand_maps[first:]
        pairs = zip(operands, maps, strict=False)
        return [Read(local.value, self._map(map_, local.axes)) for local, map_ in pairs]

    def _map(self, map_: AffineMap, axes: Sequence[int]) -> AffineMap:
        left = AffineMap(map_.dimensions, tuple(map_.results[axis] for axis in axes))
        return left.substitute(self.by, len(self.kept), self.sizes)

    def _begins(self, block: Block) -> list[Read]:
        """Let the indexes in a block count from where the rows begin; what it reads for that."""
        args: dict[int, Value] = {}
        for op in list(block):
            if isinstance(op, kernel.Inside):
                op.attributes["map"] = op.map.substitute(self.by, len(self.kept), self.sizes)
            if not isinstance(op, kernel.Index):
                continue
            d, inner = op.dim, Builder.ahead_of(op)
            known = self.classes.get(d)
            begin = None if known is None else self.tile.begins[known]
            here = index(inner, self.number[d]) if d in self.number else None
            if known is not None and begin is not None:
                if known not in args:
                    args[known] = block.add_arg(INDEX)
                here = args[known] if here is None else arith.add(inner, args[known], here)
            assert here is not None
            op.output.replace_all_uses_with(here)
            op.erase()
        point = AffineMap(len(self.kept), ())
        found: list[Read] = []
        for known in args:
            begin = self.tile.begins[known]
            assert begin is not None
            found.append(Read(begin, point))
        return found


def filled(builder: Builder, value: float, like: Value, shape: Sequence[int]) -> Value:
    """A tensor of the element type of `like`, one number everywhere."""

    def code(inner: Builder, _: list[Value]) -> list[Value]:
        return [arith.scalar(inner, value, dtype_of(like.type))]

    return make_generic(builder, shape, [], code, [AffineMap.identity(len(shape))]).results[0]


def combined(builder: Builder, combiner: str, x: Value, y: Value) -> Value:
    """Two partial results as one."""
    shape = shape_of(x.type)
    alike = AffineMap.identity(len(shape))

    def code(inner: Builder, args: list[Value]) -> list[Value]:
        return list(inner.insert(kernel.COMBINE[combiner](args)).results)

    reads = [Read(x, alike), Read(y, alike)]
    return make_generic(builder, shape, reads, code, [alike]).results[0]


def transposed(builder: Builder, value: Value, order: Sequence[int]) -> Value:
    """The axes of a tensor in another order."""
    if list(order) == sorted(order):
        return value
    shape = shape_of(value.type)
    rank = len(order)
    read = AffineMap.select(rank, [list(order).index(axis) for axis in range(rank)])
    sizes = [shape[axis] for axis in order]
    return _moved(builder, value, sizes, read)


def part(builder: Builder, value: Value, begin: int, count: int) -> Value:
    """Some of the rows of a tensor."""
    sizes = [count, *shape_of(value.type)[1:]]
    first, *others = AffineMap.identity(len(sizes)).results
    read = AffineMap(len(sizes), (first.plus(begin), *others))
    return _moved(builder, value, sizes, read)


def _moved(builder: Builder, value: Value, sizes: Sequence[int], read: AffineMap) -> Value:
    writes = [AffineMap.identity(len(sizes))]
    return make_generic(builder, sizes, [Read(value, read)], passing, writes).results[0]


def view(builder: Builder, value: Value, shape: Sequence[int]) -> Value:
    """The same elements under another shape."""
    if tuple(shape) == shape_of(value.type):
        return value
    return builder.insert(kernel.View([value], {"shape": tuple(shape)})).output
