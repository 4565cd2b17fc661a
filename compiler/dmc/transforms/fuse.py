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

from dmc.dialects import func, kernel
from dmc.ir import AffineExpr, Block, Module, Operation, Value, dtype_of, shape_of
from dmc.ir.passes import Pass
from dmc.transforms.common import code_blocks
from dmc.transforms.compose import (
    common_space,
    drop_unused,
    into_consumer,
    into_producer,
    merged,
    producer_dimensions,
    reading,
    split_reduced,
    stored_in_order,
)
from dmc.transforms.generics import Read, is_tensor
from dmc.transforms.kernel_facts import MOST_OPERANDS, MOST_OPERATIONS, MOST_REPEATS, Facts
from dmc.transforms.order import Dependences
from dmc.transforms.views import joined_axes, through_view


@dataclass(frozen=True)
class Fuse(Pass):
    """Compose kernels within each block; `siblings` also those that only share an operand."""

    name = "fuse"
    siblings: bool = True

    def run(self, module: Module) -> None:
        for function in func.functions(module):
            for block in code_blocks(function):
                _Fusion(block, self.siblings).run()


class _Fusion:
    """Fusion inside one block."""

    def __init__(self, block: Block, siblings: bool) -> None:
        self.block = block
        self.siblings = siblings
        self.facts = Facts()
        self.dependences = Dependences(block, self.facts.reads)
        self._least_readers: dict[Value, tuple[int, int]] = {}
        self._apart: dict[Operation, dict[Operation, Operation | None]] = {}
        """For each kernel the readers of it that cannot be one with it, and what is in between.

        As long as that stays where it is nothing changes; None: whatever becomes of others.
        """

    def run(self) -> None:
        drop_unused(self.block)
        changed = True
        while changed:
            changed = self._sweep(self._absorb_movement)
            changed |= self._sweep(self._absorb_producers)
            changed |= self._sweep(self._absorb_cheap)
            self.dependences = Dependences(self.block, self.facts.reads)
            changed |= self._sweep(self._take_epilogue)
            changed |= self._sweep(self._join_reader)
        if self.siblings:
            self._join_siblings()
        self._sweep(self._untranspose)
        drop_unused(self.block)

    def _sweep(self, rule: Rule) -> bool:
        """Apply `rule` to every kernel of the block as long as it changes one."""
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
            if (read := _through_view(op, i)) is not None and self._keeps_form(op, i, read)
        }
        if views:
            passed = [op.operands[i].defining_op for i in views]
            new = reading(op, views)
            _erase_unused(passed)
            return new
        for i in range(op.body_count):
            parts = self._joined_axes(op, i)
            if parts is not None:
                return split_reduced(op, *parts)
        for producer in _producers(op) if self.facts[op].is_product else ():
            uses = [i for i in _uses(op, producer) if i < op.body_count]
            moves = self.facts[producer].is_movement
            if uses and moves and all(self._may_move_into(op, i, producer) for i in uses):
                new = into_consumer([producer], op)
                _erase_unused([producer])
                return new
        return None

    def _absorb_producers(self, op: kernel.Generic) -> kernel.Generic | None:
        """Compute in `op` what only `op` reads, and what only that reads, and so on."""
        absorbed = self._absorbable(op)
        if not absorbed:
            return None
        code = self.facts.code_of([op, *absorbed])
        new = into_consumer(absorbed, op, not self.facts[op].is_product)
        self.facts.record(new, code)
        _erase_unused(list(absorbed))
        return new

    def _absorb_cheap(self, producer: kernel.Generic) -> kernel.Generic | None:
        """Compute in all readers what costs less than storing and reading it."""
        if not (self.facts[producer].is_cheap or self.facts[producer].is_oversized):
            return None
        users = list(dict.fromkeys(user for v in producer.results for user in v.users))
        readers = [user for user in users if isinstance(user, kernel.Generic)]
        for user in readers:
            if user.parent is not producer.parent or not self._may_compute_in(user, producer):
                return None
        if len(readers) < len(users):
            return None
        for user in readers:
            code = self.facts.code_of([user, producer])
            self.facts.record(into_consumer([producer], user), code)
        producer.erase()
        return None

    def _take_epilogue(self, op: kernel.Generic) -> kernel.Generic | None:
        """Compute at once what a reduction is made into, point by point."""
        return self._join_user(op) if op.reduction else None

    def _join_reader(self, op: kernel.Generic) -> kernel.Generic | None:
        """Compute a reader of several in the same pass, which saves the reading."""
        if op.reduction or self.facts[op].is_movement:
            return None
        return self._join_user(op)

    def _join_user(self, op: kernel.Generic) -> kernel.Generic | None:
        """Compute a reader of `op` that runs over the same points in the same pass."""
        apart = self._apart.setdefault(op, {})
        for user in dict.fromkeys(user for value in op.results for user in value.users):
            if not isinstance(user, kernel.Generic) or user.parent is not op.parent:
                continue
            facts = self.facts[user]
            if _is_still(apart, user) or not self.facts[op].fits_together(facts):
                continue
            along = None if facts.loads_from(op) else common_space(op, user)
            between = None if along is None else self.dependences.bring_together(op, user)
            if along is None or between is not None:
                apart[user] = between
                continue
            code = self.facts.code_of([op, user])
            new = self.facts.record(into_producer(op, user, along), code)
            self.dependences.joined(op, user, new)
            self._apart[new] = {**self._apart.pop(user, {}), **self._apart.pop(op)}
            return new
        return None

    def _join_siblings(self) -> None:
        """Compute in one pass what reads the same tensor over the same space."""
        self.dependences = Dependences(self.block, self.facts.reads)
        for op in list(self.block):
            if isinstance(op, kernel.Generic) and op.parent and not self.facts[op].is_product:
                self._gather_siblings(op)

    def _gather_siblings(self, op: kernel.Generic) -> None:
        """Join `op` with all that it may be joined with.

        What cannot be joined with `op` cannot be joined with more than `op` either, so that
        nothing is looked at twice but for another operand.
        """
        looked: set[Read] = set()
        refused: set[Operation] = set()
        pending = _tensor_reads(op)
        while pending:
            read = pending.pop(0)
            if read in looked:
                continue
            looked.add(read)
            least = self._least_reader(read.value)
            for user, index in _uses_behind(read.value, op):
                if not self.facts[op].has_room(*least):
                    break
                other = self._sibling(op, user, index, read)
                if other is None or other in refused:
                    continue
                if self.dependences.bring_together(op, other) is not None:
                    refused.add(other)
                    continue
                code = self.facts.code_of([op, other])
                new = self.facts.record(merged(op, other), code)
                self.dependences.joined(op, other, new)
                op = new
                pending += _tensor_reads(op)

    def _least_reader(self, value: Value) -> tuple[int, int]:
        """The fewest operations and operands of a kernel that reads `value`.

        What has no room for them need not look at all readers, of which there may be many.
        """
        known = self._least_readers.get(value)
        if known is None:
            readers = [self.facts[user] for user in value.users if isinstance(user, kernel.Generic)]
            operations = min((reader.operations for reader in readers), default=0)
            operands = min((reader.operands for reader in readers), default=0)
            known = self._least_readers[value] = operations, operands
        return known

    def _sibling(
        self, op: kernel.Generic, user: Operation, index: int, read: Read
    ) -> kernel.Generic | None:
        """`user`, whose operand `index` is of the value read, if it may be computed with `op`."""
        if not isinstance(user, kernel.Generic) or user.parent is not op.parent:
            return None
        same = user.maps.items[index] == read.map
        if not same or not _reduces_alike(op, user):
            return None
        facts = self.facts[user]
        if not op.is_before(user) or not self.facts[op].fits_together(facts) or facts.is_product:
            return None
        needs = any(value.owner is op for value in user.operands) or facts.loads_from(op)
        return None if needs else user

    def _untranspose(self, op: kernel.Generic) -> kernel.Generic | None:
        """Store the matrices of a batched product whole, if all readers can read them so."""
        roles = op.contraction()
        order = op.result_maps[0].picked() or ()
        if len(op.results) > 1 or roles is None or not order or order[-1] not in roles.batch:
            return None
        return stored_in_order(op)

    # What may be done

    def _may_compute_in(self, op: kernel.Generic, producer: kernel.Generic) -> bool:
        """Whether `op` may do the work of `producer`, without doing it more often."""
        facts, most = self.facts[op], MOST_REPEATS * self.facts[producer].points
        if facts.loads_from(producer):
            return False
        for i in _uses(op, producer):
            if i < op.body_count and (facts.is_product or facts.points > most):
                return False
            if i >= op.body_count and prod(op.parallel_sizes) > most:
                return False
        return facts.fits_together(self.facts[producer])

    def _absorbable(self, op: kernel.Generic) -> dict[kernel.Generic, bool]:
        """Kernels whose work `op` may do, nearer ones first; whether in its body or its epilogue.

        Movement is free. Other work must be needed by `op` alone, if through others that it
        absorbs, and be done no more often than before.
        """
        facts = self.facts[op]
        chosen: dict[kernel.Generic, bool] = {}
        operations, operands = facts.operations, facts.operands
        changed = True
        while changed:
            changed = False
            for producer in [p for user in (op, *chosen) for p in _producers(user)]:
                in_body = _is_read_in_body(op, producer, chosen)
                if chosen.get(producer) == in_body or (in_body and facts.is_product):
                    continue
                made = self.facts[producer]
                points = facts.points if in_body else prod(op.parallel_sizes)
                seldom = points <= MOST_REPEATS * made.points
                if not made.is_movement and not (seldom and _is_only_for(producer, op, chosen)):
                    continue
                # A padded copy is cheap where a reduction reads its elements many times.
                if made.is_guarded and in_body and not seldom:
                    continue
                if producer not in chosen:
                    operations += made.operations
                    operands += len(producer.operands)
                    if operations > MOST_OPERATIONS or operands > MOST_OPERANDS:
                        return chosen
                chosen[producer] = in_body
                changed = True
        return chosen

    def _joined_axes(self, op: kernel.Generic, index: int) -> tuple[int, Sequence[int]] | None:
        """A reduced dimension along several axes of what a movement made, and their sizes.

        Only where the order in which elements are combined shows in no result.
        """
        view = op.operands[index].defining_op
        if not isinstance(view, kernel.View) or not op.reduction or op.stored:
            return None
        types = [dtype_of(value.type) for value in op.reduced]
        exact = all(map(kernel.combines_exactly, op.combiner_names, types))
        if not exact or self.facts[op].is_product:
            return None
        made = view.source.defining_op
        if not isinstance(made, kernel.Generic) or not self.facts[made].is_movement:
            return None
        subscripts = op.operand_maps[index].results
        for axis, sizes in joined_axes(shape_of(view.source.type), view.shape):
            expr = subscripts[axis]
            for d in op.reduction:
                if expr == AffineExpr.dim(len(op.space), d) and op.space[d] == prod(sizes):
                    return d, sizes
        return None

    def _may_move_into(self, op: kernel.Generic, index: int, producer: kernel.Generic) -> bool:
        """Whether operand `index` may be read past the movement `producer`."""
        if index >= op.body_count or not self.facts[op].is_product:
            return True
        value = op.operands[index]
        passed = producer.body.terminator.operands[value.index]
        if passed.owner is not producer.body:
            return False
        by = producer_dimensions(producer, value.index, op.operand_maps[index])
        map_ = producer.operand_maps[passed.index].substitute(by, len(op.space), op.space)
        return self._keeps_form(op, index, Read(producer.operands[passed.index], map_))

    def _keeps_form(self, op: kernel.Generic, index: int, read: Read) -> bool:
        """Whether a contraction stays one when operand `index` is read in another way."""
        if index >= op.body_count or not self.facts[op].is_product:
            return True
        roles = op.contraction()
        if roles is not None and index == roles.gate:
            return True
        return read.map.is_separable and read.map.dims() == op.operand_maps[index].dims()


