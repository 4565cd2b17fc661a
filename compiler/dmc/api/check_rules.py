"""Holding declared derivatives against what their functions compute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from dmc.api.conversion import PythonValue
from dmc.api.differentiate import jvp, vjp
from dmc.api.function import Function
from dmc.api.slopes import GradientCheck, Tolerances, slope
from dmc.semantics.typed import (
    Call,
    DeclaredFunction,
    DerivativeRule,
    Derived,
    FunctionValue,
    UserFunction,
    walk,
)
from dmc.semantics.types import leaves
from dmc_runtime.records import Leaf, Tree, tree_flatten, tree_paths, tree_unflatten

_DIRECTIONS = 4


def rules_of(f: Function) -> dict[str, DerivativeRule]:
    """The rules of `f` that claim to be its derivative."""
    declaration = f.checked.declaration
    if f.operators or not isinstance(declaration, DeclaredFunction):
        return {}
    return {name: rule for name, rule in declaration.rules.items() if not rule.unchecked}


def functions_with_rules(f: Function) -> list[DeclaredFunction]:
    """Those that have rules of their own among all that `f` calls, in order."""
    declaration = f.checked.declaration
    pending = [declaration] if isinstance(declaration, DeclaredFunction) else []
    found = dict.fromkeys(pending)
    while pending:
        called = [each for each in _called(pending.pop().body) if each not in found]
        found.update(dict.fromkeys(called))
        pending += called
    return [each for each in found if each.rules and each is not declaration]


def _called(body: object) -> Iterator[DeclaredFunction]:
    for node in walk(body):
        if isinstance(node, Call | FunctionValue):
            callee = node.callee
            while isinstance(callee, Derived):
                callee = callee.function
            if isinstance(callee, UserFunction):
                yield callee.declaration


def place_of(function: DeclaredFunction, name: str) -> str:
    """A rule by its function, its kind, and where it stands."""
    span = function.rules[name].body.span
    return f"{function.full_name}: {name}, {Path(span.file.name).name}:{span.start_line}"


def compare_rules(
    f: Function,
    arguments: Sequence[PythonValue],
    tolerances: Tolerances,
    samples: int,
    rng: np.random.Generator,
) -> list[GradientCheck]:
    """A row for each rule of `f`: its derivative along directions, against differences of `f`.

    So a `jvp` and a `vjp` are held against each other, too.
    """
    rules = rules_of(f)
    names = tuple(p.name for p in f.checked.parameters if _has_floats(p.type))
    places = [[p.name for p in f.checked.parameters].index(name) for name in names]
    if not rules or not names:
        return []
    value, pull = vjp(f, wrt=names)(*arguments)
    gradient = pull(_random(rng, _first(value)))
    declaration = f.checked.declaration
    assert isinstance(declaration, DeclaredFunction)
    rows = {
        name: GradientCheck(place_of(declaration, name), 0, 0.0, 0.0, False, 0) for name in rules
    }
    for _ in range(min(samples, _DIRECTIONS)):
        along = _random(rng, gradient)
        value, pushed = jvp(f, along=along, wrt=names)(*arguments)
        weights = _random(rng, pushed)
        pulled = pull(weights)
        step, limit = tolerances.of(_narrowest(pushed))
        expected = {"jvp": _inner(weights, pushed), "vjp": _inner(pulled, along)}
        scale = max(1.0, *map(abs, expected.values()))

        def at(t: float, along: PythonValue = along, weights: PythonValue = weights) -> float:
            moved = list(arguments)
            for part, position in zip(along, places, strict=True):
                moved[position] = _shifted(moved[position], part, t)
            return _inner(weights, _first(f(*moved)))

        found = slope(at, at(0.0), step, limit * scale)
        for name, row in rows.items():
            rows[name] = _with_sample(row, found, expected[name], scale, limit)
    return list(rows.values())


def _with_sample(
    row: GradientCheck, found: float | None, expected: float, scale: float, limit: float
) -> GradientCheck:
    """A row with one more direction."""
    row = replace(row, count=row.count + 1, norm=max(row.norm, abs(expected)))
    if found is None:
        return replace(row, kinks=row.kinks + 1)
    error = abs(found - expected) / scale
    worst = error if not error <= row.error else row.error  # a NaN is no agreement
    passed = worst <= limit and (row.passed or row.checked == 0)
    return replace(row, error=worst, checked=row.checked + 1, passed=passed)


def _has_floats(type_: Any) -> bool:
    return any(leaf.is_trained for leaf in leaves(type_))


def _first(value: PythonValue) -> PythonValue:
    return cast("tuple[PythonValue, ...]", value)[0] if isinstance(value, tuple) else value


def _random(rng: np.random.Generator, tree: Tree) -> Tree:
    """A tree of the same parts with random floats."""
    parts, treedef = tree_flatten(tree)
    arrays = [np.asarray(part) for part in parts]
    drawn = [
        rng.standard_normal(a.shape).astype(a.dtype) if a.dtype.kind == "f" else a for a in arrays
    ]
    return tree_unflatten(treedef, [d if d.ndim else d[()] for d in drawn])


def _floats(tree: Tree) -> list[np.ndarray[Any, Any]]:
    arrays = [np.asarray(leaf) for leaf in tree_flatten(tree)[0]]
    return [a for a in arrays if a.dtype.kind == "f"]


def _narrowest(tree: Tree) -> np.dtype[Any]:
    return min((a.dtype for a in _floats(tree)), key=lambda dtype: dtype.itemsize)


def _inner(left: Tree, right: Tree) -> float:
    """The inner product of two trees; parts that only one has count for nothing."""
    known = dict(zip(tree_paths(right), tree_flatten(right)[0], strict=True))
    total = 0.0
    for name, leaf in zip(tree_paths(left), tree_flatten(left)[0], strict=True):
        one, other = np.asarray(leaf), np.asarray(known[name])
        if one.dtype.kind == "f":
            total += float(np.sum(one.astype(np.float64) * other))
    return total


def _shifted(tree: Tree, direction: Tree, t: float) -> Tree:
    """A tree moved by `t` along a direction, which may lack parts of it."""
    known = dict(zip(tree_paths(direction), tree_flatten(direction)[0], strict=True))
    parts, treedef = tree_flatten(tree)
    moved: list[Leaf] = []
    for name, leaf in zip(tree_paths(tree), parts, strict=True):
        array = np.asarray(leaf)
        if name in known and array.dtype.kind == "f":
            array = (array + t * np.asarray(known[name])).astype(array.dtype)
        moved.append(array if array.ndim else array[()])
    return tree_unflatten(treedef, moved)
