"""Choices common to schedules: the vector dimension, its lanes, and the division into tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dmc.dialects import kernel
from dmc.dialects.elementwise import Elementwise
from dmc.ir.types import DType
from dmc.lowering.loop_builder import Linear, LoopBuilder, Subscript
from dmc.lowering.machine import Machine
from dmc.lowering.schedules.nest import Access, Nest

MOST_TASKS = 64
TASK_NANOSECONDS = 10_000
"""A task should take at least about this long: handing one out costs about a tenth of it."""

BYTES_PER_NANOSECOND = 12
OPERATIONS_PER_NANOSECOND = 3
"""Estimates of one core's speed, the same for all machines: they only size tasks."""

_TRANSPOSED = 4.0
"""What a vector costs whose elements are read as part of a block, in vector loads."""

_STRIDED = 1.5
"""What one lane of a gather or scatter costs, in vector loads."""


def lanes_for(machine: Machine, nest: Nest) -> int:
    """As many lanes as a register has of the widest element computed with."""
    dtypes = {access.dtype for access in nest.accesses}
    widest = {d for d in dtypes if d.is_float} or dtypes or {DType.F32}
    return min(machine.lanes(dtype) for dtype in widest)


def access_cost(nest: Nest, access: Access, dimension: int, lanes: int) -> float:
    """Cost of reading or writing one vector, in vector loads."""
    match access.strides[dimension]:
        case 0:
            return 0.2
        case 1:
            return 1.0
        case _:
            return (
                _TRANSPOSED if is_transposable(nest, access, dimension, lanes) else _STRIDED * lanes
            )


def is_transposable(nest: Nest, access: Access, dimension: int, lanes: int) -> bool:
    """Whether blocks of a map's input lie along another dimension, to be turned in registers."""
    if nest.combiners or access not in nest.inputs or access.dtype.bytes < 4:
        return False
    along = [d for d in nest.parallel_dims if access.strides[d] == 1 and nest.sizes[d] >= lanes]
    return bool(along) and nest.sizes[dimension] >= lanes


def flops_of(nest: Nest) -> int:
    """Operations at each point."""
    total = 0
    for op in nest.body:
        if isinstance(op, Elementwise):
            total += op.flops
        elif isinstance(op, kernel.Load):
            total += 4
    return total + len(nest.combiners)


def vector_cost(nest: Nest, accesses: Sequence[Access], dimension: int, lanes: int) -> float:
    """Cost of all points when `dimension` runs along the lanes."""
    blocks = -(-nest.sizes[dimension] // lanes) * (nest.points // nest.sizes[dimension])
    return blocks * (flops_of(nest) + sum(access_cost(nest, a, dimension, lanes) for a in accesses))


def scalar_cost(nest: Nest, accesses: Sequence[Access]) -> float:
    """Cost of all points, one by one."""
    return nest.points * (flops_of(nest) + 0.5 * len(accesses) + 0.5)


def nanoseconds(nest: Nest, lanes: int) -> float:
    """A rough estimate of the time of a nest on one core."""
    computing = nest.points * (flops_of(nest) + 1) / (lanes * OPERATIONS_PER_NANOSECOND)
    traffic = 0
    for access in nest.accesses:
        moved = [n for n, s in zip(nest.sizes, access.strides, strict=True) if s]
        traffic += math.prod(moved) * access.dtype.bytes * access.in_memory
    return max(computing, traffic / BYTES_PER_NANOSECOND)


@dataclass(frozen=True)
class Split:
    """Tasks that each take `chunk` neighbouring subscripts of one dimension (the last fewer)."""

    dimension: int
    size: int
    chunk: int

    @property
    def tasks(self) -> int:
        return -(-self.size // self.chunk)

    def bounds(self, b: LoopBuilder, task: Subscript) -> tuple[Subscript, Subscript]:
        """First and past-the-end subscript of a task."""
        if self.tasks == 1:
            return 0, self.size
        first = Linear.of(task) * self.chunk
        past = b.index(first + self.chunk)
        whole = self.size % self.chunk == 0
        return b.index(first), past if whole else b.minimum(past, self.size)


def split(
    sizes: Sequence[int], candidates: Sequence[int], time: float, unit: dict[int, int]
) -> Split | None:
    """Divide one of `candidates` (in order of preference) so that tasks are worth it, or None.

    `unit[d]` is what chunks of dimension `d` are multiples of.
    """
    wanted = min(MOST_TASKS, int(time // TASK_NANOSECONDS))
    if wanted < 2 or not candidates:
        return None
    pieces = {d: -(-sizes[d] // unit.get(d, 1)) for d in candidates}
    best = next((d for d in candidates if pieces[d] >= wanted), None)
    if best is None:
        best = max(candidates, key=lambda d: pieces[d])
    if pieces[best] < 2:
        return None
    # Whole units, spread evenly.
    chunk = -(-pieces[best] // min(wanted, pieces[best])) * unit.get(best, 1)
    return Split(best, sizes[best], chunk)