Rule = Callable[[kernel.Generic], kernel.Generic | None]
"""Changes a kernel and returns the one to look at next, or None when there is nothing to do."""


def _is_still(apart: dict[Operation, Operation | None], user: Operation) -> bool:
    """Whether `user` is among those `apart`, and what was in between is where it was."""
    if user not in apart:
        return False
    between = apart[user]
    return between is None or between.parent is not None


def _reduces_alike(op: kernel.Generic, other: kernel.Generic) -> bool:
    """Whether two kernels run over one space and sum in one order."""
    same = (op.space, op.reduction, op.order) == (other.space, other.reduction, other.order)
    both = ([dtype_of(v.type) for v in each.body.terminator.operands] for each in (op, other))
    return same and (not op.reduction or len({dtype for each in both for dtype in each}) == 1)


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


def _is_read_in_body(
    op: kernel.Generic, producer: kernel.Generic, chosen: dict[kernel.Generic, bool]
) -> bool:
    """Whether the body of `op` reads `producer`, directly or through what it absorbs."""
    if any(i < op.body_count for i in _uses(op, producer)):
        return True
    users = [user for value in producer.results for user in value.users]
    return any(chosen.get(user, False) for user in users if isinstance(user, kernel.Generic))


def _is_only_for(
    producer: kernel.Generic, op: kernel.Generic, chosen: dict[kernel.Generic, bool]
) -> bool:
    """Whether all readers of `producer` go into `op`."""
    users = [user for value in producer.results for user in value.users]
    return producer.parent is op.parent and all(user is op or user in chosen for user in users)


def _uses_behind(value: Value, op: kernel.Generic) -> list[tuple[Operation, int]]:
    """Uses of `value` by operations that come after `op` in its block."""
    block = op.parent
    assert block is not None
    place = block.place(op)
    return [use for use in value.uses if use[0].parent is block and use[0].ordinal > place]


def _tensor_reads(op: kernel.Generic) -> list[Read]:
    """What `op` reads through maps, each once."""
    pairs = zip(op.operands, op.operand_maps, strict=True)
    return list(dict.fromkeys(Read(value, map_) for value, map_ in pairs if is_tensor(value)))


def _through_view(op: kernel.Generic, index: int) -> Read | None:
    view = op.operands[index].defining_op
    if not isinstance(view, kernel.View):
        return None
    source = shape_of(view.source.type)
    map_ = through_view(op.operand_maps[index], view.shape, source, op.space)
    return None if map_ is None else Read(view.source, map_)
