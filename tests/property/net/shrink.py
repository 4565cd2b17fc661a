"""Makes a case that shows a fault small, while it still shows one of the same kind."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

import numpy as np

from tests.property.net.arrays import Filled
from tests.property.net.cases import Case
from tests.property.net.statements import (
    Block,
    Function,
    Make,
    Mix,
    Program,
    Statement,
    Tuple,
    Whole,
)
from tests.property.net.syntax import Data, Elem, Expr, Literal, Node, Type

Holds = Callable[[Case], bool]
T = TypeVar("T")


def shrink(case: Case, holds: Holds, seconds: float = 120.0) -> Case:
    """The smallest case found in a time, for which `holds` is true."""
    end = time.monotonic() + seconds
    place, unchanged = 0, 0
    while time.monotonic() < end:
        # After a change go on where it was made: what did not help before seldom does now.
        options = list(itertools.islice(candidates(case), place, None))
        if not options and unchanged:
            break
        for smaller in options:
            if time.monotonic() > end:
                return case
            if holds(smaller):
                case, unchanged = smaller, 0
                break
            place += 1
        else:
            place, unchanged = 0, unchanged + 1
            if unchanged > 1:
                break
    return case


def candidates(case: Case) -> Iterator[Case]:
    """Simpler cases, the boldest changes first."""
    for length in range(len(case.modes)):
        yield dataclasses.replace(case, modes=case.modes[:length])
    for program in programs(case.program):
        yield with_program(case, program)
    yield from smaller_sizes(case)
    yield from simpler_data(case)


def with_program(case: Case, program: Program) -> Case:
    """The case with another program, with the arguments that are left."""
    kept = [p.name for p in program.entry.parameters]
    named = {name for name, _ in program.entry.sizes}
    return dataclasses.replace(
        case,
        program=program,
        sizes={name: n for name, n in case.sizes.items() if name in named},
        arguments={name: case.arguments[name] for name in kept},
        directions={name: d for name, d in case.directions.items() if name in kept},
    )


# Programs


def programs(program: Program) -> Iterator[Program]:
    """Without a function, a statement, a parameter; then with a simpler expression."""
    for place in range(len(program.functions) - 1):
        left = program.functions[:place] + program.functions[place + 1 :]
        yield dataclasses.replace(program, functions=left)
    for change in (cuts, interfaces, simplifications):
        for place, function in enumerate(program.functions):
            for smaller in change(function):
                made = [*program.functions[:place], smaller, *program.functions[place + 1 :]]
                yield dataclasses.replace(program, functions=tuple(made))
    for record in program.records:
        left_records = tuple(r for r in program.records if r is not record)
        yield dataclasses.replace(program, records=left_records)


def cuts(function: Function) -> Iterator[Function]:
    return trees(function, shorter)


def simplifications(function: Function) -> Iterator[Function]:
    return trees(function, replacements)


def interfaces(function: Function) -> Iterator[Function]:
    for parameter in function.parameters:
        left = tuple(p for p in function.parameters if p is not parameter)
        yield dataclasses.replace(function, parameters=left)
    for place, (name, least) in enumerate(function.sizes):
        before, after = function.sizes[:place], function.sizes[place + 1 :]
        yield dataclasses.replace(function, sizes=before + after)
        if least:
            yield dataclasses.replace(function, sizes=(*before, (name, 0), *after))


Change = Callable[[Any], Iterator[Any]]
"""Gives what can stand in the place of a node, or of a tuple of nodes."""


def trees(part: T, change: Change) -> Iterator[T]:
    """The tree with one part of it changed; parts near the root first."""
    yield from change(part)
    if isinstance(part, tuple):
        for place, item in enumerate(part):
            for smaller in trees(item, change):
                yield cast("T", (*part[:place], smaller, *part[place + 1 :]))
    elif isinstance(part, Node):
        assert dataclasses.is_dataclass(part)
        for entry in dataclasses.fields(part):
            for choice in trees(getattr(part, entry.name), change):
                yield dataclasses.replace(part, **{entry.name: choice})


def shorter(items: object) -> Iterator[tuple[object, ...]]:
    """Statements without one of them, or with a loop replaced by its body."""
    if isinstance(items, tuple) and items and isinstance(items[0], Statement):
        for place, item in enumerate(items):
            before, after = items[:place], items[place + 1 :]
            yield before + after
            yield before + getattr(item, "body", ()) + after


def replacements(node: object) -> Iterator[Expr]:
    """What can stand in the place of an expression, and is smaller."""
    if isinstance(node, Tuple):
        yield from (Tuple((item,)) for item in node.items if len(node.items) > 1)
        if len(node.items) > 2:
            for place in range(len(node.items)):
                yield Tuple(node.items[:place] + node.items[place + 1 :])
        return
    if not isinstance(node, Expr) or isinstance(node, Make | Mix | Whole | Literal | Filled):
        return
    if isinstance(node, Block):
        if not node.statements:
            yield node.result
        return
    if isinstance(node.type, Type):
        simplest = Literal(simple_number(node.type), node.type)
        if node.type.shape:
            if node.type.elem is not Elem.BOOL:
                yield Filled(1, node.type)
        else:
            yield simplest
        inside = [n for n in node.walk() if n is not node and isinstance(n, Expr)]
        yield from (n for n in inside if not isinstance(n, Tuple | Whole) and n.type == node.type)


def simple_number(type_: Type) -> float | int | bool:
    return True if type_.elem is Elem.BOOL else 1


# Sizes and data


def smaller_sizes(case: Case) -> Iterator[Case]:
    least = dict(case.program.entry.sizes)
    for name, n in case.sizes.items():
        for other in (least[name], n // 2, n - 1):
            if least[name] <= other < n:
                yield resized(case, {**case.sizes, name: other})


def resized(case: Case, sizes: Mapping[str, int]) -> Case:
    """Arrays cut to the new sizes."""

    def cut(values: Mapping[str, Data], name: str) -> Data:
        type_ = next(p.type for p in case.program.entry.parameters if p.name == name)
        if isinstance(type_, Type):
            return trimmed(values[name], type_)
        return {n: trimmed(values[name][n], t) for n, t in type_.fields}

    def trimmed(array: np.ndarray, type_: Type) -> np.ndarray:
        return array[tuple(slice(0, size.value(sizes)) for size in type_.shape)].copy()

    arguments = {name: cut(case.arguments, name) for name in case.arguments}
    directions = {name: cut(case.directions, name) for name in case.directions}
    return dataclasses.replace(case, sizes=sizes, arguments=arguments, directions=directions)


def simpler_data(case: Case) -> Iterator[Case]:
    for which in ("arguments", "directions"):
        values: Mapping[str, Data] = getattr(case, which)
        for parameter in case.program.entry.parameters:
            if parameter.name not in values:
                continue
            old = values[parameter.name]
            for change in (np.ones_like, np.zeros_like, halves):
                new = (
                    {n: change(v) for n, v in old.items()} if isinstance(old, dict) else change(old)
                )
                if not same(old, new) and weight(new) <= weight(old):
                    yield dataclasses.replace(case, **{which: {**values, parameter.name: new}})


def halves(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "f":
        return array
    return np.asarray(np.round(array * 2) / 2).astype(array.dtype)


def parts(value: Data) -> list[np.ndarray]:
    return list(value.values()) if isinstance(value, dict) else [value]


def same(a: Data, b: Data) -> bool:
    pairs = zip(parts(a), parts(b), strict=True)
    return all(np.array_equal(x, y, equal_nan=x.dtype.kind == "f") for x, y in pairs)


def weight(value: Data) -> int:
    """How complicated data is: all ones, all zeros, short fractions, anything."""
    arrays = parts(value)
    if all(np.all(x == 1) for x in arrays):
        return 0
    if all(np.all(x == 0) for x in arrays):
        return 1
    return 2 if all(np.array_equal(x, halves(x)) for x in arrays) else 3
