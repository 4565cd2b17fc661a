"""Which kernels of a block run on tiles of rows, in which loops, and what that saves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from dmc.dialects import kernel
from dmc.ir import AffineMap, Block, Operation, Value, bytes_of, dtype_of, shape_of

Axes = tuple[int, ...]
"""The axis of a value, or the dimension of a kernel, for each streamed class of dimensions."""

Sliced = tuple[int | None, ...]
"""The axis of an operand along which its rows lie, for each class; None where it has no rows."""

Copied = tuple[kernel.Generic, int, Axes]
"""A member, the number of an operand and the dimensions along which it is read."""

EXACT = frozenset({"max", "min"})
"""Combiners whose partial results may be combined in any order."""

CONTRACTION_BYTES = 0.25
"""The bytes that are moved in the time of one operation of a product of matrices."""

OPERATION_BYTES = 1.0
"""The same for one operation of other kernels."""


@dataclass
class Group:
    """Kernels of one block that run on the same rows, grown from a value too large to keep.

    Every member has one dimension for each class, parallel or reduced. Values that are `dissolved`
    exist a tile at a time only: they are made and read by members, row by row.
    """

    block: Block
    sizes: Sequence[int]
    large: int
    members: dict[kernel.Generic, Axes] = field(default_factory=dict[kernel.Generic, Axes])
    dissolved: dict[Value, Axes] = field(default_factory=dict[Value, Axes])
    kept: set[Value] = field(default_factory=set[Value])

    def grow(self, seed: Value, axes: Axes) -> None:
        """Take in what makes and reads `seed`, and all that is large around it."""
        pending = [(seed, axes)]
        while pending:
            value, at = pending.pop()
            if value in self.dissolved or value in self.kept:
                continue
            found = self._makers_and_readers(value, at)
            if found is None:
                self.kept.add(value)
                continue
            self.dissolved[value] = at
            for op, dims in found:
                if op not in self.members:
                    self.members[op] = dims
                    pending += self._large_around(op, dims)
        self._connect()

    # Joining

    def _makers_and_readers(
        self, value: Value, axes: Axes
    ) -> list[tuple[kernel.Generic, Axes]] | None:
        """Every kernel that makes or reads `value`, if all do so row by row."""
        maker = value.defining_op
        if not isinstance(maker, kernel.Generic):
            return None
        found = [(maker, dims_at(maker.result_maps[value.index], axes))]
        for user, index in value.uses:
            if not isinstance(user, kernel.Generic) or index >= len(user.operands):
                return None
            found.append((user, dims_at(user.operand_maps[index], axes)))
        joined: list[tuple[kernel.Generic, Axes]] = []
        for op, dims in found:
            if dims is None or self.members.get(op, dims) != dims or not self._fits(op, dims):
                return None
            joined.append((op, dims))
        by_op = dict(joined)
        return joined if all(by_op[op] == dims for op, dims in joined) else None

    def _fits(self, op: kernel.Generic, dims: Axes) -> bool:
        """Whether `op` can run on rows that these dimensions number.

        Sums along them must have no order of their own, which is that of whole arrays.
        """
        sizes = tuple(op.space[d] for d in dims)
        if op.parent is not self.block or sizes != tuple(self.sizes) or len(set(dims)) < len(dims):
            return False
        for inner in op.walk():
            if isinstance(inner, kernel.Inside) and inner.map.dims() & set(dims):
                return False
        reduced = [d in op.reduction for d in dims]
        if not any(reduced):
            return not op.stored
        free = (not op.order and op.combiner_names == ("add",)) or EXACT.issuperset(
            op.combiner_names
        )
        return free and not op.stored and reduced == sorted(reduced)

    def _large_around(self, op: kernel.Generic, dims: Axes) -> Iterator[tuple[Value, Axes]]:
        if not self.sums(op):
            for value, map_ in zip(op.results, op.result_maps, strict=True):
                axes = axes_at(map_, dims)
                if axes is not None and bytes_of(value) >= self.large:
                    yield value, axes
        for value, map_ in zip(op.operands, op.operand_maps, strict=True):
            axes = axes_at(map_, dims)
            if axes is not None and bytes_of(value) >= self.large:
                yield value, axes

    def _connect(self) -> None:
        """Take in the small kernels on the way from one member to another."""
        wanted: set[Operation] = set()
        for op in reversed(list(self.block)):
            if op in self.members or op in wanted:
                wanted.update(v.defining_op for v in op.reads() if v.defining_op is not None)
        for op in self.block:
            if isinstance(op, kernel.Generic) and op in wanted and op not in self.members:
                dims = self._dims_by_operands(op)
                if dims is not None and self._fits(op, dims):
                    self.members[op] = dims

    def _dims_by_operands(self, op: kernel.Generic) -> Axes | None:
        """The dimensions along which `op` reads rows of members."""
        for value, map_ in zip(op.operands, op.operand_maps, strict=True):
            axes = self.axes(value)
            if axes is not None:
                return dims_at(map_, axes)
        return None

    # Reading along no axis

    def copied(self) -> list[Copied]:
        """What members read along their rows, but not along one whole axis: they read a copy."""
        return [
            (op, index, tuple(sorted(op.operand_maps[index].dims())))
            for op, dims in self.members.items()
            for index in range(len(op.operands))
            if any(not _is_sliced(op, index, d) for d in dims)
        ]

    def copies_few(self) -> bool:
        """Whether everything that is copied is there before, and small beside what is not kept."""
        size = 0
        for op, index, dims in self.copied():
            value = op.operands[index]
            inside = op.operand_maps[index].stays_inside(op.space, shape_of(value.type))
            if value in self.dissolved or value.defining_op in self.members or not inside:
                return False
            size += prod(op.space[d] for d in dims) * dtype_of(value.type).bytes
        return 2 * size <= sum(map(bytes_of, self.dissolved))

    # Questions

    def sums(self, op: kernel.Generic) -> bool:
        """Whether a member adds rows up."""
        return not set(self.members[op]).isdisjoint(op.reduction)

    def axes(self, value: Value) -> Axes | None:
        """The axes of rows of what a member makes row by row."""
        op = value.defining_op
        if not isinstance(op, kernel.Generic) or op not in self.members or self.sums(op):
            return None
        return axes_at(op.result_maps[value.index], self.members[op])

    def is_local(self, op: kernel.Generic, index: int) -> bool:
        """Whether a member reads an operand of another member at its own rows."""
        axes = self.axes(op.operands[index])
        return axes is not None and dims_at(op.operand_maps[index], axes) == self.members[op]


@dataclass(frozen=True)
class Plan:
    """The loops over tiles, in order, each with the members that it runs.

    A member whose dissolved result is read behind a loop that must end first runs again there.
    """

    group: Group
    loops: Sequence[Sequence[kernel.Generic]]
    levels: Mapping[Operation, int]
    """For each operation of the block, behind how many loops it comes; a member's is its own."""

    rows: int
    """How many rows a tile has."""

    def sliced(self, op: kernel.Generic, index: int) -> Sliced:
        """Where the rows of an operand of a member lie."""
        exprs = op.operand_maps[index].results
        single = [expr.single_dimension() for expr in exprs]
        dims = self.group.members[op]
        return tuple(single.index(d) if d in single else None for d in dims)

    @property
    def saved(self) -> float:
        """The part of what is moved that is not any more, less the time of what runs again."""
        alone = sum(map(bytes_of, (v for op in self.group.members for v in _named_by(op))))
        together = sum(map(self._moved, range(len(self.loops))))
        runs = Counter(op for loop in self.loops for op in loop)
        again = sum(work_of(op) * (count - 1) for op, count in runs.items())
        return (alone - together - again) / alone

    def _moved(self, level: int) -> int:
        """The bytes that a loop reads from memory and leaves there.

        What does not depend on the rows of a class is read, or added to, for all of them. Where
        rows do not lie one after the other, they are read and written once more to lie so.
        """
        once, turned, often = set(self.leaving(level)), set[tuple[Value, Sliced]](), 0
        for value in once:
            axes = self.group.axes(value)
            assert axes is not None
            turned.add((value, axes))
        for op in self.loops[level]:
            dims = self.group.members[op]
            for index, value in enumerate(op.operands):
                if self.makes(level, op, index):
                    continue
                turned.add((value, self.sliced(op, index)))
                times = self._times([d in op.operand_maps[index].dims() for d in dims])
                if times == 1:
                    once.add(value)
                else:
                    often += times * bytes_of(value)
            if self.group.sums(op):
                times = self._times([d not in op.reduction for d in dims])
                often += sum(2 * times * bytes_of(value) for value in op.results)
        again = (2 * bytes_of(value) for value, axes in turned if not _lead(axes))
        return often + sum(map(bytes_of, once)) + sum(again)

    def _times(self, has: Sequence[bool]) -> int:
        """In how many tiles the same is needed of what only has some of the classes."""
        *outer, last = self.group.sizes
        counts = [*outer, -(-last // self.rows)]
        return prod(count for count, own in zip(counts, has, strict=True) if not own)

    def makes(self, level: int, op: kernel.Generic, index: int) -> bool:
        """Whether an operand of a member is made in the same loop, at the same rows."""
        return (
            self.group.is_local(op, index) and op.operands[index].defining_op in self.loops[level]
        )

    def leaving(self, level: int) -> list[Value]:
        """What a loop makes row by row for others: those outside, and later loops."""
        group, later = self.group, self.loops[level + 1 :]
        return [
            value
            for op in self.loops[level]
            if self.levels[op] == level and not group.sums(op)
            for value in op.results
            if value not in group.dissolved
            and (
                is_used_whole(group, value)
                or any(user in loop for loop in later if op not in loop for user in value.users)
            )
        ]


def planned(group: Group, rows: int) -> Plan:
    """Put the members of a group into as few loops as their sums allow."""
    levels = _levels(group)
    count = 1 + max(levels[op] for op in group.members)
    loops: list[list[kernel.Generic]] = [[] for _ in range(count)]
    passed: set[Value] = set()
    place: dict[Operation, int] = {op: i for i, op in enumerate(group.block)}
    for level in reversed(range(count)):
        chosen: set[kernel.Generic] = set()
        pending = [op for op in group.members if levels[op] == level and _leaves(group, op, passed)]
        while pending:
            op = pending.pop()
            if op in chosen:
                continue
            chosen.add(op)
            for index, value in enumerate(op.operands):
                if not group.is_local(op, index):
                    continue
                maker = value.defining_op
                assert isinstance(maker, kernel.Generic)
                if levels[maker] == level or value in group.dissolved:
                    pending.append(maker)
                else:
                    passed.add(value)
        loops[level] = sorted(chosen, key=place.__getitem__)
    return Plan(group, loops, levels, rows)


def _levels(group: Group) -> dict[Operation, int]:
    levels: dict[Operation, int] = {}
    for op in group.block:
        level = 0
        for index, value in enumerate(op.reads()):
            maker = value.defining_op
            if maker is None or maker not in levels:
                continue
            ends = maker in group.members
            if ends and isinstance(op, kernel.Generic) and op in group.members:
                ends = index >= len(op.operands) or not group.is_local(op, index)
            level = max(level, levels[maker] + ends)
        levels[op] = level
    return levels


def _leaves(group: Group, op: kernel.Generic, passed: set[Value]) -> bool:
    """Whether anything that a member makes is needed outside of its loop."""
    return any(
        (group.sums(op) and bool(value.uses)) or value in passed or is_used_whole(group, value)
        for value in op.results
    )


def is_used_whole(group: Group, value: Value) -> bool:
    """Whether something but members at their rows reads a value."""
    return any(
        not isinstance(user, kernel.Generic)
        or user not in group.members
        or not group.is_local(user, index)
        for user, index in value.uses
    )


def _named_by(op: kernel.Generic) -> set[Value]:
    return {*op.operands, *op.results}


def work_of(op: kernel.Generic) -> float:
    """The time of a kernel in bytes that could be moved meanwhile."""
    each = CONTRACTION_BYTES if op.contraction() is not None else OPERATION_BYTES
    return each * op.cost().flops


def dims_at(map_: AffineMap, axes: Axes) -> Axes | None:
    """The dimensions that are the subscripts of `axes`, as they stand."""
    dims = [map_.results[axis].single_dimension() for axis in axes]
    found = tuple(d for d in dims if d is not None)
    return found if len(found) == len(dims) else None


def axes_at(map_: AffineMap, dims: Axes) -> Axes | None:
    """The axes of which `dims` are the subscripts, as they stand."""
    single = [expr.single_dimension() for expr in map_.results]
    return tuple(single.index(d) for d in dims) if set(dims) <= set(single) else None


def _lead(axes: Sliced) -> bool:
    """Whether rows along these axes lie one after the other."""
    rows = [axis for axis in axes if axis is not None]
    return rows == list(range(len(rows)))


def _is_sliced(op: kernel.Generic, index: int, dim: int) -> bool:
    """Whether an operand is read along `dim` through one whole axis of its own, or not at all."""
    map_, shape = op.operand_maps[index], shape_of(op.operands[index].type)
    using = [axis for axis, expr in enumerate(map_.results) if dim in expr.dims()]
    if not using:
        return True
    alone = len(using) == 1 and map_.results[using[0]].single_dimension() == dim
    return alone and shape[using[0]] == op.space[dim]
