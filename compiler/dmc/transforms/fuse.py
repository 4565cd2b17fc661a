"""Fusion: kernels that pass each other data become one pass over memory.

Every step composes two kernels (see `dmc.transforms.compose`) and lowers the bytes moved:

- movement (broadcast, transpose, slice, fill …) is folded into the subscripts of what reads it;
- elementwise work goes into its only reader, or, when small, into all of them;
- elementwise work on the result of a reduction or contraction becomes its epilogue;
- kernels over one space that pass data or share an operand become one with several results.

A contraction takes nothing but transposes into its operands, so that it stays recognisable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from dmc.dialects import arith, func, kernel
from dmc.dialects.elementwise import Elementwise
from dmc.ir import Block, Module, Operation, ShapedType, Trait, Value, shape_of
from dmc.ir.passes import Pass
from dmc.transforms.common import blocks
from dmc.transforms.compose import (
    common_space,
    into_consumer,
    into_producer,
    merged,
    producer_dimensions,
    reading,
    stored_in_order,
    without_results,
)
from dmc.transforms.generics import Read, is_tensor
from dmc.transforms.order import Dependences, reads_of
from dmc.transforms.views import through_view

EXPENSIVE = 4
"""Elementwise operations worth this many multiplications are not computed twice."""
MOST_REPEATS = 2
"""Work may be done this many times as often when it need not be stored between: halos."""
MOST_EXPANSION = 8
"""Results that are this many times as large as all they are made from are not stored."""
MOST_OPERATIONS = 256
MOST_OPERANDS = 24


@dataclass(frozen=True)
class Fuse(Pass):
    """Compose kernels within each block; `siblings` also those that only share an operand."""

    name = "fuse"
    siblings: bool = True

    def run(self, module: Module) -> None:
        for function in func.functions(module):
            for block in list(blocks(function)):
                owner = block.parent_op
                if owner is None or not isinstance(owner, kernel.Structured):
                    _Fusion(block, self.siblings).run()


class _Fusion:
    """Fusion inside one block."""

    def __init__(self, block: Block, siblings: bool) -> None:
        self.block = block
        self.siblings = siblings
        self.dependences = Dependences(block)

    def run(self) -> None:
        self._drop_unused()
        changed = True
        while changed:
            changed = self._sweep(self._absorb_movement)
            changed |= self._sweep(self._absorb_producers)
            changed |= self._sweep(self._absorb_cheap)
            changed |= self._sweep(self._take_epilogue)
            changed |= self._sweep(self._join_reader)
        if self.siblings:
            self._sweep(self._join_sibling)
        self._sweep(self._untranspose)
        self._drop_unused()

    def _sweep(self, rule: Rule) -> bool:
        """Apply `rule` to every kernel of the block as long as it changes one."""
        self.dependences = Dependences(self.block)
        changed = False
        for op in list(self.block):
            at: Operation | None = op
            while isinstance(at, kernel.Generic) and at.parent is not None:
                at = rule(at)
                changed |= at is not None
        return changed

    def _absorb_movement(self, op: kernel.Generic) -> kernel.Generic | None:
        """Read through a view, or read what a movement would have copied."""
        views = {
            i: read
            for i in range(len(op.operands))
            if (read := _through_view(op, i)) is not None and _keeps_form(op, i, read)
        }
        if views:
            passed = [op.operands[i].defining_op for i in views]
            new = reading(op, views)
            _erase_unused(passed)
            return new
        for producer in _producers(op) if _is_product(op) else ():
            uses = [i for i in _uses(op, producer) if i < op.body_count]
            moves = is_movement(producer) and all(_may_move_into(op, i, producer) for i in uses)
            if uses and moves:
                new = into_consumer([producer], op)
                _erase_unused([producer])
                return new
        return None

    def _absorb_producers(self, op: kernel.Generic) -> kernel.Generic | None:
        """Compute in `op` what only `op` reads, and what only that reads, and so on."""
        absorbed = _absorbable(op)
        if not absorbed:
            return None
        new = into_consumer(absorbed, op, not _is_product(op))
        _erase_unused(list(absorbed))
        return new

    def _absorb_cheap(self, producer: kernel.Generic) -> kernel.Generic | None:
        """Compute in all readers what costs less than storing and reading it."""
        users = list(dict.fromkeys(user for v in producer.results for user in v.users))
        if not (is_cheap(producer) or is_oversized(producer)):
            return None
        readers = [user for user in users if isinstance(user, kernel.Generic)]
        for user in readers:
            if user.parent is not producer.parent or not _may_compute_in(user, producer):
                return None
        if len(readers) < len(users):
            return None
        for user in readers:
            into_consumer([producer], user)
        producer.erase()
        return None

    def _take_epilogue(self, op: kernel.Generic) -> kernel.Generic | None:
        """Compute at once what a reduction is made into, point by point."""
        return self._join_user(op) if op.reduction else None

    def _join_reader(self, op: kernel.Generic) -> kernel.Generic | None:
        """Compute a reader of several in the same pass, which saves the reading."""
        return None if op.reduction or is_movement(op) else self._join_user(op)

    def _join_user(self, op: kernel.Generic) -> kernel.Generic | None:
        """Compute a reader of `op` that runs over the same points in the same pass."""
        for user in dict.fromkeys(user for value in op.results for user in value.users):
            if not isinstance(user, kernel.Generic) or user.parent is not op.parent:
                continue
            along = common_space(op, user)
            loads = any(value.owner is op for value in _loaded(user))
            if along is None or loads or not _fits_together(op, user):
                continue
            if self.dependences.bring_together(op, user):
                new = into_producer(op, user, along)
                self.dependences.joined(op, user, new)
                return new
        return None

    def _join_sibling(self, op: kernel.Generic) -> kernel.Generic | None:
        """Compute in one pass what reads the same tensor over the same space."""
        if _is_product(op):
            return None
        shared = {Read(v, m) for v, m in zip(op.operands, op.operand_maps, strict=True)}
        nearby = dict.fromkeys(
            user for read in shared if is_tensor(read.value) for user in read.value.users
        )
        for other in nearby:
            if not isinstance(other, kernel.Generic) or other is op:
                continue
            same = (other.space, other.reduction) == (op.space, op.reduction)
            if not same or other.parent is not op.parent or not op.is_before(other):
                continue
            reads = {Read(v, m) for v, m in zip(other.operands, other.operand_maps, strict=True)}
            overlap = any(is_tensor(read.value) for read in reads & shared)
            independent = all(value.defining_op is not op for value in reads_of(other))
            if not overlap or not independent or _is_product(other):
                continue
            if _fits_together(op, other) and self.dependences.bring_together(op, other):
                new = merged(op, other)
                self.dependences.joined(op, other, new)
                return new
        return None

    def _untranspose(self, op: kernel.Generic) -> kernel.Generic | None:
        """Store the matrices of a batched product whole, if all readers can read them so."""
        roles = op.contraction()
        order = op.result_maps[0].picked() or ()
        if len(op.results) > 1 or roles is None or not order or order[-1] not in roles.batch:
            return None
        return stored_in_order(op)

    def _drop_unused(self) -> None:
        """Erase results that nothing reads, and kernels left without any."""
        for op in reversed(self.block):
            used = [i for i, value in enumerate(op.results) if value.uses]
            if isinstance(op, kernel.Generic) and 0 < len(used) < len(op.results):
                without_results(op, used)
            elif op.results and not used and op.is_pure:
                op.erase()


Rule = Callable[[kernel.Generic], kernel.Generic | None]
"""Changes a kernel and returns the one to look at next, or None when there is nothing to do."""


def _is_product(op: kernel.Generic) -> bool:
    """Whether `op` is a contraction with reuse of both operands: a product of matrices.

    Other contractions are no more than reductions.
    """
    roles = op.contraction()
    return roles is not None and bool(roles.m) and bool(roles.n)


def _erase_unused(ops: Sequence[Operation | None]) -> None:
    for op in dict.fromkeys(ops):
        if op is not None and not any(value.uses for value in op.results):
            op.erase()


def _producers(op: kernel.Generic) -> list[kernel.Generic]:
    """The kernels without a reduction whose results `op` maps."""
    owners = dict.fromkeys(value.defining_op for value in op.operands)
    return [p for p in owners if isinstance(p, kernel.Generic) and not p.reduction]


def _uses(op: kernel.Generic, producer: kernel.Generic) -> list[int]:
    return [i for i, value in enumerate(op.operands) if value.owner is producer]


def is_movement(op: kernel.Generic) -> bool:
    """Whether `op` computes nothing but subscripts, or little from subscripts alone."""
    if op.reduction or op.loads():
        return False
    work = [inner for inner in op.body if inner.has(Trait.ELEMENTWISE) and not _is_guard(inner)]
    return not work or (not op.operands and len(work) <= 8 and not _is_expensive(op))


def _is_guard(op: Operation) -> bool:
    """Whether `op` only chooses by subscripts, as a read does that gives zero outside."""
    return isinstance(op, arith.Select) and isinstance(op.predicate.defining_op, kernel.Inside)


def _is_guarded(op: kernel.Generic) -> bool:
    return any(isinstance(inner, kernel.Inside) for inner in op.body)


def is_oversized(op: kernel.Generic) -> bool:
    """Whether `op` makes much from little: all points of a builder, which no one has named."""
    if op.reduction or op.loads():
        return False
    largest = max((_bytes(value) for value in op.operands), default=0)
    return MOST_EXPANSION * largest <= sum(_bytes(value) for value in op.results)


def is_cheap(op: kernel.Generic) -> bool:
    """Whether computing `op` again is better than reading what it stored."""
    work = [inner for inner in op.body if inner.has(Trait.ELEMENTWISE)]
    if op.reduction or op.loads() or len(work) > 4 or _is_expensive(op):
        return False
    read = sum(_bytes(value) for value in op.operands)
    return read <= sum(_bytes(value) for value in op.results)


def _is_expensive(op: kernel.Generic) -> bool:
    return any(isinstance(inner, Elementwise) and inner.flops >= EXPENSIVE for inner in op.body)


def _bytes(value: Value) -> int:
    return value.type.bytes if isinstance(value.type, ShapedType) else 0


def _may_compute_in(op: kernel.Generic, producer: kernel.Generic) -> bool:
    """Whether `op` may do the work of `producer`, without doing it more often."""
    if any(value.owner is producer for value in _loaded(op)):
        return False
    for i in _uses(op, producer):
        most = MOST_REPEATS * producer.points
        if i < op.body_count and (_is_product(op) or op.points > most):
            return False
        if i >= op.body_count and prod(op.parallel_sizes) > most:
            return False
    return _fits_together(op, producer)


def _absorbable(op: kernel.Generic) -> dict[kernel.Generic, bool]:
    """Kernels whose work `op` may do; whether in its body, or in the epilogue. Nearer ones first.

    Movement is free. Other work must be needed by `op` alone, if through others that it absorbs,
    and be done no more often than before.
    """
    chosen: dict[kernel.Generic, bool] = {}
    operations = sum(1 for inner in op.regions for _ in inner.block)
    operands = len(op.operands) + len(op.results)
    changed = True
    while changed:
        changed = False
        for producer in [p for user in (op, *chosen) for p in _producers(user)]:
            in_body = _is_read_in_body(op, producer, chosen)
            if chosen.get(producer) == in_body or (in_body and _is_product(op)):
                continue
            points = op.points if in_body else prod(op.parallel_sizes)
            if not is_movement(producer) and not _is_only_for(producer, points, op, chosen):
                continue
            # A padded copy is cheap where a reduction reads its elements many times.
            if _is_guarded(producer) and in_body and points > MOST_REPEATS * producer.points:
                continue
            if producer not in chosen:
                operations += sum(1 for _ in producer.body)
                operands += len(producer.operands)
                if operations > MOST_OPERATIONS or operands > MOST_OPERANDS:
                    return chosen
            chosen[producer] = in_body
            changed = True
    return chosen


def _is_read_in_body(
    op: kernel.Generic, producer: kernel.Generic, chosen: dict[kernel.Generic, bool]
) -> bool:
    """Whether the body of `op` reads `producer`, directly or through what it absorbs."""
    if any(i < op.body_count for i in _uses(op, producer)):
        return True
    users = [user for value in producer.results for user in value.users]
    return any(chosen.get(user, False) for user in users if isinstance(user, kernel.Generic))


def _is_only_for(
    producer: kernel.Generic, points: int, op: kernel.Generic, chosen: dict[kernel.Generic, bool]
) -> bool:
    """Whether all readers of `producer` go into `op`, which would run it at `points` points."""
    users = [user for value in producer.results for user in value.users]
    inside = all(user is op or user in chosen for user in users)
    most = MOST_REPEATS * producer.points
    return inside and producer.parent is op.parent and points <= most


def _fits_together(op: kernel.Generic, other: kernel.Generic) -> bool:
    operations = sum(1 for each in (op, other) for inner in each.regions for _ in inner.block)
    operands = len(op.operands) + len(other.operands) + len(op.results) + len(other.results)
    return operations <= MOST_OPERATIONS and operands <= MOST_OPERANDS


def _loaded(op: kernel.Generic) -> list[Value]:
    return [inner.source for inner in op.loads()]


def _may_move_into(op: kernel.Generic, index: int, producer: kernel.Generic) -> bool:
    """Whether operand `index` may be read past the movement `producer`."""
    if index >= op.body_count or not _is_product(op):
        return True
    value = op.operands[index]
    passed = producer.body.terminator.operands[value.index]
    if passed.owner is not producer.body:
        return False
    by = producer_dimensions(producer, value.index, op.operand_maps[index])
    map_ = producer.operand_maps[passed.index].substitute(by, len(op.space), op.space)
    return _keeps_form(op, index, Read(producer.operands[passed.index], map_))


def _keeps_form(op: kernel.Generic, index: int, read: Read) -> bool:
    """Whether a contraction stays one when operand `index` is read in another way."""
    if index >= op.body_count or not _is_product(op):
        return True
    picked = read.map.picked()
    return picked is not None and set(picked) == set(op.operand_maps[index].picked() or ())


def _through_view(op: kernel.Generic, index: int) -> Read | None:
    view = op.operands[index].defining_op
    if not isinstance(view, kernel.View):
        return None
    source = shape_of(view.source.type)
    map_ = through_view(op.operand_maps[index], view.shape, source, op.space)
    return None if map_ is None else Read(view.source, map_)
