"""Gradients of what is chosen, or read by constant subscripts, cost what is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dmc
from tests.growth.measure import compiled, measure, operations, slope

program = dmc.load(Path(__file__).parent / "reads.dm")


def u(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).uniform(0.3, 1.2, shape)


SHAPES: dict[str, tuple[int, ...]] = {
    "maximum_of": (),
    "row_maxima": (8,),
    "row_minima": (24,),
    "sorted_rows": (8,),
    "largest": (8,),
    "constant": (8,),
}
"""The shape behind the axis that grows."""


@pytest.mark.parametrize("name", SHAPES)
def test_derivatives(name: str) -> None:
    function = getattr(program, name)
    x = u(6, *SHAPES[name])
    dmc.check_grads(function, x)
    step, place = 1e-5, (2,) * x.ndim
    hessian = np.asarray(dmc.hessian(function)(x))[(Ellipsis, *place)]
    moved = [np.array(x), np.array(x)]
    moved[0][place] += step
    moved[1][place] -= step
    high, low = (np.asarray(dmc.grad(function)(each)) for each in moved)
    np.testing.assert_allclose(hessian, (high - low) / (2 * step), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SHAPES)
def test_cost_is_linear(name: str) -> None:
    function = dmc.value_and_grad(getattr(program, name))
    sizes = (80, 320)
    costs = measure(function, lambda n: [u(n, *SHAPES[name])], sizes)
    assert slope(sizes, [cost.operations for cost in costs]) < 1.1
    assert slope(sizes, [cost.arena for cost in costs]) < 1.1


@pytest.mark.parametrize("winner", ["max", "min"])
def test_the_first_of_equal_elements_gets_the_derivative(winner: str) -> None:
    source = f"""
fn f[N, M](x: f64[N, M]) -> f64 {{
    var s = 1.0
    for t in 0..N {{ s = s * {winner}(x[t]) }}
    s
}}
"""
    x = np.full((3, 4), 2.0)
    found = np.asarray(dmc.grad(dmc.loads(source).f)(x))
    np.testing.assert_array_equal(found, [[4.0, 0.0, 0.0, 0.0]] * 3)


STATEMENTS = {
    "elements": "s += sin(x[{k}, 1] * s) + x[{k}, 1] * x[{k}, 7]",
    "rows": "s += sum(sin(x[{k}] * s)) + sum(x[{k}]) * 0.1",
    "both": "s += sum(sin(x[{k}] * s)) + x[{k}, 2] * x[5, 5]",
    "columns": "s += sin(sum(x[{k}:{k} + 2, 3]) * x[{k}, 2]) * sum(x[{k} + 1])",
}


def unrolled(kind: str, count: int) -> Any:
    lines = "".join(f"    {STATEMENTS[kind].format(k=k)}\n" for k in range(count))
    return dmc.loads(f"fn f[N](x: f64[N, 8]) -> f64 {{\n    var s = 0.3\n{lines}    s\n}}\n").f


@pytest.mark.parametrize("kind", STATEMENTS)
def test_reads_one_after_the_other_make_no_whole_tensors(kind: str) -> None:
    """Each statement adds to what it reads, whatever the size of what it reads from."""
    dmc.check_grads(unrolled(kind, 6), u(9, 8) / 8)
    counts = (4, 12)
    more: list[int] = []
    for count in counts:
        programs = [
            compiled(dmc.value_and_grad(unrolled(kind, count)), [u(n, 8)]).loops
            for n in (500, 1000)
        ]
        more.append(operations(programs[1]) - operations(programs[0]))
    assert max(more) < 1.5 * min(more)
