"""Gradients under a budget of memory: the same bits, in no more than that."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import dmc
from dmc.dialects import func
from dmc.ir import Interpreter
from dmc.jit.tapes import tape_memory
from dmc.transforms.memory import replay
from tests.growth.measure import operations

program = dmc.load(Path(__file__).parent / "budget.dm")
_random = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return _random.normal(size=shape) / 2


CASES: dict[str, tuple[object, ...]] = {
    "layers": (normal(8, 8), normal(8, 8), normal(8, 8), normal(64, 8)),
    "stack": (normal(12, 6, 6), normal(16, 6)),
    "recurrent": (normal(4, 4), normal(60, 4)),
    "series": (0.7, normal(61)),
    "dropped": (normal(8, 8), normal(64, 8), dmc.key(3)),
    "nested": (normal(3, 4, 4), normal(20, 4)),
}


def least(f: dmc.Function, *arguments: object) -> int:
    """The smallest budget, as the refusal of a smaller one says; 1 byte if that is enough."""
    try:
        compiled = dmc.value_and_grad(f, budget=1).compile(*arguments)
    except dmc.OutOfMemory as error:
        (diagnostic,) = error.diagnostics
    else:
        assert compiled.memory().arena <= 1
        return 1
    assert "cannot do with" in diagnostic.title
    assert diagnostic.code == "memory.budget"
    assert diagnostic.primary is not None
    found = re.search(r"it needs (\d+) bytes", diagnostic.title)
    assert found is not None
    return int(found[1])


def bits(value: object) -> list[bytes]:
    parts = value if isinstance(value, tuple) else (value,)
    return [np.asarray(part).tobytes() for part in parts]


@pytest.mark.parametrize("name", CASES)
def test_every_budget_gives_the_same_bits(name: str) -> None:
    f, arguments = getattr(program, name), CASES[name]
    whole = dmc.value_and_grad(f).compile(*arguments)
    expected, most = bits(whole(*arguments)), whole.memory().arena
    smallest = least(f, *arguments)
    assert smallest < 0.8 * most
    for budget in (smallest, (smallest + most) // 2):
        compiled = dmc.value_and_grad(f, budget=budget).compile(*arguments)
        memory = compiled.memory()
        assert memory.arena <= budget == memory.budget
        assert bits(compiled(*arguments)) == expected
        planned = func.lookup(compiled.compilation.kernels, compiled.compilation.entry)
        replay(planned, memory.arena)
    if smallest > 1:
        with pytest.raises(dmc.OutOfMemory, match=f"needs {smallest} bytes"):
            dmc.value_and_grad(f, budget=smallest - 1).compile(*arguments)


def test_long_loop_needs_memory_for_its_root() -> None:
    """Hundred thousand steps: a thousandth of the tape, and at most twice the work."""
    f, sizes = program.recurrent, {"T": 100_000, "H": 64}
    whole = dmc.value_and_grad(f).specialize(**sizes)
    assert whole.memory().arena > 100_000_000
    held = dmc.value_and_grad(f, budget="8MB").specialize(**sizes)
    assert held.memory().arena < 8_000_000
    assert operations(held.compilation.loops) < 2 * operations(whole.compilation.loops)


def test_the_smallest_budget_grows_with_the_logarithm() -> None:
    """Segments of segments; counts need not have divisors."""
    found: list[int] = []
    for count in (64, 1009, 4096):
        sized = dmc.value_and_grad(program.steps, budget=1).specialize(T=count, H=64)
        with pytest.raises(dmc.OutOfMemory) as caught:
            _ = sized.compilation.kernels
        found.append(int(caught.value.diagnostics[0].title.split()[-2]))
    assert max(found) < 2 * found[0]


def test_a_few_layers_need_no_more_memory_than_two() -> None:
    """Short loops keep nothing: they begin again for each iteration."""
    x = np.ones((16, 6))
    needed = {least(program.stack, np.ones((count, 6, 6)), x) for count in (2, 5, 8)}
    assert len(needed) == 1


UNBOUNDED = """
fn nested[H](w: f64[H, H], x: f64[H], n: i64) -> f64 {
    var h = x
    for t in 0..n {
        if h[0] < 2.0 {
            var i = 0
            while i < t % 5 {
                h = sin(h @ w) * x
                i = i + 1
            }
        }
        h = tanh(h @ w + 0.3 * x)
    }
    sum(h * h)
}

fn until[H](w: f64[H, H], x: f64[H], n: i64) -> f64 {
    var h = x
    var left = n
    while left > 0 and sum(h * h) < 1e6 {
        h = tanh(h @ w + 0.3 * x) + 0.1 * f64(left % 3)
        left = left - 1
    }
    sum(h * h)
}
"""


@pytest.mark.parametrize("name", ["nested", "until"])
def test_loops_without_a_bound_keep_the_budget(name: str) -> None:
    """However often they run: snapshots in slots, thinned as they run on; no tape."""
    f = getattr(dmc.loads(UNBOUNDED), name)
    w, x = normal(8, 8), normal(8)
    whole = dmc.value_and_grad(f).compile(w, x, 1)
    counts = (0, 1, 3, 16, 17, 400)
    expected = [bits(whole(w, x, n)) for n in counts]
    smallest = least(f, w, x, 1)
    assert smallest < 2000
    for budget in (smallest, 4500):
        compiled = dmc.value_and_grad(f, budget=budget).compile(w, x, 1)
        assert compiled.memory().arena <= budget
        tape_memory().peak()
        assert [bits(compiled(w, x, n)) for n in counts] == expected
        assert tape_memory().peak() == 0
        kernels, entry = compiled.compilation.kernels, compiled.compilation.entry
        replay(func.lookup(kernels, entry), compiled.memory().arena)
        values = Interpreter(kernels).call(entry, [w, x, np.asarray(5)])
        assert np.allclose(values[1], whole(w, x, 5)[1], rtol=1e-12)


def test_what_a_parallel_task_keeps_counts() -> None:
    """Snapshots of loops inside of tasks; the number of threads changes no plan."""
    text = """
