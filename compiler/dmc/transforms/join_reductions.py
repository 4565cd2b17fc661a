"""One pass over memory for what is computed point by point and for its sums.

A kernel that stores what it computes at every point, and reductions over the same points of what it
computes, become one: nothing is stored that only they read, and what is stored is not read again.
Runs last, on kernels as they will be lowered; the order of a sum stays that of its own plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmc.dialects import func, kernel
from dmc.ir import AffineMap, Block, Builder, Module, Operation, Value, dtype_of
from dmc.ir.passes import Pass
from dmc.transforms.common import code_blocks
from dmc.transforms.compose import renaming
from dmc.transforms.generics import assemble
from dmc.transforms.kernel_facts import Facts
from dmc.transforms.order import Dependences
from dmc.transforms.part import Part


@dataclass(frozen=True)
class JoinReductions(Pass):
    """Compute sums of what is computed point by point in the same pass over memory."""

    name = "join-reductions"

    def run(self, module: Module) -> None:
        for function in func.functions(module):
            for block in code_blocks(function):
                _Joining(block).run()


class _Joining:
    """The kernels of one block."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.facts = Facts()
        self.dependences = Dependences(block, self.facts.reads)

    def run(self) -> None:
        for op in list(self.block):
            if not isinstance(op, kernel.Generic) or op.reduction or op.columns:
                continue
            if op.domain.is_everything:
                self._join(op)

    def _join(self, op: kernel.Generic) -> None:
        """All reductions that may be computed with `op`."""
        at = op
        for user in dict.fromkeys(user for value in op.results for user in value.users):
            along = self._along(at, user)
            if along is None or self.dependences.bring_together(at, user) is not None:
                continue
            assert isinstance(user, kernel.Generic)
            code = self.facts.code_of([at, user])
            new = self.facts.record(_joined(at, user, along), code)
            self.dependences.joined(at, user, new)
            at = new

    def _along(self, op: kernel.Generic, user: Operation) -> tuple[int, ...] | None:
        """For each dimension of `op` the one of the reduction `user` that it runs along."""
        if not isinstance(user, kernel.Generic) or user.parent is not op.parent:
            return None
        plain = user.reduction and user.order and user.domain.is_everything and not user.stored
        if not plain or self.facts[user].is_product or self.facts[op].loads_from(user):
            return None
        if not self.facts[op].fits_together(self.facts[user]) or self.facts[user].loads_from(op):
            return None
        found: set[tuple[int, ...]] = set()
        for i, value in enumerate(user.operands):
            if value.owner is not op:
                continue
            write, read = op.result_maps[value.index].picked(), user.operand_maps[i].picked()
            if i >= user.body_count or write is None or read is None:
                return None
            if sorted(read) != list(range(len(user.space))) or len(write) != len(op.space):
                return None
            places = dict(zip(write, read, strict=True))
            found.add(tuple(places[d] for d in range(len(op.space))))
        if len(found) != 1 or not _sums_alike(op, user):
            return None
        along = found.pop()
        if op.space != tuple(user.space[d] for d in along):
            return None
        if op.reduction and along != tuple(range(len(op.space))):
            return None
        if not all(_lies_along(op.result_maps[i], along, user) for i in _kept(op, user)):
            return None
        return along


def _kept(op: kernel.Generic, user: kernel.Generic) -> list[int]:
    """The results of `op` at every point that others than `user` read."""
    finished = len(op.results) - len(op.stored) if op.reduction else 0
    return [
        value.index
        for value in op.results[finished:]
        if any(reader is not user for reader in value.users)
    ]


def _lies_along(map_: AffineMap, along: Sequence[int], user: kernel.Generic) -> bool:
    """Whether what is stored lies in memory as the sum goes, which may cut it into vectors."""
    picked = map_.picked()
    if picked is None:
        return False
    places = [along[d] for d in picked]
    summed = [d for d in user.order if d in user.reduction]
    first = places.index(summed[0])
    return places[first : first + len(summed)] == summed


def _sums_alike(op: kernel.Generic, user: kernel.Generic) -> bool:
    """Whether `op` has no sums yet, or sums over the same dimensions in the same order."""
    form = op.space, op.reduction, op.order
    if op.reduction and form != (user.space, user.reduction, user.order):
        return False
    sums = (*op.reduced, *user.reduced) if op.reduction else user.reduced
    return len({dtype_of(value.type) for value in sums}) == 1


def _joined(op: kernel.Generic, user: kernel.Generic, along: Sequence[int]) -> kernel.Generic:
    """One kernel over the space of `user`, in the place of `op`.

    `op` may have taken reductions over that space before.
    """
    by = renaming(along, len(user.space))
    body, epilogue = Part(user.space), Part(user.space)

    def argument(value: Value, map_: AffineMap) -> Value:
        return body.read(value, body.moved(map_, by))

    pairs = zip(op.body_inputs, op.operand_maps, strict=False)
    yielded = body.inline(op.body, [argument(v, m) for v, m in pairs], by)
    sums = yielded[: len(op.reduced)] if op.reduction else []
    points = yielded[len(sums) :]
    finished = len(op.results) - len(points)
    own = [
        points[value.index - finished] if value.owner is op else body.read(value, map_)
        for value, map_ in zip(user.body_inputs, user.operand_maps, strict=False)
    ]
    more = body.inline(user.body, own)
    kept = [index - finished for index in _kept(op, user)]
    reduced = [epilogue.add_leading(value) for value in (*sums, *more)]
    body.finish([*sums, *more, *(points[i] for i in kept)])
    outputs: list[Value] = []
    groups = [(user, reduced[len(sums) :])]
    if op.reduction:
        groups.insert(0, (op, reduced[: len(sums)]))
    for part, values in groups:
        maps = part.operand_maps[part.body_count :]
        extra = epilogue.read_all(part.epilogue_inputs, maps)
        outputs += epilogue.inline(part.epilogue, [*values, *extra])
    epilogue.finish(outputs)
    results = [*op.results[:finished], *user.results, *(op.results[finished + i] for i in kept)]
    stored = [body.moved(op.result_maps[finished + i], by) for i in kept]
    builder = Builder.ahead_of(op)
    builder.location = op.location.by("join-reductions")
    new = assemble(
        builder,
        user.space,
        body.reads,
        body.block,
        [*op.result_maps[:finished], *user.result_maps, *stored],
        [*(op.combiner_names if op.reduction else ()), *user.combiner_names],
        len(user.reduction),
        epilogue.reads,
        epilogue.block,
        [value.name for value in results],
        user.order,
    )
    for old, value in zip(results, new.results, strict=True):
        old.replace_all_uses_with(value)
    user.erase()
    op.erase()
    return new
