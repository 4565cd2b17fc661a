"""Composition of kernels: two `kernel.generic` become one that computes the same.

Whether they should is decided in `dmc.transforms.fuse`; here is how. Iteration dimensions of one
kernel are expressed by those of the other, and scalar code is joined.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from dmc.dialects import kernel
from dmc.ir import (
    AffineExpr,
    AffineMap,
    ArrayAttr,
    Block,
    Builder,
    Operation,
    Value,
)
from dmc.ir.rewriter import replace_op
from dmc.transforms.common import take_regions
from dmc.transforms.generics import Read, assemble
from dmc.transforms.part import Part, Substitution


def renaming(dims: Sequence[int], dimensions: int) -> list[AffineExpr]:
    """The substitution of dimension i by dimension `dims[i]`."""
    return [AffineExpr.dim(dimensions, d) for d in dims]


def producer_dimensions(producer: kernel.Generic, result: int, map_: AffineMap) -> Substitution:
    """The parallel dimensions of `producer` where its result is read through `map_`."""
    picked = producer.result_maps[result].picked() or ()
    by = [AffineExpr.number(map_.dimensions, 0)] * len(producer.parallel)
    for axis, dim in enumerate(picked):
        by[dim] = map_.results[axis]
    return by


def into_consumer(
    absorbed: Collection[kernel.Generic], consumer: kernel.Generic, into_body: bool = True
) -> kernel.Generic:
    """`consumer` with the code of kernels it reads, and that those read, in place of the reads.

    The kernels `absorbed` reduce nothing; those that nothing else reads must be erased. Without
    `into_body` only the epilogue takes them. Returns the new kernel, which replaces `consumer`.
    """
    count = consumer.body_count
    reads = list(zip(consumer.operands, consumer.operand_maps, strict=True))
    known: dict[tuple[kernel.Generic, tuple[AffineExpr, ...]], list[Value]] = {}

    def element(part: Part, value: Value, map_: AffineMap, absorb: bool) -> Value:
        producer = value.defining_op
        if not absorb or not isinstance(producer, kernel.Generic) or producer not in absorbed:
            return part.read(value, map_)
        by = producer_dimensions(producer, value.index, map_)
        key = producer, tuple(by)
        if key not in known:
            pairs = zip(producer.operands, producer.operand_maps, strict=True)
            args = [element(part, v, part.moved(m, by), True) for v, m in pairs]
            known[key] = part.inline(producer.body, args, by)
        return known[key][value.index]

    body, epilogue = Part(consumer.space), Part(consumer.space)
    base = _base(absorbed, consumer) if into_body else None
    if base is not None:
        body = Part.taking_body(base)
        same = renaming(range(len(base.space)), len(base.space))
        known[base, tuple(same)] = body.reopen()
        take_regions(base)
    args = [element(body, value, map_, into_body) for value, map_ in reads[:count]]
    yielded = body.take(consumer.body, args)
    body.finish(yielded)
    known.clear()
    after = [epilogue.add_leading(value) for value in yielded]
    after += [element(epilogue, value, map_, True) for value, map_ in reads[count:]]
    epilogue.finish(epilogue.take(consumer.epilogue, after))
    return _replace(consumer, body, epilogue)


def _base(absorbed: Collection[kernel.Generic], consumer: kernel.Generic) -> kernel.Generic | None:
    """The longest kernel whose code can stay as it is, with all other code behind it.

    It runs over the points of `consumer`, which is all that reads it, and reads nothing absorbed.
    """
    same = renaming(range(len(consumer.space)), len(consumer.space))
    count, maps = consumer.body_count, consumer.operand_maps
    found: kernel.Generic | None = None
    for producer in dict.fromkeys(value.defining_op for value in consumer.body_inputs):
        if not isinstance(producer, kernel.Generic) or producer not in absorbed:
            continue
        reads_absorbed = any(value.defining_op in absorbed for value in producer.operands)
        if reads_absorbed or producer.space != consumer.space:
            continue
        uses = [(value, use) for value in producer.results for use in value.uses]
        along = all(
            user is consumer
            and index < count
            and producer_dimensions(producer, value.index, maps[index]) == same
            for value, (user, index) in uses
        )
        if along and (found is None or producer.body.size > found.body.size):
            found = producer
    return found


def _replace(old: kernel.Generic, body: Part, epilogue: Part) -> kernel.Generic:
    """Put a kernel of the same space and results in place of `old`."""
    builder = Builder.ahead_of(old)
    builder.location = old.location.by("fuse")
    new = assemble(
        builder,
        old.space,
        body.reads,
        body.block,
        old.result_maps,
        old.combiner_names,
        len(old.reduction),
        epilogue.reads,
        epilogue.block,
        [value.name for value in old.results],
        old.order,
    )
    replace_op(old, new.results)
    return new


def common_space(producer: kernel.Generic, consumer: kernel.Generic) -> tuple[int, ...] | None:
    """For each dimension of `consumer` the parallel dimension of `producer` it runs along.

    None unless `consumer`, which reduces nothing, visits each parallel point of `producer` once
    and reads there just the elements that `producer` computes there.
    """
    if consumer.reduction or sorted(consumer.space) != sorted(producer.parallel_sizes):
        return None
    found: set[tuple[int, ...]] = set()
    reads, writes, dims = consumer.operand_maps, producer.result_maps, consumer.parallel
    for i, value in enumerate(consumer.operands):
        if value.owner is not producer:
            continue
        picked = reads[i].picked()
        if picked is None or sorted(picked) != list(dims):
            return None
        own = writes[value.index].picked() or ()
        along = dict(zip(picked, own, strict=True))
        found.add(tuple([along[d] for d in dims]))
    return found.pop() if len(found) == 1 else None


def into_producer(
    producer: kernel.Generic, consumer: kernel.Generic, along: Sequence[int]
) -> kernel.Generic:
    """One kernel with the results of both, `consumer` running after `producer` at each point.

    `along` comes from `common_space`. Results of `producer` that nothing else reads are dropped.
    The kernel is put where `producer` was and replaces both.
    """
    by = renaming(along, len(producer.space))
    body, epilogue = Part.taking_body(producer), Part(producer.space)
    last, values = body, body.reopen()
    if producer.reduction:
        body.finish(values)
        last = epilogue = Part.taking_epilogue(producer)
        values = epilogue.reopen()
    take_regions(producer)

    def argument(value: Value, map_: AffineMap) -> Value:
        if value.owner is producer:
            return values[value.index]
        return last.read(value, last.moved(map_, by))

    pairs = zip(consumer.operands, consumer.operand_maps, strict=True)
    own = last.take(consumer.body, [argument(v, m) for v, m in pairs], by)
    kept = [
        value for value in producer.results if any(user is not consumer for user, _ in value.uses)
    ]
    results = [*kept, *consumer.results]
    outputs = [*(values[value.index] for value in kept), *own]
    writes = [producer.result_maps[value.index] for value in kept]
    writes += [last.moved(m, by) for m in consumer.result_maps]
    last.finish(outputs)
    if not producer.reduction:
        passes = [epilogue.add_leading(value) for value in outputs]
        epilogue.finish(passes)
    builder = Builder.ahead_of(producer)
    builder.location = consumer.location.by("fuse")
    new = assemble(
        builder,
        producer.space,
        body.reads,
        body.block,
        writes,
        producer.combiner_names,
        len(producer.reduction),
        epilogue.reads,
        epilogue.block,
        [value.name for value in results],
        producer.order,
    )
    _hand_over(results, new)
    consumer.erase()
    producer.erase()
    return new


def merged(first: kernel.Generic, second: kernel.Generic) -> kernel.Generic:
    """One kernel with the results of both, which have one iteration space and are independent.

    It is put where `first` was and replaces both.
    """
    counts = [len(op.body.terminator.operands) for op in (first, second)]
    body, epilogue = Part.taking_body(first), Part(first.space)
    yielded = body.reopen()
    maps = second.operand_maps[: second.body_count]
    yielded += body.take(second.body, body.read_all(second.body_inputs, maps))
    reduced = [epilogue.add_leading(value) for value in yielded]
    body.finish(yielded)
    outputs: list[Value] = []
    for op, count in zip((first, second), counts, strict=True):
        maps = op.operand_maps[op.body_count :]
        extra = epilogue.read_all(op.epilogue_inputs, maps)
        outputs += epilogue.take(op.epilogue, [*reduced[:count], *extra])
        reduced = reduced[count:]
    epilogue.finish(outputs)
    take_regions(first)
    results = [*first.results, *second.results]
    builder = Builder.ahead_of(first)
    builder.location = first.location.by("fuse")
    new = assemble(
        builder,
        first.space,
        body.reads,
        body.block,
        [*first.result_maps, *second.result_maps],
        [*first.combiner_names, *second.combiner_names],
        len(first.reduction),
        epilogue.reads,
        epilogue.block,
        [value.name for value in results],
        first.order,
    )
    _hand_over(results, new)
    second.erase()
    first.erase()
    return new


def _hand_over(results: Sequence[Value], new: kernel.Generic) -> None:
    for old, value in zip(results, new.results, strict=True):
        old.replace_all_uses_with(value)


def reading(op: kernel.Generic, reads: Mapping[int, Read]) -> kernel.Generic:
    """`op` with some operands read from elsewhere."""
    body, epilogue = Part(op.space), Part(op.space)
    count = op.body_count
    pairs = [
        reads.get(i, Read(value, map_))
        for i, (value, map_) in enumerate(zip(op.operands, op.operand_maps, strict=True))
    ]
    args = [body.read(read.value, read.map) for read in pairs[:count]]
    yielded = body.take(op.body, args)
    body.finish(yielded)
    reduced = [epilogue.add_leading(value) for value in yielded]
    after = [epilogue.read(read.value, read.map) for read in pairs[count:]]
    epilogue.finish(epilogue.take(op.epilogue, [*reduced, *after]))
    return _replace(op, body, epilogue)


def split_reduced(op: kernel.Generic, dimension: int, sizes: Sequence[int]) -> kernel.Generic:
    """`op` with several dimensions of `sizes`, row-major, in place of one that is reduced."""
    space = (*op.space[:dimension], *sizes, *op.space[dimension + 1 :])
    rank, more = len(space), len(sizes) - 1
    moved = [d + more * (d > dimension) for d in range(len(op.space))]
    by = renaming(moved, rank)
    by[dimension] = AffineExpr.number(rank, 0)
    for i, size in enumerate(sizes):
        by[dimension] = by[dimension].scaled(size) + AffineExpr.dim(rank, dimension + i)
    body, epilogue = Part(space), Part(space)
    maps = [body.moved(map_, by) for map_ in op.affine_maps]
    count, inputs = op.body_count, len(op.operands)
    yielded = body.take(op.body, body.read_all(op.body_inputs, maps[:count]), by)
    body.finish(yielded)
    reduced = [epilogue.add_leading(value) for value in yielded]
    extra = epilogue.read_all(op.epilogue_inputs, maps[count:inputs])
    epilogue.finish(epilogue.take(op.epilogue, [*reduced, *extra], by))
    parts = [[d] for d in moved]
    parts[dimension] = [dimension + i for i in range(len(sizes))]
    builder = Builder.ahead_of(op)
    builder.location = op.location.by("fuse")
    new = assemble(
        builder,
        space,
        body.reads,
        body.block,
        maps[inputs:],
        op.combiner_names,
        len(op.reduction) + more,
        epilogue.reads,
        epilogue.block,
        [value.name for value in op.results],
        [part for d in op.order for part in parts[d]],
    )
    replace_op(op, new.results)
    return new


def without_results(op: kernel.Generic, kept: Sequence[int]) -> kernel.Generic:
    """`op` with only the results `kept`, and without the code for the others."""
    body, epilogue = Part(op.space), Part(op.space)
    maps = op.operand_maps
    yielded = body.take(op.body, body.read_all(op.body_inputs, maps[: op.body_count]))
    reduced = [epilogue.add_leading(value) for value in yielded]
    extra = epilogue.read_all(op.epilogue_inputs, maps[op.body_count :])
    outputs = epilogue.take(op.epilogue, [*reduced, *extra])
    epilogue.finish([outputs[i] for i in kept])
    needed = [i for i, value in enumerate(reduced) if value.uses]
    for i in reversed(range(len(reduced))):
        if i not in needed:
            epilogue.block.erase_arg(i)
    epilogue.leading = len(needed)
    body.finish([yielded[i] for i in needed])
    builder = Builder.ahead_of(op)
    builder.location = op.location
    new = assemble(
        builder,
        op.space,
        body.reads,
        body.block,
        [op.result_maps[i] for i in kept],
        [op.combiner_names[i] for i in needed] if op.reduction else (),
        len(op.reduction),
        epilogue.reads,
        epilogue.block,
        [op.results[i].name for i in kept],
        op.order,
    )
    for i, value in zip(kept, new.results, strict=True):
        op.results[i].replace_all_uses_with(value)
    op.erase()
    return new


def stored_in_order(op: kernel.Generic) -> kernel.Generic | None:
    """`op` with its only result laid out along its dimensions, and its readers adapted.

    None when something reads the result other than through a map.
    """
    result, picked = op.results[0], op.result_maps[0].picked() or ()
    readers = result.users
    for reader in readers:
        if not isinstance(reader, kernel.Generic | kernel.Scatter):
            return None
        if isinstance(reader, kernel.Scatter) and reader.target is result:
            return None
    if len(op.results) > 1 or picked == tuple(op.parallel):
        return None
    maps = (*op.operand_maps, AffineMap.select(len(op.space), op.parallel))
    attributes = {**op.attributes, "maps": ArrayAttr(maps)}
    regions = [inner.clone({}) for inner in op.regions]
    new = kernel.Generic(op.operands, attributes, regions, None, op.location, [result.name])
    Builder.ahead_of(op).insert(new)
    for reader in readers:
        _reread(reader, result, new.results[0], picked)
    op.erase()
    return new


def _reread(reader: Operation, old: Value, new: Value, picked: Sequence[int]) -> None:
    """Let `reader` map `new`, whose axis `picked[i]` is axis i of `old`."""

    def turned(map_: AffineMap) -> AffineMap:
        places = {p: axis for axis, p in enumerate(picked)}
        return AffineMap(
            map_.dimensions, tuple(map_.results[places[d]] for d in range(len(picked)))
        )

    if isinstance(reader, kernel.Generic):
        pairs = enumerate(zip(reader.operands, reader.operand_maps, strict=True))
        reading(reader, {i: Read(new, turned(m)) for i, (v, m) in pairs if v is old})
        return
    assert isinstance(reader, kernel.Scatter)
    maps = list(reader.affine_maps)
    for i, value in enumerate(reader.mapped):
        if value is old:
            maps[i] = turned(maps[i])
            reader.set_operand(1 + i, new)
    reader.attributes["maps"] = ArrayAttr(tuple(maps))


def drop_unused(block: Block) -> None:
    """Erase results of kernels that nothing reads, and operations left without any."""
    for op in reversed(block):
        used = [i for i, value in enumerate(op.results) if value.uses]
        if isinstance(op, kernel.Generic) and 0 < len(used) < len(op.results):
            without_results(op, used)
        elif op.results and not used and op.is_pure:
            op.erase()