fn f[N, H](w: f64[H, H], x: f64[N, H]) -> f64 {
    let y = [n] => {
        var h = x[n]
        var i = 0
        while i < 50 and h[0] < 2.0 {
            h = tanh(w @ h + x[n])
            i = i + 1
        }
        sum(h * h)
    }
    sum(y)
}
"""
    f, w, x = dmc.loads(text).f, normal(8, 8), normal(5, 8)
    expected = bits(dmc.value_and_grad(f)(w, x))
    smallest = least(f, w, x)
    for budget in (smallest, 3 * smallest):
        held = dmc.value_and_grad(f, budget=budget).compile(w, x)
        plan = held.compilation.memory()
        assert 0 < plan.private_bytes < plan.private_bytes + plan.arena_bytes <= budget
        assert bits(held(w, x)) == expected
    with pytest.raises(dmc.OutOfMemory, match=f"needs {smallest} bytes"):
        dmc.value_and_grad(f, budget=smallest - 1).compile(w, x)


def test_what_is_left_of_tapes_keeps_the_budget() -> None:
    """Of second derivatives: a call fails rather than take more, and leaves nothing behind."""
    text = """
fn f(x: f64[3], n: i64) -> f64 {
    var h = x
    for t in 0..n { h = sin(h * x) }
    sum(h)
}
fn g(x: f64[3], n: i64) -> f64 = sum(grad(f)(x, n) ** 2)
"""
    g, x = dmc.loads(text).g, normal(3)
    expected = bits(dmc.value_and_grad(g)(x, 40))
    held = dmc.value_and_grad(g, budget="16kB").compile(x, 40)
    tape_memory().peak()
    assert bits(held(x, 40)) == expected
    with pytest.raises(dmc.OutOfMemory, match=r"15\.62 KiB ran out") as caught:
        held(x, 4000)
    assert caught.value.diagnostics[0].code == "memory.tape"
    assert held.memory().arena < tape_memory().peak() + held.memory().arena <= 16_000
    assert bits(held(x, 40)) == expected


def test_budget_in_the_language() -> None:
    w, x = CASES["recurrent"]
    assert isinstance(x, np.ndarray)
    compiled = program.step.compile()
    assert compiled.memory().budget == 3 * 1024
    assert compiled.memory().arena <= 3 * 1024
    expected = w - 0.1 * dmc.grad(program.recurrent)(w, x[:30])
    assert np.array_equal(compiled(w, x[:30]), expected)


@pytest.mark.parametrize(
    ("budget", "help_"),
    [
        (0, "at least one byte"),
        (-3, "at least one byte"),
        (True, "as an integer"),
        (1.5, "as an integer"),
        ("much", "a number and a unit"),
        ("-3 MB", "a number and a unit"),
        ("12 Mb", "`Mb` is bits"),
        ("3 parsecs", "no unit `parsecs`"),
        ([1], "write"),
    ],
)
def test_what_is_no_budget(budget: object, help_: str) -> None:
    with pytest.raises(dmc.DerivativeError, match=help_) as caught:
        dmc.grad(program.layers, budget=budget)  # pyright: ignore[reportArgumentType]
    assert caught.value.diagnostics[0].code == "grad.budget"


@pytest.mark.parametrize("budget", ["0", "-1", "x[0]", "N * KiB", "MiB / 2"])
def test_what_is_no_budget_in_the_language(budget: str) -> None:
    source = f"""
fn f[N](x: f64[N]) -> f64 = sum(sin(x))
fn g[N](x: f64[N]) -> f64[N] = grad(f, budget = {budget})(x)
"""
    with pytest.raises(dmc.DerivativeError, match=r"as in `budget = 256 \* MiB`"):
        dmc.loads(source)


def test_budgets_belong_to_reverse_mode() -> None:
    with pytest.raises(dmc.CallError, match=r"a gradient takes one: `dmc\.grad"):
        program.layers.compile(budget=3)
    with pytest.raises(dmc.DerivativeError, match="`jvp` keeps nothing"):
        dmc.loads("fn f(x: f64) -> f64 = sin(x)\nfn g(x: f64) -> f64 = jvp(f, budget = 8)(x)")


def test_a_budget_larger_than_the_machine_is_worth_a_warning() -> None:
    with pytest.warns(UserWarning, match="holds nothing back"):
        dmc.grad(program.series, budget="1000 PB").specialize(T=3).memory()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dmc.grad(program.series, budget="1MB").specialize(T=3).memory()
