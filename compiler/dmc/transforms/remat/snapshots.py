"""Snapshots of a loop of which nobody knows how often it will run, in a fixed number of slots.

After Wang, Moin and Iaccarino, "Minimal repetition dynamic checkpointing algorithm for unsteady
adjoint calculation", 2009. A snapshot has the number of its step and a level. Every step that is
reached takes a slot: one that is free, or else that of a snapshot that is covered, which is that a
later one has a higher level; where none is, the last snapshot moves on to the new step and rises a
level. Steps so far apart remain that no step runs more often than it must with so many slots. What
goes back through the loop drops a snapshot when it has been used, and takes the slots that are free
then in the same way for the steps that it runs again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dmc.dialects import arith, kernel
from dmc.ir import AffineMap, Builder, DType, TensorType, Value, dtype_of, shape_of
from dmc.transforms.generics import Read, index, load, make_generic, passing

FREE = -1
"""The step of a slot without a snapshot."""

_HIGHEST = 1 << 20
"""The level of the first step's snapshot, which stays."""

_COVERED, _UNUSED = 1 << 40, 1 << 41
"""How slots that are covered and free ones rank among those to take: above any number of a step."""

_EACH, _ONE = AffineMap.identity(1), AffineMap.select(1, ())


_Rank = Callable[[Builder, Value, Value], Value]
"""How a slot ranks, by the step of its snapshot and how often that is covered."""


@dataclass(frozen=True)
class Snapshots:
    """The slots as they are at one point of a program.

    Of each slot `steps` has the number of the step whose beginning it holds, or `FREE`, `levels`
    its level, and `covers` how many later snapshots have a higher one (`i64[slots]` each); `states`
    are what a step begins with, along a leading axis of slots.
    """

    steps: Value
    levels: Value
    covers: Value
    states: tuple[Value, ...]

    @property
    def values(self) -> list[Value]:
        """All that a loop carries for it."""
        return [self.steps, self.levels, self.covers, *self.states]

    @staticmethod
    def of(values: Sequence[Value]) -> Snapshots:
        """From the `values` of others at another point."""
        steps, levels, covers, *states = values
        return Snapshots(steps, levels, covers, tuple(states))

    @property
    def slots(self) -> int:
        return shape_of(self.steps.type)[0]

    def taken(self, builder: Builder, step: Value, state: Sequence[Value]) -> Snapshots:
        """With the beginning of `step`, a later one than all others, in a slot."""
        zero = arith.index(builder, 0)
        rank, slot = self._first(builder, _to_take)
        kept = arith.compare(builder, arith.Direction.LT, rank, arith.index(builder, _COVERED))
        gone, level = (_at(builder, array, slot) for array in (self.steps, self.levels))
        risen = arith.add(builder, level, arith.index(builder, 1))
        level_now = arith.select(builder, kept, risen, zero)
        begins = arith.compare(builder, arith.Direction.EQ, step, zero)
        level_now = arith.select(builder, begins, arith.index(builder, _HIGHEST), level_now)
        arrays = self._changed(builder, slot, (gone, level), (step, level_now))
        states = [
            _stored(builder, whole, part, slot)
            for whole, part in zip(self.states, state, strict=True)
        ]
        return Snapshots(*arrays, tuple(states))

    def last(self, builder: Builder) -> tuple[Value, Value]:
        """The latest step that there is a snapshot of, and its slot."""
        return self._first(builder, _step)

    def state(self, builder: Builder, slot: Value) -> list[Value]:
        """What is in a slot."""
        return [element_of(builder, whole, slot) for whole in self.states]

    def without(self, builder: Builder, step: Value, slot: Value) -> Snapshots:
        """With the last snapshot, of `step`, dropped."""
        none = arith.index(builder, FREE)
        level = _at(builder, self.levels, slot)
        arrays = self._changed(builder, slot, (step, level), (none, arith.index(builder, 0)))
        return Snapshots(*arrays, self.states)

    def _changed(
        self, builder: Builder, slot: Value, old: tuple[Value, Value], new: tuple[Value, Value]
    ) -> tuple[Value, Value, Value]:
        """Steps, levels and covers with another step and level in a slot; it is the last then."""

        def code(b: Builder, args: list[Value]) -> list[Value]:
            step, level, cover, slot, old_step, old_level, new_step, new_level = args
            zero = arith.index(b, 0)

            def covered(by: Value, behind: Value) -> Value:
                """1 where a snapshot is before `behind` and of a lower level than `by`."""
                lower = arith.compare(b, arith.Direction.LT, level, by)
                there = arith.compare(b, arith.Direction.GE, step, zero)
                before = arith.compare(b, arith.Direction.LT, step, behind)
                both = arith.logical_and(b, lower, arith.logical_and(b, there, before))
                return arith.convert(b, both, DType.I64)

            here = arith.compare(b, arith.Direction.EQ, index(b, 0), slot)
            more = arith.subtract(b, covered(new_level, new_step), covered(old_level, old_step))
            return [
                arith.select(b, here, new_step, step),
                arith.select(b, here, new_level, level),
                arith.select(b, here, zero, arith.add(b, cover, more)),
            ]

        arrays = [Read(array, _EACH) for array in (self.steps, self.levels, self.covers)]
        scalars = [Read(value, _ONE) for value in (slot, *old, *new)]
        made = make_generic(builder, (self.slots,), [*arrays, *scalars], code, [_EACH] * 3)
        steps, levels, covers = made.results
        return steps, levels, covers

    def _first(self, builder: Builder, rank: _Rank) -> tuple[Value, Value]:
        """The highest rank of a slot, and the slot."""
        slots = self.slots

        def code(b: Builder, args: list[Value]) -> list[Value]:
            scaled = arith.multiply(b, rank(b, args[0], args[1]), arith.index(b, slots))
            return [arith.add(b, scaled, index(b, 0))]

        reads = [Read(self.steps, _EACH), Read(self.covers, _EACH)]
        made = make_generic(builder, (slots,), reads, code, [_ONE], ["max"], 1)
        found, count = made.results[0], arith.index(builder, slots)
        return (
            arith.floor_divide(builder, found, count),
            arith.remainder(builder, found, count),
        )


