"""Values that wait for the reverse pass, kept in fewer bits under a budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dmc
from dmc.api.differentiate import KeepName
from dmc.dialects import func
from dmc.transforms.memory import replay

program = dmc.load(Path(__file__).parent / "budget.dm")
_random = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return _random.normal(size=shape) / 2


CASES = {
    "layers": (normal(8, 8), normal(8, 8), normal(8, 8), normal(64, 8)),
    "recurrent": (normal(4, 4), normal(60, 4)),
}


@pytest.mark.parametrize(("keep", "bits"), [("bf16", 16), ("i8", 8)])
@pytest.mark.parametrize("name", CASES)
def test_gradients_are_as_near_as_is_said(name: str, keep: KeepName, bits: int) -> None:
    """Straight code and stacks of loops; the value has the same bits, the gradient nearly."""
    f, arguments = getattr(program, name), CASES[name]
    whole = dmc.value_and_grad(f).compile(*arguments)
    value, gradient = whole(*arguments)
    budget = 3 * whole.memory().arena // 4
    held = dmc.value_and_grad(f, budget=budget, keep=keep).compile(*arguments)
    memory = held.memory()
    assert memory.arena <= budget
    narrow = [entry for entry in memory.rounded if entry.type.startswith(keep)]
    assert narrow
    assert f"waiting in {keep}, each number within " in str(memory)
    planned = func.lookup(held.compilation.kernels, held.compilation.entry)
    replay(planned, memory.arena)
    rounded_value, rounded = held(*arguments)
    assert rounded_value == value
    error = np.abs(rounded - gradient).max() / np.abs(gradient).max()
    assert 0 < error < 4 / 2 ** min(bits, 9)


@pytest.mark.parametrize("keep", ["bf16", "i8"])
def test_loops_without_a_bound_keep_units_in_fewer_bits(keep: KeepName) -> None:
    """What a unit begins with is whole: however often the loop runs, errors do not add up there."""
    source = """
fn until[B, H](w: f64[H, H], x: f64[B, H], n: i64) -> f64 {
    var h = x
    var left = n
    while left > 0 and sum(h * h) < 1e6 {
        h = tanh(tanh(h @ w) + x)
        left = left - 1
    }
    sum(h * h)
}
"""
    f, w, x = dmc.loads(source).until, normal(8, 8), normal(16, 8)
    whole = dmc.value_and_grad(f).compile(w, x, 1)
    held = dmc.value_and_grad(f, budget=120_000, keep=keep).compile(w, x, 1)
    memory = held.memory()
    assert any(entry.type.startswith(f"{keep}[64, 16, 8]") for entry in memory.rounded)
    assert memory.arena <= 120_000
    for n in (0, 1, 64, 200):
        value, gradient = whole(w, x, n)
        rounded_value, rounded = held(w, x, n)
        assert rounded_value == value
        assert np.allclose(rounded, gradient, rtol=0, atol=0.01 * np.abs(gradient).max())
        assert n < 2 or not np.array_equal(rounded, gradient)


def test_the_smallest_budget_is_no_larger() -> None:
    """Where fewer bits lead nowhere they are not used."""
    needed: list[str] = []
    keeps: tuple[KeepName | None, ...] = (None, "bf16")
    for keep in keeps:
        with pytest.raises(dmc.OutOfMemory, match="cannot do with") as caught:
            dmc.value_and_grad(program.layers, budget=1, keep=keep).compile(*CASES["layers"])
        needed.append(caught.value.diagnostics[0].title.split()[-2])
    assert int(needed[1]) <= int(needed[0])


def test_in_the_language() -> None:
    source = """
fn f[N](a: f64[N, N], x: f64[N, N]) -> f64 {
    let first = tanh(x @ a)
    let second = tanh(first @ a)
    sum(tanh(second @ a) * first)
}
fn g[N](a: f64[N, N], x: f64[N, N]) -> f64[N, N] = grad(f, budget = 9 * KiB, keep = bf16)(a, x)
"""
    program = dmc.loads(source)
    memory = program.g.specialize(N=16).memory()
    assert memory.arena <= 9216
    assert memory.rounded


@pytest.mark.parametrize(
    ("given", "help_"),
    [
        ("budget = MiB, keep = f32", r"as in `keep = bf16`; there are bf16 and i8"),
        ("budget = MiB, keep = 8", r"as in `keep = bf16`"),
        ("keep = i8", r"as in `budget = 256 \* MiB, keep = i8`"),
    ],
)
def test_what_is_no_way_to_keep(given: str, help_: str) -> None:
    source = f"""
fn f[N](x: f64[N]) -> f64 = sum(sin(x))
fn g[N](x: f64[N]) -> f64[N] = grad(f, {given})(x)
"""
    with pytest.raises(dmc.DerivativeError, match=help_):
        dmc.loads(source)


def test_what_is_no_way_to_keep_from_python() -> None:
    with pytest.raises(dmc.DerivativeError, match=r'write `budget="256MB", keep="bf16"`'):
        dmc.grad(program.layers, keep="bf16")
    with pytest.raises(dmc.DerivativeError, match=r'write `keep="bf16"` or `keep="i8"`'):
        dmc.grad(program.layers, budget=4096, keep="f12")  # pyright: ignore[reportArgumentType]
