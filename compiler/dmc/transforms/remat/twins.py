"""Operations that compute what an earlier one has computed: what may be kept after all."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from dmc.dialects import func
from dmc.ir import Operation, Value
from dmc.transforms.common import code_blocks
from dmc.transforms.cse import key_of
from dmc.transforms.remat.measure import Measure

_BASE = 1 << 40
"""Numbers of values begin here, so that they are none of those that `key_of` gives."""


@dataclass(frozen=True)
class Twins:
    """`later` computes the same as `earlier`, in the same block."""

    earlier: Operation
    later: Operation

    def join(self) -> None:
        """Keep the results of the earlier one."""
        for kept, dropped in zip(self.earlier.results, self.later.results, strict=True):
            dropped.replace_all_uses_with(kept)
        self.later.erase()


def twins(function: func.Func, measure: Measure) -> list[Twins]:
    """All of them, those first that take the most time."""
    found = [pair for block in code_blocks(function) for pair in _in_block(list(block))]
    return sorted(found, key=lambda pair: -measure.time_of(pair.later))


def _in_block(ops: list[Operation]) -> Iterator[Twins]:
    """By numbering values: equal operations on values of equal numbers have equal results."""
    numbers: dict[Value, int] = {}
    known: dict[Hashable, Operation] = {}

    def number(value: Value) -> int:
        return numbers.setdefault(value, _BASE + len(numbers))

    for op in ops:
        if not op.results or not op.is_pure:
            continue
        key = key_of(op, {value: number(value) for value in op.reads()})
        earlier = known.get(key)
        known[key] = op
        if earlier is not None:
            pairs = zip(op.results, earlier.results, strict=True)
            numbers.update((later, number(value)) for later, value in pairs)
            if op.regions:
                yield Twins(earlier, op)
