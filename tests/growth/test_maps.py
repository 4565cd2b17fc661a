"""Gradients of maps that stay maps cost what their points read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dmc
from dmc.dialects import control
from dmc.ir import shape_of
from tests.growth.measure import Arguments, compiled, operations, slope

program = dmc.load(Path(__file__).parent / "maps.dm")


def u(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).uniform(0.3, 1.2, shape)


def counts(n: int) -> Any:
    return np.random.default_rng(n).integers(0, min(n, 6), n)


CASES: dict[str, tuple[Arguments, float | None]] = {
    "convolved": (lambda n: [u(n), u(n)], 2),
    "branching": (lambda n: [u(n), u(n + 1)[:-1]], 2),
    "rows": (lambda n: [u(n, 4), u(4), counts(n)], None),
    "tables": (lambda n: [u(n), u(8)], None),
    "roots": (lambda n: [u(n), u(n + 1)[:-1]], 1),
}
"""Arguments for a size, and the power of it that operations grow with; memory is linear.

How many operations there are is not counted where trip counts are computed in lanes.
"""


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name: str) -> None:
    size = 19
    function, values = getattr(program, name), CASES[name][0](size)
    real = [np.asarray(v).dtype.kind == "f" for v in values]
    names = [
        p.name for p, is_real in zip(function.checked.parameters, real, strict=True) if is_real
    ]
    dmc.check_grads(function, *values, wrt=tuple(names))
    first, step = dmc.grad(function), 1e-5
    moved = [np.array(values[0]) for _ in range(2)]
    place = (size // 2,) + (0,) * (moved[0].ndim - 1)
    moved[0][place] += step
    moved[1][place] -= step
    high, low = (np.asarray(first(m, *values[1:])) for m in moved)
    got = np.asarray(dmc.hessian(function)(*values))[(Ellipsis, *place)]
    np.testing.assert_allclose(got, (high - low) / (2 * step), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_cost_grows_as_the_program_says(name: str) -> None:
    arguments, work = CASES[name]
    sizes = (320, 1280) if work == 2 else (640, 2560)
    every = tuple(p.name for p in getattr(program, name).checked.parameters if p.name != "at")
    function = dmc.value_and_grad(getattr(program, name), wrt=every)
    programs = [compiled(function, arguments(size)).loops for size in sizes]
    if work is not None:
        assert slope(sizes, [operations(program) for program in programs]) < work + 0.1
    assert slope(sizes, [program.arena_bytes for program in programs]) < 1.2


@pytest.mark.parametrize("name", CASES)
def test_no_point_has_a_cotangent_of_all_that_is_captured(name: str) -> None:
    size = 40
    module = compiled(dmc.grad(getattr(program, name)), CASES[name][0](size)).expanded
    for op in module.walk():
        if isinstance(op, control.Map):
            for value in op.stacks:
                assert np.prod(shape_of(value.type)) <= 4 * size * 4, op
