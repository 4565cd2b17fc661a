"""Factors that loops multiply with again and again are turned once, in front of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dmc
from dmc.dialects import control, kernel
from dmc.driver import Compilation
from dmc.ir import Module, Operation
from dmc.ir.passes import PassManager
from dmc.transforms import pipeline
from dmc.transforms.turn_invariants import TurnInvariants

RECURRENT = """
fn f[T, B, H](w: f64[H, H], x: f64[T, B, H]) -> f64 {
    var h: f64[B, H] = zeros
    for now in x {
        h = tanh(now + h @ w.T)
    }
    sum(h * h)
}
"""
CHANGING = """
fn f[T, B, H](w: f64[H, H], x: f64[T, B, H]) -> f64 {
    var h: f64[B, H] = zeros
    var v = w
    for now in x {
        h = tanh(now + h @ v.T)
        v = 0.9 * v
    }
    sum(h * h)
}
"""
SELECTED = """
fn f[T, B, H](w: f64[H, H], x: f64[T, B, H]) -> f64 {
    var h: f64[B, H] = zeros
    for now in x {
        h = if sum(now) > 0.0 { tanh(now + h @ w.T) } else { now }
    }
    sum(h * h)
}
"""


def turned(module: Module) -> list[Operation]:
    return [
        op
        for op in module.walk()
        if isinstance(op, kernel.Generic) and op.location.is_by(TurnInvariants.name)
    ]


def by_hand(w: Any, x: Any) -> Any:
    h = np.zeros(x.shape[1:])
    for now in x:
        h = np.tanh(now + h @ w.T)
    return (h * h).sum()


@pytest.mark.parametrize(("rows", "count"), [(16, 1), (4, 0), (64, 0)])
def test_weights_are_turned_in_front_of_the_loop(rows: int, count: int) -> None:
    """Few rows are summed in another order, which stays; many repay turning them each time."""
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(20, 20)) / 8, rng.normal(size=(5, rows, 20))
    function = dmc.loads(RECURRENT).f
    compiled = function.compile(w, x)
    ops = turned(compiled.compilation.kernels)
    assert len(ops) == count
    assert not any(isinstance(op.parent_op, control.For) for op in ops)
    np.testing.assert_allclose(function(w, x), by_hand(w, x), rtol=1e-12)


@pytest.mark.parametrize("source", [CHANGING, SELECTED])
def test_what_changes_or_may_not_be_needed_is_left(source: str) -> None:
    compiled = dmc.loads(source).f.specialize(T=5, B=16, H=20)
    assert not turned(compiled.compilation.kernels)


def test_sums_keep_their_order() -> None:
    """Value and gradient have the same bits without the pass."""
    rng = np.random.default_rng(1)
    arguments = rng.normal(size=(40, 40)) / 9, rng.normal(size=(3, 33, 40))
    compilation = dmc.value_and_grad(dmc.loads(RECURRENT).f).compile(*arguments).compilation
    module = compilation.tensor.copy()
    for stage in (pipeline.derivatives, pipeline.optimize, pipeline.to_kernels):
        PassManager(stage([TurnInvariants.name])).run(module)
    plain = Compilation(compilation.tensor, compilation.entry)
    vars(plain)["kernels"] = module
    assert turned(compilation.kernels)
    assert not turned(module)
    found, expected = (each.executable(*arguments) for each in (compilation, plain))
    for a, b in zip(found, expected, strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
