"""Programs that need more memory than the machine has say so, and what takes it."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

import dmc
from dmc.jit import entry

SOURCE = """\
fn sorted[N](x: f64[N]) -> f64 {
    let a = [i, j] => x[i] * x[j]
    let b = sort[-1](a)
    sum(b[0]) + a[1, 2]
}
fn outer[N](x: f64[N]) -> f64[N, N] = [i, j] => x[i] * x[j]
fn square[N](x: f64[N]) -> f64 {
    let a = [i, j] => x[i] * x[j]
    sum(a @ a.T)
}
fn doubled[N](x: f64[N]) -> f64[N] = 2.0 * x
"""
program = dmc.loads(SOURCE)


def ones(n: int) -> np.ndarray:
    """Takes no memory itself."""
    return np.broadcast_to(np.float64(1.0), n)


def refusal(call: object, *arguments: object) -> dmc.OutOfMemory:
    assert callable(call)
    with pytest.raises(dmc.OutOfMemory) as caught:
        call(*arguments)
    error: dmc.OutOfMemory = caught.value
    assert error.diagnostics[0].code == "memory.size"
    assert issubclass(dmc.OutOfMemory, MemoryError)
    return error


def test_the_largest_values_are_named_with_their_lines() -> None:
    error = refusal(program.sorted, ones(1_000_000))
    (diagnostic,) = error.diagnostics
    assert re.match(r"`sorted` needs \d\d\.\d+ TiB of memory, and there are ", diagnostic.title)
    labels = (diagnostic.primary, *diagnostic.labels)
    assert [(label.span.start_line, label.text) for label in labels if label] == [
        (2, "f64[1000000, 1000000]: 7.276 TiB"),
        (3, "f64[1000000, 1000000]: 7.276 TiB"),
    ]
    assert "let b = sort[-1](a)" in str(error)


@pytest.mark.parametrize("n", [1_000_000, 2**31, 2**40, 2**59])
@pytest.mark.parametrize("name", ["outer", "square"])
def test_sizes_beyond_any_machine(name: str, n: int) -> None:
    refusal(getattr(program, name), ones(n))
    refusal(getattr(program, name).compile, ones(n))


def test_gradients() -> None:
    assert "grad_sorted" in str(refusal(dmc.grad(program.sorted), ones(1_000_000)))


def test_a_program_that_fits_runs_on() -> None:
    assert program.square(np.ones(3)) == 27.0
    with pytest.raises(dmc.OutOfMemory):
        program.square(ones(1_000_000))
    assert program.square(np.ones(3)) == 27.0


def test_memory_that_is_not_free_now(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(count: int) -> np.ndarray:
        raise MemoryError(count)

    monkeypatch.setattr(entry, "aligned_bytes", fail)
    error = refusal(program.doubled, np.ones(17))
    assert "`doubled` needs 136 bytes" in str(error)


def test_an_arena_that_others_have_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine has, but not now, is refused before anything runs."""
    compiled = dmc.grad(program.square).compile(np.ones(3))
    for module in ("jit.entry", "driver"):
        monkeypatch.setattr(f"dmc.{module}.unused_memory", lambda: 10_000_000)
    error = refusal(dmc.grad(program.square).compile, np.ones(2500))
    assert re.search(r"needs .* of memory, and there are 9\.537 MiB", str(error))
    assert compiled(np.ones(3)).shape == (3,)


LAYERS = dmc.loads("""\
fn loss[B, H](w: f64[H, H], v: f64[H, H], x: f64[B, H]) -> f64 {
    let hidden = tanh(x @ w)
    mean(tanh(hidden @ v) ** 2)
}
""")


def test_what_is_reported_is_what_is_allocated() -> None:
    compiled = dmc.value_and_grad(LAYERS.loss, wrt=("w", "v")).compile(B=256, H=64)
    memory = compiled.memory()
    executable = compiled.compilation.executable
    assert memory.arena + memory.scratch == executable.memory
    assert memory.arguments == 8 * (2 * 64 * 64 + 256 * 64)
    assert memory.results == 8 * (2 * 64 * 64 + 1)
    parts = memory.arguments + memory.results + memory.arena + memory.scratch
    assert memory.peak == parts
    assert sum(value.bytes for value in memory.live) <= memory.arena
    assert memory.arena <= 1.1 * sum(value.bytes for value in memory.live)
    assert "hidden" in [value.name for value in memory.saved]
    (hidden,) = [value for value in memory.saved if value.name == "hidden"]
    assert (hidden.type, hidden.bytes, hidden.line) == ("f64[256, 64]", 8 * 256 * 64, 2)
    assert hidden in memory.largest


def test_of_a_function_that_was_lowered() -> None:
    """Lowering leaves operations about that read values of what it was given."""
    program = dmc.loads("""
fn heat[N](u: f64[N, N]) -> f64 {
    var v = u
    for t in 0..4 {
        v = [i, j] => v[i, j] + v[maximum(i - 1, 0), j] * sin(v[i, minimum(j + 1, N - 1)])
    }
    sum(v)
}
""")
    compiled = dmc.grad(program.heat).specialize(N=16)
    _ = compiled.compilation.llvm
    assert compiled.memory().arena > 0


@pytest.mark.usefixtures("new_heap")
def test_what_is_loaded_keeps_no_stages_but_makes_them_again() -> None:
    compiled = dmc.loads("fn f[N](x: f64[N]) -> f64 = sum(sin(x))").f.specialize(N=3)
    kernels, text = weakref.ref(compiled.compilation.kernels), compiled.ir("kernel")
    compiled(np.zeros(3))
    gc.collect()
    assert kernels() is None
    assert compiled.ir("kernel") == text


def test_table_and_picture(tmp_path: Path) -> None:
    memory = dmc.value_and_grad(LAYERS.loss, budget="1MiB").compile(B=256, H=64).memory()
    lines = str(memory).splitlines()
    assert lines[0].startswith("loss: ")
    assert any(re.fullmatch(r"  budget +1 MiB +1,048,576 bytes", line) for line in lines)
    assert any(line.startswith("kept for the reverse pass: ") for line in lines)
    assert any("f64[256, 64]" in line and line.endswith(":2") for line in lines)
    assert any(moment.is_reverse for moment in memory.moments)
    assert not memory.moments[0].is_reverse
    memory.plot(tmp_path / "memory.png")
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")


def test_resident_memory_is_what_is_reported() -> None:
    """What a process takes more with a call is the report, but for a constant."""
    code = """
import resource, sys
import numpy as np, dmc
def resident():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * resource.getpagesize()
program = dmc.loads('fn f[N](x: f64[N, N]) -> f64 = sum(tanh(tanh(x @ x) @ x) @ x)')
f = dmc.value_and_grad(program.f)
f(np.ones((8, 8)))
before = resident()
x = np.ones((1024, 1024))
compiled = f.compile(x)
result = compiled(x)
print(resident() - before, compiled.memory().peak)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    grown, reported = map(int, out.stdout.split())
    assert 0.75 * reported < grown < reported + 32 * 2**20
