"""Batching a region: what it computes at every point of an index space, computed at once.

Each value inside becomes a `Batched` value outside: a whole tensor with those axes of the index
space leading that the value depends on. So what depends on no index is computed once, and what
depends on some is computed for those alone. Operations say in `batch` how they do it; control
flow, which holds regions, is done here:

- a condition or trip count that is the same at all points stays control flow over whole tensors;
- with a condition that differs, both branches are computed and selected from;
- with a trip count or loop condition that differs, the loop runs until the last point is done and
  points that are done keep their values (as lanes under a mask do);
- a sum to which all points add stays one tensor, to which they add at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dmc.dialects import arith, control, tensor
from dmc.dialects.tensor import align, union
from dmc.ir import (
    Batched,
    Block,
    Builder,
    DType,
    Operation,
    TapeType,
    TensorType,
    Trait,
    Value,
    shape_of,
)
from dmc.transforms.order import reads_of
from dmc.transforms.scalarize import is_small_work


class Unbatchable(Exception):
    """A region holds what cannot be computed at all points at once, or should not be."""


@dataclass(frozen=True)
class Sum:
    """The tensor that the points along `inner` add to, one for each point along `outer`."""

    origin: Value
    outer: tuple[int, ...]
    inner: tuple[int, ...]

    @property
    def axes(self) -> tuple[int, ...]:
        """All axes of the points that add."""
        return (*self.outer, *self.inner)


@dataclass
class Batcher:
    """Batches over axes of `sizes`, to which the indexes of maps inside are added.

    `divergent`: also loops that run differently at different points. `small_loops`: also loops
    that compute on a few elements at each point.
    """

    sizes: list[int]
    divergent: bool = False
    small_loops: bool = True
    values: dict[Value, Batched] = field(default_factory=dict[Value, Batched])
    sums: dict[Value, Sum] = field(default_factory=dict[Value, Sum])
    """The states of sums. Each is used once, to make the next."""
    blocks: list[Block] = field(default_factory=list[Block])
    """Those begun so far."""
    around: tuple[int, ...] = field(init=False)
    """The axes of the points of the region at hand."""

    def __post_init__(self) -> None:
        self.around = tuple(range(len(self.sizes)))

    def get(self, value: Value) -> Batched:
        """What `value` became; a value from outside is the same at all points."""
        return self.values.get(value, Batched(value))

    def begin(self, block: Block) -> Block:
        """Note a block that is going to be filled."""
        self.blocks.append(block)
        return block

    def abandon(self) -> None:
        """Drop the code in blocks that were not finished, so that it no longer uses anything."""
        for block in self.blocks:
            if block.parent is None:
                block.drop_all()

    def align(self, builder: Builder, item: Batched, axes: Sequence[int]) -> Value:
        """The whole tensor with all of `axes` leading."""
        return align(builder, item, axes, dict(enumerate(self.sizes)))

    def run(self, block: Block, builder: Builder, mask: Batched | None) -> list[Batched]:
        """Batch the operations of `block` and return what its terminator passes on.

        `mask` tells at which points the block runs at all (None: at all of them).
        """
        for op in block:
            if op.has(Trait.TERMINATOR):
                return [self.get(value) for value in op.operands]
            with builder.at(op.location.by("batch-maps")):
                results = self._operation(op, builder, mask)
            for old, new in zip(op.results, results, strict=True):
                if not new.value.name:
                    new.value.name = old.name
                self.values[old] = new
        raise ValueError("the block has no terminator")

    def _operation(
        self, op: Operation, builder: Builder, mask: Batched | None
    ) -> Sequence[Batched]:
        if any(value in self.sums for value in reads_of(op)):
            return self._adding(op, builder, mask)
        inputs = [self.get(value) for value in reads_of(op)]
        if not any(item.axes for item in inputs) and (mask is None or not _may_diverge(op)):
            return self._once(op, builder)
        match op:
            case control.If():
                return self._if(op, builder, mask)
            case control.For() | control.While() if not self.small_loops and is_small_work(op):
                raise Unbatchable("a loop is better run point by point")
            case control.For():
                return self._for(op, builder, mask)
            case control.While():
                return self._while(op, builder, mask)
            case control.Map():
                return self._map(op, builder, mask)
            case _:
                operands = [self.get(value) for value in op.operands]
                if op.has(Trait.ELEMENTWISE):
                    axes = union(operands)
                    operands = [Batched(self.align(builder, o, axes), axes) for o in operands]
                return op.batch(builder, operands)

    def _once(self, op: Operation, builder: Builder) -> list[Batched]:
        """The same at all points: computed once."""
        mapping = {value: self.get(value).value for value in reads_of(op)}
        new = builder.insert(op.clone(mapping))
        return [Batched(value) for value in new.results]

    def bind(self, op: control.Map, builder: Builder) -> range:
        """Make the indexes of a map positions along new axes, which are returned, and begin sums.

        A sum that goes on in a map inside is one to which the points of both add.
        """
        outer = self.around
        axes = range(len(self.sizes), len(self.sizes) + len(op.sizes))
        self.sizes += op.sizes
        self.around = (*outer, *axes)
        for axis, arg, size in zip(axes, op.indices, op.sizes, strict=True):
            index = tensor.arange(builder, size)
            index.name = arg.name
            self.values[arg] = Batched(index, (axis,))
        for arg, init in zip(op.sums, op.inits, strict=True):
            known = self.sums.get(init)
            if known is None:
                whole = self.align(builder, self.get(init), outer)
                self.add_to([arg], [Batched(whole, outer)], outer, tuple(axes))
            else:
                self.add_to([arg], [self.get(init)], known.outer, (*known.inner, *axes))
        return axes

    def add_to(
        self,
        args: Sequence[Value],
        inits: Sequence[Batched],
        outer: tuple[int, ...],
        inner: tuple[int, ...],
    ) -> None:
        """Let the points along `inner` add to sums, one for each point along `outer`."""
        for arg, init in zip(args, inits, strict=True):
            self.sums[arg] = Sum(arg, outer, inner)
            self.values[arg] = init

    def _map(self, op: control.Map, builder: Builder, mask: Batched | None) -> list[Batched]:
        """A map inside: its points are further points, its stacks have their axes behind."""
        around = self.around
        inner = self.bind(op, builder)
        yielded = self.run(op.body, builder, mask)
        self.around = around
        results: list[Batched] = []
        for position, item in enumerate(yielded):
            if position < len(op.inits):
                results.append(item)
                continue
            outer = tuple(axis for axis in item.axes if axis not in inner)
            whole = self.align(builder, item, (*outer, *inner))
            results.append(Batched(whole, outer))
        return results

    # Sums

    def _adding(self, op: Operation, builder: Builder, mask: Batched | None) -> Sequence[Batched]:
        """An operation that adds to sums: its results are their next states."""
        states = [value for value in op.operands if value in self.sums]
        match op:
            case arith.Add() if len(states) == 1:
                (state,) = states
                made = [self._add(op, state, builder, mask)]
                self.sums[op.result] = self.sums[state]
            case tensor.Update() if states == [op.operands[0]] and op.adds:
                (state,) = states
                update = self._all_updates(op.operands[1], self.sums[state], builder, mask)
                places = [self.get(value) for value in op.operands[2:]]
                base = self.get(state)
                made = [Batched(op.add_all(builder, base, update, places), base.axes)]
                self.sums[op.results[0]] = self.sums[state]
            case control.For() if not self._captures_sums(op):
                for init, arg, last in zip(op.inits, op.carried_args, op.finals, strict=True):
                    if init in self.sums:
                        self.sums[arg] = self.sums[last] = self.sums[init]
                made = self._for(op, builder, mask)
            case control.Map() if not self._captures_sums(op):
                made = self._map(op, builder, mask)
                for init, total in zip(op.inits, op.totals, strict=True):
                    if init in self.sums:
                        self.sums[total] = self.sums[init]
            case control.If():
                made = self._if(op, builder, mask)
                ends = [block.terminator.operands for block in op.yielding]
                for value, *yielded in zip(op.results, *ends, strict=True):
                    if yielded[0] in self.sums:
                        self.sums[value] = self.sums[yielded[0]]
            case _:
                raise Unbatchable("a sum is used otherwise than to add to it")
        return made

    def _captures_sums(self, op: Operation) -> bool:
        return any(v in self.sums for inner in op.regions for v in inner.captures())

    def _add(self, op: arith.Add, state: Value, builder: Builder, mask: Batched | None) -> Batched:
        added = op.rhs if state is op.lhs else op.lhs
        known = self.sums[state]
        part = self._all_updates(added, known, builder, mask)
        inner = range(len(known.outer), len(known.axes))
        total = tensor.reduce_sum(builder, part.value, inner)
        return Batched(arith.add(builder, self.get(state).value, total), known.outer)

    def _all_updates(
        self, value: Value, known: Sum, builder: Builder, mask: Batched | None
    ) -> Batched:
        """What each point adds; nothing where it does not run."""
        part = self.get(value)
        if mask is not None:
            part = self._choose(builder, mask, part, Batched(arith.zeros(builder, value.type)))
        return Batched(self.align(builder, part, known.axes), known.axes)

    # Branches

    def _if(self, op: control.If, builder: Builder, mask: Batched | None) -> list[Batched]:
        condition = self.get(op.condition)
        if condition.axes:
            return self._select(op, builder, condition, mask)
        ends: list[list[Batched]] = []
        blocks = [self.begin(Block()), self.begin(Block())]
        for old, new in zip((op.on_true, op.on_false), blocks, strict=True):
            ends.append(self.run(old, Builder(new, location=builder.location), mask))
        axes = [union(pair) for pair in zip(*ends, strict=True)]
        for block, end, other in zip(blocks, ends, reversed(ends), strict=True):
            inner = Builder(block, location=builder.location)
            whole = [self._like(inner, *each) for each in zip(end, other, axes, strict=True)]
            control.make_yield(inner, whole)
        new = control.make_if(builder, condition.value, *blocks)
        return [Batched(v, a) for v, a in zip(new.results, axes, strict=True)]

    def _like(
        self, builder: Builder, item: Batched, other: Batched, axes: tuple[int, ...]
    ) -> Value:
        """What a branch yields, with the axes of what the other one does."""
        if not isinstance(item.value.type, TapeType) or item.axes == axes:
            return self.align(builder, item, axes)
        if not isinstance(item.value.defining_op, control.Empty):
            raise Unbatchable("a tape is the same for all points in one branch only")
        return control.zeros(builder, other.value.type)

    def _select(
        self, op: control.If, builder: Builder, condition: Batched, mask: Batched | None
    ) -> list[Batched]:
        negated = Batched(arith.logical_not(builder, condition.value), condition.axes)
        on_true = self.run(op.on_true, builder, self._and(builder, mask, condition))
        yielded = zip(op.on_true.terminator.operands, on_true, strict=True)
        added = {self.sums[value]: item for value, item in yielded if value in self.sums}
        for value in op.regions[1].captures():
            # The other branch goes on adding where the first has got to.
            if value in self.sums:
                self.values[value] = added.get(self.sums[value], self.get(value))
        on_false = self.run(op.on_false, builder, self._and(builder, mask, negated))
        pairs = zip(op.on_false.terminator.operands, on_true, on_false, strict=True)
        return [
            y if value in self.sums else self._choose(builder, condition, x, y)
            for value, x, y in pairs
        ]

    def _and(self, builder: Builder, mask: Batched | None, other: Batched) -> Batched:
        """Where both hold; a mask of None holds everywhere."""
        if mask is None:
            return other
        axes = union([mask, other])
        pair = [self.align(builder, item, axes) for item in (mask, other)]
        return Batched(arith.logical_and(builder, *pair), axes)

    def _choose(
        self, builder: Builder, condition: Batched, on_true: Batched, on_false: Batched
    ) -> Batched:
        """One or the other at each point."""
        if on_true == on_false:
            return on_true
        if isinstance(on_true.value.type, TapeType):
            return _other_than_empty(on_true, on_false)
        axes = union([condition, on_true, on_false])
        x, y = (self.align(builder, item, axes) for item in (on_true, on_false))
        shape = shape_of(x.type)
        where = [axes.index(axis) for axis in condition.axes]
        predicate = tensor.broadcast_in_dim(builder, condition.value, shape, where)
        return Batched(arith.select(builder, predicate, x, y), axes)

    # Loops

    def _for(self, op: control.For, builder: Builder, mask: Batched | None) -> list[Batched]:
        """A count that differs: run to the largest; points that are done keep their values."""
        count = self.get(op.count)
        longest = count.value
        if count.axes:
            if not self.divergent:
                raise Unbatchable("a trip count differs from point to point")
            if op.extent < 0 and mask is not None:
                none = Batched(arith.index(builder, 0))
                count = self._choose(builder, mask, count, none)
            longest = _extreme(builder, count.value, tensor.Kind.MAX)
        scanned = [self._scan_first(builder, self.get(value)) for value in op.scanned]
        axes = [self.get(value).axes for value in op.inits]
        while True:
            block = self.begin(Block([control.INDEX], [op.index.name]))
            self.values[op.index] = Batched(block.args[0])
            held = self._carry(block, op.carried_args, axes)
            for arg, item in zip(op.scanned_args, scanned, strict=True):
                slice_ = block.add_arg(control.unstacked(item.value.type), arg.name)
                self.values[arg] = Batched(slice_, item.axes)
            inner = Builder(block, location=builder.location)
            active = self._going(inner, block.args[0], count, mask)
            ends = self.run(op.body, inner, active)
            nexts = ends[: op.carried]
            if active is not None and count.axes:
                nexts = [
                    new if arg in self.sums else self._choose(inner, active, new, old)
                    for arg, new, old in zip(op.carried_args, nexts, held, strict=True)
                ]
            grown = _grown(axes, nexts)
            if grown == axes:
                break
            axes = grown
            block.drop_all()
        carried = [self.align(inner, e, a) for e, a in zip(nexts, axes, strict=True)]
        stacks = ends[op.carried :]
        control.make_yield(inner, [*carried, *(item.value for item in stacks)])
        new = control.make_for(
            builder,
            longest,
            self._inits(builder, op.inits, axes),
            [item.value for item in scanned],
            block,
            op.trip_count,
            op.reverse,
            op.checkpoint,
            op.most,
        )
        finals = [Batched(v, a) for v, a in zip(new.finals, axes, strict=True)]
        return finals + [
            self._iteration_last(builder, value, item.axes)
            for value, item in zip(new.stacks, stacks, strict=True)
        ]

    def _going(
        self, builder: Builder, index: Value, count: Batched, mask: Batched | None
    ) -> Batched | None:
        """The points at which an iteration runs."""
        if not count.axes:
            return mask
        position = self.align(builder, Batched(index), count.axes)
        going = arith.compare(builder, arith.Direction.LT, position, count.value)
        return self._and(builder, mask, Batched(going, count.axes))

    def _inits(
        self, builder: Builder, inits: Sequence[Value], axes: Sequence[tuple[int, ...]]
    ) -> list[Value]:
        pairs = zip(inits, axes, strict=True)
        return [self.align(builder, self.get(value), a) for value, a in pairs]

    def _carry(
        self, block: Block, args: Sequence[Value], axes: Sequence[tuple[int, ...]]
    ) -> list[Batched]:
        """Block arguments for carried values over these axes."""
        for arg, a in zip(args, axes, strict=True):
            shape = (*(self.sizes[axis] for axis in a), *shape_of(arg.type))
            value = block.add_arg(TensorType(shape, _dtype(arg)), arg.name)
            self.values[arg] = Batched(value, a)
        return [self.values[arg] for arg in args]

    def _scan_first(self, builder: Builder, item: Batched) -> Batched:
        """A scanned tensor with the axis of the iteration in front of the axes of points.

        On a tape it lies there.
        """
        if isinstance(item.value.type, TapeType):
            return item
        lead, rank = len(item.axes), len(shape_of(item.value.type))
        order = (lead, *range(lead), *range(lead + 1, rank))
        return Batched(tensor.transpose(builder, item.value, order), item.axes)

    def _iteration_last(self, builder: Builder, value: Value, axes: tuple[int, ...]) -> Batched:
        """A stack with the axis of the iteration behind the axes of points; a tape as it is."""
        if isinstance(value.type, TapeType):
            return Batched(value, axes)
        lead, rank = len(axes), len(shape_of(value.type))
        order = (*range(1, lead + 1), 0, *range(lead + 1, rank))
        return Batched(tensor.transpose(builder, value, order), axes)

    def _while(self, op: control.While, builder: Builder, mask: Batched | None) -> list[Batched]:
        axes = [self.get(value).axes for value in op.inits]
        while True:
            grown = self._try_while(op, builder, mask, axes)
            if isinstance(grown, control.While):
                finals = [Batched(v, a) for v, a in zip(grown.finals, axes, strict=False)]
                of_stacks = [self.get(value).axes for value in op.stacked_values]
                return finals + [
                    Batched(v, a) for v, a in zip(grown.stacks, of_stacks, strict=True)
                ]
            axes = grown

    def _try_while(
        self,
        op: control.While,
        builder: Builder,
        mask: Batched | None,
        axes: list[tuple[int, ...]],
    ) -> control.While | list[tuple[int, ...]]:
        """The loop with values carried over `axes`, or the axes that they need."""
        start = builder.block.last if builder.before is None else builder.before.previous
        inits = self._inits(builder, op.inits, axes)
        for arg, value, a in zip(op.condition.args, inits, axes, strict=True):
            self.values[arg] = Batched(value, a)
        first = self._and(builder, mask, self.run(op.condition, builder, mask)[0])
        if first.axes and not self.divergent:
            raise Unbatchable("a loop condition differs from point to point")
        body = self.begin(Block())
        held = self._carry(body, op.body.args, axes)
        flag = Batched(body.add_arg(first.value.type, "active"), first.axes)
        inner = Builder(body, location=builder.location)
        ends = self.run(op.body, inner, flag if flag.axes else mask)
        stacked = ends[len(held) :]
        pairs = zip(ends, held, strict=False)
        nexts = [self._choose(inner, flag, new, old) if flag.axes else new for new, old in pairs]
        grown = _grown(axes, nexts)
        if grown != axes:
            body.drop_all()
            erase_between(builder.block, start, builder.before)
            return grown
        whole = [self.align(inner, item, a) for item, a in zip(nexts, axes, strict=True)]
        for arg, value, a in zip(op.condition.args, whole, axes, strict=True):
            self.values[arg] = Batched(value, a)
        still = flag if flag.axes else None
        again = self._and(inner, still, self.run(op.condition, inner, still)[0])
        control.make_yield(inner, [*whole, again.value, *(item.value for item in stacked)])
        test = Block([value.type for value in (*inits, first.value)])
        at = Builder(test, location=builder.location)
        every = range(len(first.axes))
        control.make_yield(at, [tensor.reduce(at, test.args[-1], tensor.Kind.ANY, every)])
        return control.make_while(builder, [*inits, first.value], test, body, op.checkpoint)


def _other_than_empty(first: Batched, second: Batched) -> Batched:
    """Of the tapes of two branches the one that its branch has made.

    The other branch leaves an empty one, and its points never read it.
    """
    is_empty = [isinstance(each.value.defining_op, control.Empty) for each in (first, second)]
    if not any(is_empty):
        raise Unbatchable("a tape is chosen point by point")
    return second if is_empty[0] else first


def _extreme(builder: Builder, counts: Value, kind: tensor.Kind) -> Value:
    """The greatest or least of some counts, of which what they share need not be looked at."""
    match counts.defining_op:
        case tensor.BroadcastInDim() as op if not shape_of(op.operand.type):
            return op.operand
        case tensor.Iota() as op:
            last = max(op.type.shape[op.iota_dimension] - 1, 0)
            return arith.index(builder, last if kind is tensor.Kind.MAX else 0)
        case arith.Add() as op if _is_spread(op.lhs) or _is_spread(op.rhs):
            parts = [_extreme(builder, value, kind) for value in op.operands]
            return arith.add(builder, *parts)
        case arith.Subtract() as op if _is_spread(op.lhs) or _is_spread(op.rhs):
            other = tensor.Kind.MIN if kind is tensor.Kind.MAX else tensor.Kind.MAX
            lhs, rhs = _extreme(builder, op.lhs, kind), _extreme(builder, op.rhs, other)
            return arith.subtract(builder, lhs, rhs)
        case _:
            return tensor.reduce(builder, counts, kind, range(len(shape_of(counts.type))))


def _is_spread(value: Value) -> bool:
    """Whether all elements of `value` are one scalar."""
    op = value.defining_op
    return isinstance(op, tensor.BroadcastInDim) and not shape_of(op.operand.type)


def erase_between(block: Block, after: Operation | None, before: Operation | None) -> None:
    """Erase the operations of `block` between two of them (None: its ends)."""
    at = block.last if before is None else before.previous
    while at is not None and at is not after:
        previous = at.previous
        at.erase()
        at = previous


def _grown(axes: Sequence[tuple[int, ...]], nexts: Sequence[Batched]) -> list[tuple[int, ...]]:
    """The axes that carried values need to hold their next values too."""
    return [tuple(sorted({*a, *item.axes})) for a, item in zip(axes, nexts, strict=True)]


def _may_diverge(op: Operation) -> bool:
    """Whether `op` might not end if run where it should not be."""
    return any(isinstance(inner, control.While) for inner in op.walk())


def _dtype(value: Value) -> DType:
    assert isinstance(value.type, TensorType)
    return value.type.dtype
