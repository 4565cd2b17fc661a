"""Loops without a bound in memory with one: snapshots in slots take the place of a tape.

The forward loop keeps what some of its iterations begin with (`remat.snapshots`), the reverse loop
runs on from the last of them to the iteration that it is at. Iterations go in units, of which
snapshots are taken and which are kept as a whole while the reverse loop goes through them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dmc.dialects import arith, control, func
from dmc.dialects.segments import condition_holds, iterations, segment_of_while
from dmc.ir import Block, Builder, Module, Operation, TapeType, TensorType, Value, bytes_of
from dmc.ir.rewriter import replace_op
from dmc.transforms.common import code
from dmc.transforms.dce import Dce
from dmc.transforms.remat.again import RECOMPUTE
from dmc.transforms.remat.fewer import rounded_bytes
from dmc.transforms.remat.snapshots import Snapshots, element_of, no_snapshots
from dmc_runtime.budget import Keep


@dataclass(frozen=True)
class Plan:
    """How many snapshots there may be, and how many iterations are a unit, at most."""

    slots: int
    unit: int


PLANS = (*(Plan(count, count) for count in (64, 16, 4)), Plan(2, 1))
"""From those that take the least time to those that take the least memory."""

Advance = Callable[[Builder, Sequence[Value], Value], Sequence[Value]]
"""From what a unit begins with, and its number, to what the next begins with."""


@dataclass(frozen=True)
class Taped:
    """A loop that keeps tapes, and the loop that goes back through it, which alone reads them."""

    forward: control.Loop
    reverse: control.For

    @property
    def tapes(self) -> list[Value]:
        return [v for v in self.forward.stacks if isinstance(v.type, TapeType) and v.uses]

    @property
    def begins_with(self) -> list[Value]:
        """What the carried values are at first."""
        return list(self.forward.inits)

    @property
    def has_units(self) -> bool:
        """Whether iterations can be put into units: all that passes is carried or on the tape."""
        plain = all(isinstance(unstacked, TensorType) for unstacked in map(_kept, self.tapes))
        own = set(self.reverse.scanned) <= set(self.tapes)
        return (
            plain
            and own
            and not self.reverse.stacks
            and not self.forward.scanned
            and self.forward.extent < 0
        )

    def fixed_bytes(self, plan: Plan, keep: Keep) -> int:
        """About what it takes under `plan`, where what a unit keeps may wait as `keep`."""
        carried = sum(map(bytes_of, self.begins_with))
        types = [t for t in map(_kept, self.tapes) if isinstance(t, TensorType)]
        kept = sum(rounded_bytes(type_, keep) for type_ in types)
        return plan.slots * carried + (plan.unit * kept if self.has_units else 0)


def _kept(tape: Value) -> TensorType | TapeType:
    return control.unstacked(tape.type)


def taped(function: func.Func) -> Iterator[Taped]:
    """The loops whose tapes can go."""
    for op in code(function):
        if isinstance(op, control.For | control.While):
            found = _taped(op)
            if found is not None:
                yield found


def _taped(forward: control.For | control.While) -> Taped | None:
    tapes = [v for v in forward.stacks if isinstance(v.type, TapeType) and v.uses]
    readers = {user for tape in tapes for user, _ in tape.uses}
    if len(readers) != 1:
        return None
    (reader,) = readers
    if not isinstance(reader, control.For) or reader.parent is not forward.parent:
        return None
    if not all(reader.slices(index) for tape in tapes for _, index in tape.uses):
        return None
    others = [*forward.scanned, *reader.stacks, *(set(reader.scanned) - set(tapes))]
    if any(isinstance(value.type, TapeType) for value in others):
        return None
    follows = reader.reverse and not (isinstance(forward, control.For) and forward.reverse)
    return Taped(forward, reader) if follows and _is_pure(forward) else None


def _is_pure(op: Operation) -> bool:
    return op.is_pure and not any(isinstance(inner, func.Call) for inner in op.walk())


def plans(function: func.Func, budget: int, keep: Keep) -> Sequence[Plan]:
    """The plans that may keep a budget, the quickest first; one where there is nothing to plan."""
    pairs = list(taped(function))
    if not pairs:
        return PLANS[-1:]
    possible = [p for p in PLANS if sum(pair.fixed_bytes(p, keep) for pair in pairs) <= budget]
    return possible or PLANS[-1:]


def without_tapes(module: Module, function: func.Func, plan: Plan) -> None:
    """Take away what tapes can go; those of loops inside others once these are repeated."""
    while (pair := next(taped(function), None)) is not None:
        _without_tape(pair, plan)
        Dce().run(module)


def _without_tape(pair: Taped, plan: Plan) -> None:
    """Let the reverse loop of `pair` repeat what the forward loop has put on tapes."""
    if plan.unit > 1 and pair.has_units:
        _in_units(pair, plan)
    else:
        _one_by_one(pair, plan)


def _install(
    forward: control.Loop,
    number: Value,
    state: Sequence[Value],
    reverse: control.For,
    slots: int,
    advance: Advance,
) -> tuple[list[Value], Builder]:
    """Take snapshots in `forward`, whose iterations have a `number` and a `state`, for `reverse`.

    Gives what the unit of the reverse loop's index begins with, and where it is known.
    """
    builder = Builder.ahead_of(forward)
    first = forward.repeated.first
    assert first is not None
    pairs = [
        forward.add_carried(value, "snapshots")
        for value in no_snapshots(builder, slots, state).values
    ]
    args = [arg for arg, _ in pairs]
    inside = Builder(forward.repeated, first, forward.location.by("snapshot"))
    taken = Snapshots.of(args).taken(inside, number, state)
    for arg, value in zip(args, taken.values, strict=True):
        forward.set_next(arg, value)
    held = [reverse.add_carried(final, "snapshots")[0] for _, final in pairs]
    at = Builder(reverse.body, reverse.body.first, forward.location.by(RECOMPUTE))
    begins, left = _reached(at, Snapshots.of(held), reverse.index, advance)
    for arg, value in zip(held, left.values, strict=True):
        reverse.set_next(arg, value)
    return begins, at


def _reached(
    builder: Builder, held: Snapshots, number: Value, advance: Advance
) -> tuple[list[Value], Snapshots]:
    """What unit `number` begins with, run to from the last snapshot, and the snapshots left."""
    begin, slot = held.last(builder)
    state = held.state(builder, slot)
    inits = [slot, *held.values, *state]
    body = Block([control.INDEX, *(value.type for value in inits)], ["unit"])
    inside = Builder(body, location=builder.location)
    carried = body.args[2 : 2 + len(held.values)]
    at = arith.add(inside, begin, body.args[0])
    after = arith.add(inside, at, arith.index(inside, 1))
    following = advance(inside, body.args[2 + len(carried) :], at)
    made = Snapshots.of(carried).taken(inside, after, following)
    _, place = made.last(inside)
    control.make_yield(inside, [place, *made.values, *following])
    missing = arith.subtract(builder, number, begin)
    loop = control.make_for(builder, missing, inits, [], body)
    slot, *values = loop.finals
    reached = Snapshots.of(values[: len(carried)])
    return values[len(carried) :], reached.without(builder, number, slot)


# Units of one iteration


def _one_by_one(pair: Taped, plan: Plan) -> None:
    forward, reverse, tapes = pair.forward, pair.reverse, pair.tapes
    block = forward.repeated
    number = forward.index if isinstance(forward, control.For) else None
    slots = plan.slots if forward.extent < 0 else max(2, min(plan.slots, forward.extent))
    carried = list(forward.carried_args)
    body = [op for op in block if op is not block.terminator]
    nexts = list(forward.next_values)
    kept = {tape: forward.stacked_values[forward.stacks.index(tape)] for tape in tapes}
    scanned = list(zip(forward.scanned_args, forward.scanned, strict=True))

    def run(
        builder: Builder, state: Sequence[Value], at: Value, slices: Sequence[Value]
    ) -> dict[Value, Value]:
        mapping = dict(zip(carried, state, strict=True))
        mapping.update(zip((arg for arg, _ in scanned), slices, strict=True))
        if number is not None:
            mapping[number] = at
        for op in body:
            builder.insert(op.clone(mapping, op.location.by(RECOMPUTE)))
        return mapping

    def advance(builder: Builder, state: Sequence[Value], at: Value) -> Sequence[Value]:
        mapping = run(builder, state, at, [element_of(builder, v, at) for _, v in scanned])
        return [mapping.get(value, value) for value in nexts]

    begins, at = _install(forward, number or _counted(forward), carried, reverse, slots, advance)
    slices = [reverse.add_scanned(value) for _, value in scanned]
    mapping = run(at, begins, reverse.index, slices)
    for arg, tape in list(zip(reverse.scanned_args, reverse.scanned, strict=True)):
        if tape in kept:
            arg.replace_all_uses_with(mapping.get(kept[tape], kept[tape]))


def _counted(loop: control.Loop) -> Value:
    """Let a loop count its iterations."""
    number, _ = loop.add_carried(arith.index(Builder.ahead_of(loop), 0), "i")
    builder = Builder.ahead_of(loop.repeated.terminator)
    loop.set_next(number, arith.add(builder, number, arith.index(builder, 1)))
    return number


# Units of several iterations


def _in_units(pair: Taped, plan: Plan) -> None:
    forward, reverse, unit = pair.forward, pair.reverse, plan.unit
    places = [forward.stacks.index(tape) for tape in reverse.scanned]
    if isinstance(forward, control.For):
        outer = _units_of_for(forward, unit)
        finals = outer.finals
    else:
        assert isinstance(forward, control.While)
        outer = _units_of_while(forward, unit)
        finals = outer.finals[1:]
    for old, new in zip(forward.finals, finals, strict=True):
        new.name = old.name
        old.replace_all_uses_with(new)
    extra = len(outer.inits) - len(forward.inits)  # the number of the unit, of a `while`
    count = _at_least_none(Builder.ahead_of(reverse), reverse.count)
    back = _units_of_reverse(reverse, count, unit)

    def advance(b: Builder, state: Sequence[Value], at: Value) -> Sequence[Value]:
        following = [arith.add(b, at, arith.index(b, 1))] * extra
        start = arith.multiply(b, at, arith.index(b, unit))
        return [*following, *_repeated(b, forward, unit, state[extra:], start, unit).finals]

    number, state = outer.repeated.args[0], list(outer.carried_args)
    begins, at = _install(outer, number, state, back, plan.slots, advance)
    start, mine = _share(at, back.index, count, unit)
    again = _repeated(at, forward, mine, begins[extra:], start, unit)
    bars = back.carried_args[: len(reverse.inits)]
    slices = [again.stacks[place] for place in places]
    gone_back = iterations(at, reverse, mine, bars, slices, start, most=unit)
    gone_back.location = reverse.location
    for arg, value in zip(bars, gone_back.finals, strict=True):
        back.set_next(arg, value)
    replace_op(reverse, back.finals[: len(bars)])
    forward.erase()


def _share(builder: Builder, number: Value, count: Value, unit: int) -> tuple[Value, Value]:
    """The first iteration of a unit, and how many it has."""
    start = arith.multiply(builder, number, arith.index(builder, unit))
    left = arith.subtract(builder, count, start)
    return start, arith.minimum(builder, arith.index(builder, unit), left)


def _units(builder: Builder, count: Value, unit: int) -> Value:
    """How many units `count` iterations are."""
    most = arith.add(builder, count, arith.index(builder, unit - 1))
    return arith.floor_divide(builder, most, arith.index(builder, unit))


def _repeated(
    builder: Builder,
    forward: control.Loop,
    count: int | Value,
    state: Sequence[Value],
    start: Value,
    unit: int,
) -> control.For:
    """`count` iterations, `unit` at most, of a loop that is known to run them."""
    if isinstance(forward, control.For):
        return iterations(builder, forward, count, state, [], start, most=unit)
    body = Block([control.INDEX])
    args = [body.add_arg(arg.type, arg.name) for arg in forward.carried_args]
    mapping = dict(zip(forward.carried_args, args, strict=True))
    inside = Builder(body, location=forward.location)
    for op in forward.repeated:
        inside.insert(op.clone(mapping))
    known = isinstance(count, int)
    number = arith.index(builder, count) if known else count
    trips, most = (count, -1) if known else (-1, unit)
    return control.make_for(builder, number, state, [], body, trips, most=most)


def _at_least_none(builder: Builder, count: Value) -> Value:
    return arith.maximum(builder, count, arith.index(builder, 0))


def _units_of_for(forward: control.For, unit: int) -> control.For:
    """A loop over units; the last may be shorter."""
    builder = Builder.ahead_of(forward)
    count = _at_least_none(builder, forward.count)
    body = Block([control.INDEX], ["unit"])
    carried = [body.add_arg(arg.type, arg.name) for arg in forward.carried_args]
    inside = Builder(body, location=forward.location)
    start, mine = _share(inside, body.args[0], count, unit)
    inner = _repeated(inside, forward, mine, carried, start, unit)
    control.make_yield(inside, inner.finals)
    units = _units(builder, count, unit)
    return control.make_for(builder, units, forward.inits, [], body)


def _units_of_while(forward: control.While, unit: int) -> control.While:
    """A loop over units, which counts them; one ends where the condition no longer holds, too."""
    builder = Builder.ahead_of(forward)
    blocks = [Block([control.INDEX], ["unit"]) for _ in range(2)]
    for block in blocks:
        for arg in forward.body.args:
            block.add_arg(arg.type, arg.name)
    test, body = blocks
    asking, inside = (Builder(block, location=forward.location) for block in blocks)
    control.make_yield(asking, [condition_holds(forward, asking, test.args[1:])])
    inits = [arith.index(inside, 0), *body.args[1:]]
    inner = segment_of_while(inside, forward, inits, arith.index(inside, unit))
    following = arith.add(inside, body.args[0], arith.index(inside, 1))
    control.make_yield(inside, [following, *inner.finals[1:]])
    inits = [arith.index(builder, 0), *forward.inits]
    return control.make_while(builder, inits, test, body)


def _units_of_reverse(reverse: control.For, count: Value, unit: int) -> control.For:
    """A loop back over units that carries what `reverse` does, and does nothing yet."""
    builder = Builder.ahead_of(reverse)
    body = Block([control.INDEX], ["unit"])
    bars = [body.add_arg(arg.type, arg.name) for arg in reverse.carried_args]
    control.make_yield(Builder(body, location=reverse.location), bars)
    units = _units(builder, count, unit)
    return control.make_for(builder, units, reverse.inits, [], body, reverse=True)
