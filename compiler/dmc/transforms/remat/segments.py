"""Snapshots: a loop in segments, each of which runs once more just before it is gone back through.

The forward loop keeps what it carries at the beginning of each segment, no more. The reverse loop
goes over segments too: from the snapshot it repeats one, with all that it needs kept, then goes
back through it. Loops inside, and the loop over segments itself, can be cut again, down to
memory that grows with the logarithm of the length. (Griewank and Walther, Evaluating Derivatives,
2008, chapter 12.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dmc.autodiff.plan import executions
from dmc.dialects import arith, control, kernel
from dmc.dialects.segments import cut, in_segments, iterations, joined, segment
from dmc.ir import Block, Builder, Operation, Value, bytes_of
from dmc.ir.rewriter import replace_op
from dmc.transforms.remat.again import RECOMPUTE
from dmc.transforms.remat.measure import Measure
from dmc.transforms.remat.move import Move
from dmc.transforms.remat.tape import pair_of, reader_of


@dataclass(frozen=True)
class Cut(Move):
    """Cut `forward` and the loop that goes back through it into segments of `step` iterations.

    `stacks` are what only that loop reads. Iterations at the end that make no segment are loops of
    their own.
    """

    forward: control.For
    stacks: tuple[Value, ...]
    step: int

    def apply(self) -> None:
        forward, stacks = self.forward, self.stacks
        reader = reader_of(stacks[0])
        rest = forward.trip_count % self.step
        if reader is not None and rest:
            forward, reader = _without_last(forward, reader, rest)
            stacks = forward.stacks
        if reader is not None:
            cut(reader, self.step, _view)
        (view,) = stacks[0].users
        reverse = reader_of_view(view)
        assert reverse is not None
        _snapshot(forward, reverse, stacks, self.step)


def moves(measure: Measure) -> Iterator[Cut]:
    """The loops whose stacks are in memory at the peak, and what cutting them gains."""
    done: set[Operation] = set()
    for stack in measure.live:
        forward = stack.defining_op
        if not isinstance(forward, control.For) or stack.index < forward.carried:
            continue
        if (
            forward in done
            or forward.trip_count < 4
            or forward.reverse
            or not measure.can_repeat(forward)
        ):
            continue
        done.add(forward)
        yield from _cuts(measure, forward)


def _cuts(measure: Measure, forward: control.For) -> Iterator[Cut]:
    groups: dict[Operation, list[Value]] = {}
    steps: dict[Operation, int] = {}
    for stack in forward.stacks:
        if pair_of(stack) is not None:
            reader = reader_of(stack)
        elif len(stack.uses) == 1:
            reader = reader_of_view(stack.users[0])
            if reader is not None and forward.trip_count % reader.trip_count == 0:
                steps[reader] = forward.trip_count // reader.trip_count
        else:
            continue
        if reader is not None:
            groups.setdefault(reader, []).append(stack)
    for reader, stacks in groups.items():
        if len({pair_of(stack) is None for stack in stacks}) > 1:
            continue
        carried = sum(map(bytes_of, forward.inits))
        each = sum(bytes_of(stack) for stack in stacks) // forward.trip_count
        step = steps.get(reader)
        if step is None:
            divides = not (isinstance(reader, control.For) and _can_leave_last(forward, reader))
            step = _best_step(forward.trip_count, each, carried, divides)
        if not 2 <= step <= forward.trip_count // 2:
            continue
        left = step * each + forward.trip_count // step * carried
        gain = sum(measure.live.get(stack, 0) for stack in stacks) - left
        if gain > 0:
            span = measure.points[reader][0] - measure.points[forward][0]
            cost = measure.time_of(forward) * executions(forward.parent)
            yield Cut(gain, span, cost, forward, tuple(stacks), step)


def _best_step(count: int, each: int, carried: int, divides: bool) -> int:
    """The step for which tape and snapshots take the least; 0 if there is none.

    One that divides `count` is taken unless another saves more than a quarter.
    """

    def bytes_(step: int) -> float:
        return (step * each + count // step * carried) * (1.25 if count % step else 1.0)

    steps = [step for step in range(2, count // 2 + 1) if not (divides and count % step)]
    return min(steps, key=bytes_, default=0)


def _can_leave_last(forward: control.For, reader: control.For) -> bool:
    """Whether nothing but what is carried and kept for `reader` passes through both loops."""
    kept = [value for value in forward.stacks if value.uses]
    return not forward.scanned and not reader.stacks and set(reader.scanned) == set(kept)


def _without_last(
    forward: control.For, reader: control.For, rest: int
) -> tuple[control.For, control.For]:
    """Give the last `rest` iterations loops of their own; returns the loops over the others."""
    whole = forward.trip_count - rest
    builder, back = Builder.ahead_of(forward), Builder.ahead_of(reader)
    first = iterations(builder, forward, whole, forward.inits, [], arith.index(builder, 0))
    start = arith.index(builder, whole)
    last = iterations(builder, forward, rest, first.finals, [], start)
    places = [value.index - forward.carried for value in reader.scanned]
    scans = [[loop.stacks[place] for place in places] for loop in (first, last)]
    loops = [(whole, scans[0], arith.index(back, 0)), (rest, scans[1], arith.index(back, whole))]
    inits: Sequence[Value] = reader.inits
    made: list[control.For] = []
    for count, scanned, begin in reversed(loops) if reader.reverse else loops:
        made.append(iterations(back, reader, count, inits, scanned, begin))
        inits = made[-1].finals
    replace_op(reader, inits)
    replace_op(forward, [*last.finals, *first.stacks])
    return first, made[-1] if reader.reverse else made[0]


def reader_of_view(view: Operation) -> control.For | None:
    """The loop that scans a view, if nothing else reads it."""
    if not isinstance(view, kernel.View) or len(view.output.uses) != 1:
        return None
    ((reader, index),) = view.output.uses
    if isinstance(reader, control.For) and reader.slices(index) and reader.parent is view.parent:
        return reader
    return None


def _view(builder: Builder, value: Value, shape: tuple[int, ...]) -> Value:
    return builder.insert(kernel.View([value], {"shape": shape})).output


def _snapshot(
    forward: control.For, reverse: control.For, stacks: Sequence[Value], step: int
) -> None:
    """Let `reverse`, a loop over segments, repeat each from what `forward` carries into it."""
    builder = Builder.ahead_of(forward)
    scans = [in_segments(builder, value, step, _view) for value in forward.scanned]
    body = Block([control.INDEX], ["segment"])
    carried = [body.add_arg(arg.type, arg.name) for arg in forward.carried_args]
    parts = [body.add_arg(control.stacked(a.type, step), a.name) for a in forward.scanned_args]
    inside = Builder(body, location=forward.location)
    inner = segment(inside, forward, step, carried, parts, body.args[0])
    control.make_yield(inside, [*inner.results, *carried])
    segments = forward.trip_count // step
    count = arith.index(builder, segments)
    with builder.at(forward.location):
        outer = control.make_for(builder, count, forward.inits, scans, body, segments)
    snapshots = list(outer.stacks[len(forward.stacks) :])
    first = reverse.body.first
    assert first is not None
    at = Builder(reverse.body, first, forward.location.by(RECOMPUTE))
    begin = [reverse.add_scanned(value) for value in snapshots]
    given = [reverse.add_scanned(value) for value in scans]
    again = segment(at, forward, step, begin, given, reverse.index)
    again.location = forward.location.by(RECOMPUTE)
    for stack in stacks:
        (view,) = stack.users
        place = reverse.scanned.index(view.results[0])
        repeated = again.stacks[stack.index - forward.carried]
        reverse.scanned_args[place].replace_all_uses_with(repeated)
    whole = [joined(builder, v, _view) for v in outer.stacks[: len(forward.stacks)]]
    for old, new in zip(outer.results, forward.results, strict=False):
        old.name = new.name
    replace_op(forward, [*outer.finals, *whole])
