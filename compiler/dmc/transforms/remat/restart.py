"""A short loop from its beginning once more, for every iteration of the loop that goes back.

Nothing is kept of the forward loop. Iteration `i` of the reverse loop runs the first `i` iterations
again, which gives what the next one carries, and that one. Of a few iterations, such as segments
come to have when they are cut again and again, this costs about as much as another cut. (The end
of the recursion of Griewank, "Achieving logarithmic growth of temporal and spatial complexity in
reverse automatic differentiation", 1992: no snapshot is left, but that at the beginning.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dmc.autodiff.plan import executions
from dmc.dialects import arith
from dmc.dialects.segments import iterations
from dmc.ir import Builder, Operation, Value, bytes_of
from dmc.transforms.remat.again import RECOMPUTE
from dmc.transforms.remat.measure import Measure
from dmc.transforms.remat.move import Move
from dmc.transforms.remat.tape import Pair, pair_of

MOST_ITERATIONS = 8
"""Longer loops are cut into segments first: the time grows with the square of the iterations."""


@dataclass(frozen=True)
class Restart(Move):
    """Let the reverse loop of `pair` repeat the forward loop, not scan its `stacks`."""

    pair: Pair
    stacks: tuple[Value, ...]

    def apply(self) -> None:
        forward, reverse = self.pair.forward, self.pair.reverse
        location = forward.location.by(RECOMPUTE)
        at = Builder(reverse.body, reverse.body.first, location)
        begin = arith.index(at, 0)
        before = iterations(
            at, forward, reverse.index, forward.inits, forward.scanned, begin, forward.trip_count
        )
        before.location = location
        mapping = dict(zip(forward.carried_args, before.finals, strict=True))
        mapping[forward.index] = reverse.index
        for arg, scanned in zip(forward.scanned_args, forward.scanned, strict=True):
            mapping[arg] = reverse.add_scanned(scanned)
        for op in forward.body:
            if op is not forward.body.terminator:
                at.insert(op.clone(mapping, op.location.by(RECOMPUTE)))
        for stack in self.stacks:
            value = forward.body.terminator.operands[stack.index]
            arg = reverse.scanned_args[reverse.scanned.index(stack)]
            arg.replace_all_uses_with(mapping.get(value, value))


def moves(measure: Measure) -> Iterator[Restart]:
    """The short loops whose stacks are in memory at the peak."""
    done: set[Operation] = set()
    for stack in measure.live:
        pair = pair_of(stack)
        if pair is None or pair.forward in done:
            continue
        forward, reverse = pair.forward, pair.reverse
        done.add(forward)
        if not 1 < forward.trip_count <= MOST_ITERATIONS or forward.reverse:
            continue
        if not measure.can_repeat(forward):
            continue
        stacks = tuple(v for v in forward.stacks if pair_of(v) == pair)
        gain = sum(measure.live.get(v, 0) for v in stacks) - sum(map(bytes_of, forward.inits))
        if gain > 0:
            span = measure.points[reverse][0] - measure.points[forward][0]
            times = executions(forward.parent) * (forward.trip_count - 1) / 2
            cost = times * measure.time_of(forward)
            yield Restart(gain, span, cost, pair, stacks)
