"""Functions cut out of a function: some of its values, computed from others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dmc.dialects import func
from dmc.ir import Module, Operation, ShapedType, Trait, Value, bytes_of


@dataclass(frozen=True)
class Reach:
    """What values are computed from, up to where the search stopped."""

    arguments: frozenset[Value]
    stops: frozenset[Value]


def reach(values: Iterable[Value], stops: Collection[Value]) -> Reach:
    """The arguments of a function, and those of `stops`, that the values are computed from.

    A value that is a stop itself is looked behind.
    """
    pending = [*values]
    seen: set[Value] = set(pending)
    arguments: set[Value] = set()
    met: set[Value] = set()
    while pending:
        value = pending.pop()
        op = value.defining_op
        if op is None:
            arguments.add(value)
            continue
        for read in op.reads():
            if read in seen and read not in stops:
                continue
            seen.add(read)
            if read in stops:
                met.add(read)
            else:
                pending.append(read)
    return Reach(frozenset(arguments), frozenset(met))


def is_number(value: Value) -> bool:
    """Whether a value is computed, and has no axes."""
    op = value.defining_op
    scalar = isinstance(value.type, ShapedType) and not value.type.shape
    return scalar and op is not None and not op.has(Trait.CONSTANT)


@dataclass(frozen=True)
class Piece:
    """A module with one public function, and which values of the whole it takes."""

    module: Module
    name: str
    taken: tuple[Value, ...]


def piece(
    module: Module, function: func.Func, known: Collection[Value], given: Sequence[Value]
) -> Piece:
    """The part of a function that computes `given` from its arguments and `known` values."""
    needed: set[Operation] = set()
    taken: dict[Value, None] = {}
    pending = [*given]
    while pending:
        value = pending.pop()
        op = value.defining_op
        if op is None or value in known:
            taken.setdefault(value)
        elif op not in needed:
            needed.add(op)
            pending += op.reads()
    made = Module.empty(module.location)
    for other in func.functions(module):
        if other is not function:
            made.append(other.clone({}))
    names = [value.name for value in taken]
    types = [value.type for value in taken]
    whole, builder = func.function(made, function.sym_name, types, names, function.location)
    mapping = dict(zip(taken, whole.body.args, strict=True))
    for op in function.body:
        if op in needed:
            results = [mapping.get(value) for value in op.results]
            builder.insert(op.clone(mapping))
            mapping |= {v: new for v, new in zip(op.results, results, strict=True) if new}
    func.finish(whole, builder, [mapping[value] for value in given])
    return Piece(made, whole.sym_name, tuple(taken))


@dataclass(frozen=True)
class Stage:
    """A stretch of a function: what it hands on, and which results are known behind it."""

    crossing: tuple[Value, ...]
    results: tuple[int, ...]


def stages(function: func.Func, early: Sequence[int], buckets: int) -> list[Stage]:
    """Stretches of a function behind each of which some more of its `early` results are known.

    These come in about `buckets` parts of the same size; other results belong to the last stretch.
    """
    results = function.body.terminator.operands
    places = {op: number for number, op in enumerate(function.body, 1)}
    ends = {index: _place(results[index], places) for index in early}
    share = sum(bytes_of(results[index]) for index in early) / buckets
    cuts: list[int] = []
    held = 0
    for index in sorted(early, key=ends.__getitem__):
        held += bytes_of(results[index])
        if held >= share:
            cuts.append(ends[index])
            held = 0
    late = tuple(i for i in range(len(results)) if i not in ends)
    found: list[Stage] = []
    before = -1
    for cut in sorted({*cuts[:-1]}):
        here = tuple(i for i in early if before < ends[i] <= cut)
        found.append(Stage(_crossing(function, places, cut), here))
        before = cut
    rest = tuple(i for i in early if ends[i] > before)
    return [*found, Stage((), (*rest, *late))]


def _place(value: Value, places: Mapping[Operation, int]) -> int:
    """How many operations of the function it takes to know a value."""
    op = value.defining_op
    return 0 if op is None else places.get(op, 0)


def _crossing(function: func.Func, places: Mapping[Operation, int], cut: int) -> tuple[Value, ...]:
    """What the operations behind `cut` read of those before; what is cheap is made again."""
    found: dict[Value, None] = {}
    seen: set[Value] = set()
    pending = [v for op, place in places.items() if place > cut for v in op.reads()]
    while pending:
        value = pending.pop()
        op = value.defining_op
        if op is None or value in seen or places[op] > cut:
            continue
        seen.add(value)
        if _is_cheap(op):
            pending += op.reads()
        else:
            found.setdefault(value)
    return tuple(found)


def _is_cheap(op: Operation) -> bool:
    """Whether an operation only spreads what is smaller than its result."""
    if op.has(Trait.CONSTANT):
        return True
    return (
        op.is_pure
        and not op.regions
        and op.cost().flops == 0
        and sum(map(bytes_of, op.operands)) < sum(map(bytes_of, op.results))
    )
