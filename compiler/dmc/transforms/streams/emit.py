"""Loops over the outer classes and the tiles of the last one, around what a plan puts into them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dmc.dialects import arith, control, kernel
from dmc.dialects.control import INDEX
from dmc.ir import AffineExpr, AffineMap, Block, Builder, TensorType, Value, dtype_of, shape_of
from dmc.transforms.generics import Read, assemble, block_of, passing
from dmc.transforms.streams.plan import Plan, Sliced
from dmc.transforms.streams.rows import Local, Rows, Tile, combined, filled, part, transposed, view


@dataclass(frozen=True)
class _Sum:
    """One partial result of a member that adds rows up, begun outside the loop of class `first`."""

    op: kernel.Generic
    index: int
    first: int


@dataclass(frozen=True)
class _Nest:
    """The values at one depth of a nest: what is read, and the sums so far."""

    inputs: Mapping[tuple[Value, Sliced], Value]
    begins: Sequence[Value]
    sums: Mapping[_Sum, Value]


@dataclass(frozen=True)
class _Out:
    """What leaves one depth: rows along leading axes, and sums."""

    rows: Sequence[Value]
    sums: Mapping[_Sum, Value]


_Body = Callable[[Builder, Value, _Nest], _Out]
"""What is in a loop, from its index and the values inside."""


LEAST_TASKS = 8
"""A loop around tiles whose iterations are independent, and as many, runs them as tasks: what a
tile makes stays in the caches of one processor."""


class Loop:
    """One loop of a plan; `tasks` says whether iterations may run in parallel."""

    def __init__(self, plan: Plan, level: int, tasks: bool) -> None:
        self.plan = plan
        self.tasks = tasks
        self.group = plan.group
        self.level = level
        self.ops = plan.loops[level]
        self.rows = plan.rows
        self.sizes = plan.group.sizes
        self.last = len(self.sizes) - 1
        self.leaving = plan.leaving(level)
        self.sums = [
            _Sum(op, i, [d in op.reduction for d in self.group.members[op]].index(True))
            for op in self.ops
            if self.group.sums(op)
            for i in range(len(op.combiner_names))
        ]

    def emit(self, builder: Builder, whole: Mapping[Value, Value]) -> dict[Value, Value]:
        """Run the members; gives what stands for their results outside."""
        inputs: dict[tuple[Value, Sliced], Value] = {}
        for op in self.ops:
            for i, value in enumerate(op.operands):
                if not self.plan.makes(self.level, op, i):
                    axes = self.plan.sliced(op, i)
                    front = [axis for axis in axes if axis is not None]
                    order = [*front, *_others(value, front)]
                    if (value, axes) not in inputs:
                        lies = whole.get(value, value)
                        inputs[value, axes] = transposed(builder, lies, order)
        out = self._nest(builder, 0, _Nest(inputs, [], {}))
        made: dict[Value, Value] = {}
        for value, rows in zip(self.leaving, out.rows, strict=True):
            front = self._row_axes(value)
            order = [*front, *_others(value, front)]
            made[value] = transposed(builder, rows, [order.index(i) for i in range(len(order))])
        for op in dict.fromkeys(each.op for each in self.sums):
            mine = [out.sums[each] for each in self.sums if each.op is op]
            made.update(zip(op.results, self._finished(builder, op, mine, whole), strict=True))
        return made

    # Where values lie

    def _row_axes(self, value: Value) -> list[int]:
        axes = self.group.axes(value)
        assert axes is not None
        return list(axes)

    def _local_axes(self, value: Value) -> list[int]:
        """The axes of a value in a tile: what leaves has its rows first."""
        *outer, last = self._row_axes(value)
        if value in self.leaving:
            return [last, *_others(value, [*outer, last])]
        return _others(value, outer)

    # The nest

    def _nest(self, builder: Builder, depth: int, at: _Nest) -> _Out:
        if depth == self.last:
            return self._tiles(builder, at)
        size = self.sizes[depth]

        def body(b: Builder, _: Value, inner: _Nest) -> _Out:
            return self._nest(b, depth + 1, inner)

        return self._loop(builder, depth, size, at, body)

    def _tiles(self, builder: Builder, at: _Nest) -> _Out:
        size, rows = self.sizes[self.last], self.rows
        count, rest = divmod(size, rows)
        if count < 2:
            return self._tile(builder, at, Tile([*at.begins, None], size))
        cut = self._cut(builder, at, 0, count * rows)
        shaped = {
            key: value
            if key[1][self.last] is None
            else view(builder, value, (count, rows, *shape_of(value.type)[1:]))
            for key, value in cut.inputs.items()
        }

        def body(b: Builder, tile: Value, inner: _Nest) -> _Out:
            begin = arith.multiply(b, tile, arith.index(b, rows))
            return self._tile(b, inner, Tile([*at.begins, begin], rows))

        whole = self._loop(builder, self.last, count, _Nest(shaped, at.begins, at.sums), body)
        flat = [view(builder, v, (count * rows, *shape_of(v.type)[2:])) for v in whole.rows]
        if not rest:
            return _Out(flat, whole.sums)
        left = self._cut(builder, at, count * rows, rest)
        tile = Tile([*at.begins, arith.index(builder, count * rows)], rest)
        end = self._tile(builder, _Nest(left.inputs, at.begins, whole.sums), tile)
        pairs = zip(flat, end.rows, strict=True)
        joined = [builder.insert(kernel.Concatenate([x, y], {"axis": 0})).output for x, y in pairs]
        return _Out(joined, end.sums)

    def _cut(self, builder: Builder, at: _Nest, begin: int, count: int) -> _Nest:
        if count == self.sizes[self.last]:
            return at
        inputs = {
            key: part(builder, value, begin, count) if key[1][self.last] is not None else value
            for key, value in at.inputs.items()
        }
        return _Nest(inputs, at.begins, at.sums)

    def _loop(self, builder: Builder, depth: int, count: int, at: _Nest, body: _Body) -> _Out:
        carried = [each for each in self.sums if each.first <= depth]
        # Each loop adds to sums of its own: none takes in more terms than it runs.
        inits = [self._begun(builder, s) for s in carried]
        scanned = [key for key in at.inputs if key[1][depth] is not None]
        types = [INDEX, *(v.type for v in inits)]
        types += [_row_type(at.inputs[key]) for key in scanned]
        block = Block(types, ["tile" if depth == self.last else "row"])
        index, *args = block.args
        sums = dict(zip(carried, args, strict=False))
        slices = dict(zip(scanned, args[len(carried) :], strict=True))
        inner = Builder(block, location=builder.location)
        begins = at.begins if depth == self.last else [*at.begins, index]
        out = body(inner, index, _Nest({**at.inputs, **slices}, begins, sums))
        whole = [each for each in self.sums if each.first > depth]
        control.make_yield(inner, [*(out.sums[s] for s in (*carried, *whole)), *out.rows])
        values = [at.inputs[key] for key in scanned]
        trips = arith.index(builder, count)
        tasks = self.tasks and count >= LEAST_TASKS and depth < self.last and not inits
        op = control.make_for(builder, trips, inits, values, block, count, tasks=tasks)
        stacks = op.stacks
        totals = dict(zip([*carried, *whole], [*op.finals, *stacks], strict=False))
        for each, before in at.sums.items():
            name = each.op.combiner_names[each.index]
            totals[each] = combined(builder, name, before, totals[each])
        return _Out(stacks[len(whole) :], totals)

    def _begun(self, builder: Builder, each: _Sum) -> Value:
        """A sum of nothing."""
        reduced = each.op.body.terminator.operands[each.index]
        combiner = each.op.combiner_names[each.index]
        shape = [each.op.space[d] for d in self._sum_dims(each.op)]
        return filled(builder, kernel.identity_of(combiner, dtype_of(reduced.type)), reduced, shape)

    def _sum_dims(self, op: kernel.Generic) -> list[int]:
        """The dimensions of a sum in a tile, in the order of its axes."""
        picked = op.result_maps[0].picked() or ()
        outer = self.group.members[op][:-1]
        return [d for d in picked if d not in outer]

    # One tile

    def _tile(self, builder: Builder, at: _Nest, tile: Tile) -> _Out:
        made: dict[Value, Local] = {}
        sums: dict[_Sum, Value] = {}
        for op in self.ops:
            builder.location = op.location
            rows = Rows(op, self.group.members[op], tile)
            operands = [self._operand(op, i, at, made) for i in range(len(op.operands))]
            if self.group.sums(op):
                mine = [each for each in self.sums if each.op is op]
                begun = [at.sums[s] if s in at.sums else self._begun(builder, s) for s in mine]
                new = rows.added(builder, operands, self._sum_dims(op), begun)
                sums.update(zip(mine, new.results, strict=True))
            else:
                axes = [self._local_axes(value) for value in op.results]
                new = rows.made(builder, operands, axes)
                pairs = zip(op.results, new.results, axes, strict=True)
                made.update((old, Local(value, kept)) for old, value, kept in pairs)
        return _Out([made[value].value for value in self.leaving], sums)

    def _operand(
        self, op: kernel.Generic, index: int, at: _Nest, made: Mapping[Value, Local]
    ) -> Local:
        value = op.operands[index]
        if self.plan.makes(self.level, op, index):
            return made[value]
        axes = self.plan.sliced(op, index)
        gone = [axis for axis in axes[:-1] if axis is not None]
        front = [] if axes[-1] is None else [axes[-1]]
        return Local(at.inputs[value, axes], [*front, *_others(value, [*gone, *front])])

    # Behind the nest

    def _finished(
        self,
        builder: Builder,
        op: kernel.Generic,
        sums: Sequence[Value],
        whole: Mapping[Value, Value],
    ) -> Sequence[Value]:
        """The results of a member from its sums: what its epilogue makes of them."""
        first = next(each.first for each in self.sums if each.op is op)
        dims = [*self.group.members[op][:first], *self._sum_dims(op)]
        rank = len(op.parallel)
        passes = list(op.epilogue.terminator.operands) == op.epilogue.args
        lies = AffineMap.select(rank, dims)
        cut = [_over(map_, rank) for map_ in op.result_maps]
        if passes and not op.epilogue_operands and all(map_ == lies for map_ in cut):
            return sums
        pairs = zip(op.epilogue_inputs, op.operand_maps[op.body_count :], strict=True)
        extra = [Read(whole.get(value, value), _over(map_, rank)) for value, map_ in pairs]
        reads = [*(Read(value, lies) for value in sums), *extra]
        body = op.regions[1].clone({}).block
        dtypes = [dtype_of(value.type) for value in body.terminator.operands]
        after = block_of(dtypes, passing, builder.location)
        names = [value.name for value in op.results]
        sizes = op.parallel_sizes
        return assemble(builder, sizes, reads, body, cut, (), 0, (), after, names).results


def _over(map_: AffineMap, rank: int) -> AffineMap:
    """A map that uses the first `rank` dimensions only, as one over these."""
    by = [
        AffineExpr.dim(rank, d) if d < rank else AffineExpr.number(rank, 0)
        for d in range(map_.dimensions)
    ]
    return map_.substitute(by, rank, [])


def _others(value: Value, axes: Sequence[int]) -> list[int]:
    return [axis for axis in range(len(shape_of(value.type))) if axis not in axes]


def _row_type(value: Value) -> TensorType:
    return TensorType(shape_of(value.type)[1:], dtype_of(value.type))
