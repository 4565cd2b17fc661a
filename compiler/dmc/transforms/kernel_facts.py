"""What fusion asks again and again about kernels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from dmc.dialects import arith, kernel
from dmc.dialects.elementwise import Elementwise
from dmc.ir import AffineMap, Operation, Trait, Value, bytes_of, shape_of
from dmc.process import lazy
from dmc.transforms.order import reads_of

EXPENSIVE = 4
"""Elementwise operations worth this many multiplications are not computed twice."""
MOST_REPEATS = 2
"""Work may be done this many times as often when it need not be stored between: halos."""
MOST_EXPANSION = 8
"""Results that are this many times as large as all they are made from are not stored."""
MOST_OPERATIONS = 256
MOST_OPERANDS = 24
MOST_COLUMN_OPERATIONS = 2048
MOST_COLUMN_OPERANDS = 128
"""Kernels on columns of tensors, as of points, may become larger: columns of one tensor share their
cache lines, and what does not fit registers stays in the first cache."""


@dataclass(frozen=True)
class Code:
    """What is found by looking at all of a kernel, and handed on when it becomes part of one."""

    loaded: tuple[Value, ...]
    """What it reads at subscripts that it computes."""
    parts: tuple[Value, ...]
    """What it reads single columns of, or at subscripts that it computes."""
    on_columns: bool
    """Whether it reads several columns of one tensor, as it must to have whole points."""

    @staticmethod
    def of(op: kernel.Generic) -> Code:
        """That of a kernel nothing is known of yet."""
        loaded = _loaded(op)
        pairs = zip(op.operands, op.operand_maps, strict=True)
        fixed = [value for value, map_ in pairs if _is_column(value, map_)]
        return Code._counted(loaded, [*loaded, *fixed], False)

    @staticmethod
    def _counted(loaded: Iterable[Value], parts: Sequence[Value], on_columns: bool) -> Code:
        once = tuple(dict.fromkeys(parts))
        on_columns = on_columns or len(once) < len(parts)
        return Code(tuple(dict.fromkeys(loaded)), once, on_columns)

    @staticmethod
    def joined(codes: Sequence[Code]) -> Code:
        """That of a kernel made of several."""
        loaded = [value for code in codes for value in code.loaded]
        parts = [value for code in codes for value in code.parts]
        return Code._counted(loaded, parts, any(code.on_columns for code in codes))


class KernelFacts:
    """Facts about one kernel, which hold as long as it is not replaced by another."""

    def __init__(self, op: kernel.Generic, code: Code) -> None:
        self.op = op
        self.code = code
        self._loaded = list(code.loaded)
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
        """Whether one kernel may do the work of both."""
        operations, operands = MOST_OPERATIONS, MOST_OPERANDS
        if self.code.on_columns or other.code.on_columns:
            operations, operands = MOST_COLUMN_OPERATIONS, MOST_COLUMN_OPERANDS
        fits = self.operations + other.operations <= operations
        return fits and self.operands + other.operands <= operands

    def has_room(self, operations: int, operands: int) -> bool:
        """Whether the kernel may take over so much."""
        fits = self.operations + operations <= MOST_OPERATIONS
        return fits and self.operands + operands <= MOST_OPERANDS


class Facts(dict[Operation, KernelFacts]):
    """The facts about every kernel, found when they are first asked for."""

    def __missing__(self, op: Operation) -> KernelFacts:
        assert isinstance(op, kernel.Generic)
        found = self[op] = KernelFacts(op, Code.of(op))
        return found

    def code_of(self, parts: Sequence[kernel.Generic]) -> Code:
        """What is known of a kernel that does the work of all `parts`."""
        return Code.joined(
            [replace(self[part].code, loaded=tuple(self[part].loaded)) for part in parts]
        )

    def record(self, new: kernel.Generic, code: Code) -> kernel.Generic:
        """Add a kernel made of others, from `code_of` them; its code is not looked at again."""
        self[new] = KernelFacts(new, code)
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


def _is_column(value: Value, map_: AffineMap) -> bool:
    """Whether one subscript of a read is fixed, where it could differ."""
    pairs = zip(map_.results, shape_of(value.type), strict=True)
    return bool(map_.dims()) and any(n > 1 and not expr.dims() for expr, n in pairs)
