"""Programs that need more memory than the machine has say so, and what takes it."""

from __future__ import annotations

import re

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
