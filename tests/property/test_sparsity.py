"""Patterns of random programs: what depends on an input is among their entries."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from dmc.ir import Array, Interpreter, Module
from dmc.sparsity.dependence import dependences
from tests.property.programs import programs


def entries(module: Module, arguments: list[Array]) -> Array:
    """Whether each result may change with each input, as the pattern says."""
    results = range(len(Interpreter(module).call("f", arguments)))
    pattern = dependences(module.copy(), "f", range(len(arguments)), results, {})
    there = np.zeros(pattern.shape, bool)
    there[pattern.rows, pattern.columns] = True
    return there


def changed(module: Module, arguments: list[Array]) -> Array:
    """Whether each result changes with each input when that moves a little."""

    def value(at: list[Array]) -> Array:
        found = Interpreter(module).call("f", at)
        return np.concatenate([part.reshape(-1) for part in found])

    base, columns = value(arguments), list[Array]()
    for i, argument in enumerate(arguments):
        for j in range(argument.size):
            moved = argument.copy()
            moved.reshape(-1)[j] += 1e-3
            columns.append(value([*arguments[:i], moved, *arguments[i + 1 :]]) != base)
    return np.stack(columns, 1) if columns else np.zeros((len(base), 0), bool)


@settings(max_examples=60, deadline=None)
@given(programs(operations=8))
def test_what_changes_is_an_entry(drawn: tuple[Module, list[Array]]) -> None:
    module, arguments = drawn
    if sum(argument.size for argument in arguments) > 100:
        return
    assert not (changed(module, arguments) & ~entries(module, arguments)).any()