def _step(builder: Builder, step: Value, covers: Value) -> Value:
    return step


def _to_take(builder: Builder, step: Value, covers: Value) -> Value:
    """How good a slot is to take: one that is free, one that is covered, the last."""
    zero = arith.index(builder, 0)
    covered = arith.compare(builder, arith.Direction.GT, covers, zero)
    rank = arith.select(builder, covered, arith.index(builder, _COVERED), step)
    unused = arith.compare(builder, arith.Direction.LT, step, zero)
    return arith.select(builder, unused, arith.index(builder, _UNUSED), rank)


def no_snapshots(builder: Builder, slots: int, state: Sequence[Value]) -> Snapshots:
    """So many free slots for what is like `state`."""
    steps, levels, covers = (
        _filled(builder, TensorType((slots,), DType.I64), number) for number in (FREE, 0, 0)
    )
    types = [TensorType((slots, *shape_of(v.type)), dtype_of(v.type)) for v in state]
    states = [_filled(builder, type_, 0) for type_ in types]
    return Snapshots(steps, levels, covers, tuple(states))


def _filled(builder: Builder, type_: TensorType, number: int) -> Value:
    def code(b: Builder, args: list[Value]) -> list[Value]:
        return [arith.scalar(b, number, type_.dtype)]

    rank = len(type_.shape)
    return make_generic(builder, type_.shape, [], code, [AffineMap.identity(rank)]).results[0]


def _at(builder: Builder, array: Value, slot: Value) -> Value:
    return builder.insert(kernel.Load([array, slot], {"in_bounds": True})).output


def _stored(builder: Builder, whole: Value, part: Value, slot: Value) -> Value:
    """`whole` with `part` in a slot."""
    shape = (1, *shape_of(part.type))
    if shape == (1,):
        update = make_generic(builder, shape, [Read(part, _ONE)], passing, [_EACH]).results[0]
    else:
        update = builder.insert(kernel.View([part], {"shape": shape})).output
    at = [slot, *(arith.index(builder, 0) for _ in shape[1:])]
    return builder.insert(kernel.UpdateWindow([whole, update, *at])).output


def element_of(builder: Builder, whole: Value, slot: Value) -> Value:
    """What `whole` has at `slot` of its leading axis."""
    shape = shape_of(whole.type)[1:]
    if not shape:
        return _at(builder, whole, slot)

    def code(b: Builder, args: list[Value]) -> list[Value]:
        at = [args[0], *(index(b, axis) for axis in range(len(shape)))]
        return [load(b, whole, at, in_bounds=True)]

    rank = len(shape)
    reads = [Read(slot, AffineMap.select(rank, ()))]
    return make_generic(builder, shape, reads, code, [AffineMap.identity(rank)]).results[0]
