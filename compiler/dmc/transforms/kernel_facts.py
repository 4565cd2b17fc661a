"""What fusion asks again and again about kernels."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from dmc.dialects import arith, kernel
from dmc.dialects.elementwise import Elementwise
from dmc.ir import Operation, Trait, Value, bytes_of
from dmc.process import lazy
from dmc.transforms.order import reads_of

EXPENSIVE = 4
"""Elementwise operations worth this many multiplications are not computed twice."""
MOST_REPEATS = 2
"""Work may be done this many times as often when it need not be stored between: halos."""
MOST_EXPANSION = 8
"""Results that are this many times as large as all they are made from are not stored."""
MOST_OPERATIONS = 2048
MOST_OPERANDS = 128
"""Kernels that pass each other data become none larger: what does not fit registers is kept in the
first cache, which costs less than a pass over memory."""
MOST_SHARED_OPERATIONS = 256
MOST_SHARED_OPERANDS = 24
"""Kernels that only share an operand become none larger."""


class KernelFacts:
    """Facts about one kernel, which hold as long as it is not replaced by another."""

    def __init__(self, op: kernel.Generic, loaded: list[Value]) -> None:
        self.op = op
        self._loaded = loaded
        self.points = op.points
        self.operations = sum(inner.block.size for inner in op.regions)
        self.operands = len(op.operands) + len(op.results)
        """Operands and results together."""

    @property
    def loaded(self) -> list[Value]:
        """What its code reads at subscripts that it computes."""
        if any(isinstance(v.owner, Operation) and v.owner.parent is None for v in self._loaded):
            self._loaded = _loaded(self.op)  # other kernels have taken the place of what made it
        return self._loaded

    def _work(self, most: int) -> list[Operation]:
        """The first elementwise operations, `most` at most, that do more than choose."""
        work = (op for op in self.op.body if op.has(Trait.ELEMENTWISE) and not _is_guard(op))
        return list(islice(work, most))

    @lazy
    def is_product(self) -> bool:
        """Whether it is a contraction with reuse of both operands: a product of matrices.

        Other contractions are no more than reductions.
        """
        roles = self.op.contraction()
        return roles is not None and bool(roles.m) and bool(roles.n)

    @lazy
    def is_movement(self) -> bool:
        """Whether it computes nothing but subscripts, or little from subscripts alone."""
        if self.op.reduction or self.loaded:
            return False
        work = self._work(9)
        return not work or (not self.op.operands and len(work) <= 8 and not self._is_expensive)

    @lazy
    def is_guarded(self) -> bool:
        """Whether its subscripts decide what it computes."""
        return any(isinstance(op, kernel.Inside) for op in self.op.body)

    @lazy
    def is_oversized(self) -> bool:
        """Whether it makes much from little: all points of a builder, which no one has named."""
        if self.op.reduction or self.loaded:
            return False
        largest = max(map(bytes_of, self.op.operands), default=0)
        return MOST_EXPANSION * largest <= sum(map(bytes_of, self.op.results))

    @lazy
    def is_cheap(self) -> bool:
        """Whether computing it again is better than reading what it stored."""
        if self.op.reduction or self.loaded or len(self._work(5)) > 4 or self._is_expensive:
            return False
        read = sum(map(bytes_of, self.op.operands))
        return read <= sum(map(bytes_of, self.op.results))

    @lazy
    def _is_expensive(self) -> bool:
        return any(isinstance(op, Elementwise) and op.flops >= EXPENSIVE for op in self.op.body)

    def loads_from(self, producer: Operation) -> bool:
        """Whether its code reads a result of `producer` at subscripts that it computes."""
        return any(value.owner is producer for value in self.loaded)

    def fits_together(self, other: KernelFacts) -> bool:
        """Whether one kernel may do the work of both, of which one reads what the other makes."""
        fits = self.operations + other.operations <= MOST_OPERATIONS
        return fits and self.operands + other.operands <= MOST_OPERANDS

    def has_room(self, operations: int, operands: int) -> bool:
        """Whether the kernel may take over so much of what only shares an operand with it."""
        fits = self.operations + operations <= MOST_SHARED_OPERATIONS
        return fits and self.operands + operands <= MOST_SHARED_OPERANDS


class Facts(dict[Operation, KernelFacts]):
    """The facts about every kernel, found when they are first asked for."""

    def __missing__(self, op: Operation) -> KernelFacts:
        assert isinstance(op, kernel.Generic)
        found = self[op] = KernelFacts(op, _loaded(op))
        return found

    def loaded_by(self, parts: Iterable[kernel.Generic]) -> list[Value]:
        """What a kernel that does the work of all `parts` loads from."""
        return list(dict.fromkeys(value for part in parts for value in self[part].loaded))

    def record(self, new: kernel.Generic, loaded: list[Value]) -> kernel.Generic:
        """Add a kernel made of others, from `loaded_by` them; its code is not looked at again."""
        self[new] = KernelFacts(new, loaded)
        return new

    def reads(self, op: Operation) -> list[Value]:
        """The values from outside that `op` and everything inside it use."""
        if isinstance(op, kernel.Generic):
            return [*op.operands, *self[op].loaded]
        return reads_of(op)


def _loaded(op: kernel.Generic) -> list[Value]:
    return [load.source for load in op.loads()]


def _is_guard(op: Operation) -> bool:
    """Whether `op` only chooses by subscripts, as a read does that gives zero outside."""
    return isinstance(op, arith.Select) and isinstance(op.predicate.defining_op, kernel.Inside)
