"""Programs compiled by one process are found by the next, and nothing else is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dmc
from dmc import driver
from dmc.ir import USUAL, Rates
from dmc.jit import engine
from dmc.jit.rates import RATES_VARIABLE
from dmc.process import VERIFY_EACH

SOURCE = """
model Scale[N](by: f64 = 1.0 / sqrt(N)) {
    param w: f64[N] = by * normal(key)

    fn forward(x: f64[N]) -> f64 = sum(w * x)
}

fn picked[N](x: f64[N], i: i32[2]) -> f64 = sum(x[i] * x[i])

fn computed[N](x: f64[N], t: i64) -> f64 = x[t * t]

fn steps(x: f64, n: i64) -> f64 {
    var y = x
    for _ in 0..n { y = sin(y) * y }
    y
}

fn twice[N](f: (f64) -> f64, x: f64[N]) -> f64[N] = [i] => f(f(x[i]))

fn half(x: f64) -> f64 = x / 2.0

fn third(x: f64) -> f64 = x / 3.0
"""
X = np.linspace(0.0, 1.0, 5)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an empty cache in it."""
    monkeypatch.delenv(VERIFY_EACH, raising=False)
    monkeypatch.setenv("DMC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The entries that are compiled from now on."""
    seen: list[str] = []
    usual = driver.Compilation.__init__

    def watched(self: driver.Compilation, module: Any, entry: str, **options: Any) -> None:
        seen.append(entry)
        usual(self, module, entry, **options)

    monkeypatch.setattr(driver.Compilation, "__init__", watched)
    return seen


def load(folder: Path, source: str = SOURCE) -> Any:
    path = folder / "program.dm"
    path.write_text(source)
    return dmc.load(path)


def test_a_program_is_compiled_once(folder: Path, compiled: list[str]) -> None:
    first = dmc.value_and_grad(load(folder).picked)(X, np.array([1, 3], np.int32))
    assert compiled
    compiled.clear()
    again = dmc.value_and_grad(load(folder).picked)(X, np.array([1, 3], np.int32))
    assert not compiled
    assert first[0] == again[0]
    np.testing.assert_array_equal(first[1], again[1])


def test_plans_under_budgets_are_for_a_machine(
    folder: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has none is for all; nothing is measured for it."""
    counts: list[int] = []
    for rates in (USUAL, USUAL, Rates(cache=1 << 20)):
        monkeypatch.setenv(RATES_VARIABLE, rates.text)
        compiled.clear()
        dmc.grad(load(folder).picked, budget="1MB")(X, np.array([1, 3], np.int32))
        counts.append(len(compiled))
    assert counts == [1, 0, 1]
    monkeypatch.setenv(RATES_VARIABLE, "none")
    dmc.grad(load(folder).picked)(X, np.array([1, 3], np.int32))


@pytest.mark.parametrize(
    "use",
    [
        lambda m: m.picked(X[:4], np.array([1, 3], np.int32)),
        lambda m: dmc.grad(m.picked)(X, np.array([1, 3], np.int32)),
        lambda m: m.twice(m.third, X),
        lambda m: m.computed(X, 1),
    ],
)
def test_other_instances_are_others(
    folder: Path, compiled: list[str], use: Callable[[Any], object]
) -> None:
    module = load(folder)
    module.picked(X, np.array([1, 3], np.int32))
    module.twice(module.half, X)
    compiled.clear()
    use(load(folder))
    assert compiled


def test_another_text_is_another_program(folder: Path) -> None:
    assert load(folder).half(6.0) == 3.0
    assert load(folder, SOURCE.replace("x / 2.0", "x / 4.0")).half(6.0) == 1.5
    assert load(folder).half(6.0) == 3.0


def test_what_is_imported_counts(folder: Path) -> None:
    source = "import other\nfn f(x: f64) -> f64 = other.g(x)\n"
    (folder / "other.dm").write_text("fn g(x: f64) -> f64 = x + 1.0\n")
    assert load(folder, source).f(1.0) == 2.0
    (folder / "other.dm").write_text("fn g(x: f64) -> f64 = x + 2.0\n")
    assert load(folder, source).f(1.0) == 3.0


def test_what_imports_import_counts(folder: Path) -> None:
    source = "import first\nfn f(x: f64) -> f64 = first.g(x)\n"
    (folder / "first.dm").write_text("from second import h\nfn g(x: f64) -> f64 = h(x)\n")
    for number in (1.0, 2.0):
        (folder / "second.dm").write_text(f"fn h(x: f64) -> f64 = x + {number}\n")
        assert load(folder, source).f(1.0) == 1.0 + number


def test_indexes_are_still_checked(folder: Path, compiled: list[str]) -> None:
    def messages() -> list[str]:
        found: list[str] = []
        for call in (
            lambda m: m.picked(X, np.array([1, 5], np.int32)),
            lambda m: m.computed(X, 3),
        ):
            with pytest.raises(dmc.Error) as raised:
                call(load(folder))
            found.append(str(raised.value))
        return found

    first = messages()
    compiled.clear()
    assert messages() == first
    assert "x[t * t]" in first[1]
    assert not compiled


def test_programs_with_tapes(folder: Path, compiled: list[str]) -> None:
    values = [dmc.grad(load(folder).steps)(0.5, n) for n in (2, 3)]
    compiled.clear()
    assert [dmc.grad(load(folder).steps)(0.5, n) for n in (2, 3)] == values
    dmc.grad(load(folder).steps)(0.5, 4)
    assert not compiled


def test_hyperparameters_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(folder).Scale(w=np.ones(4)).by == 0.5
    monkeypatch.setattr(driver, "interpreted", None)
    assert load(folder).Scale(w=np.ones(4)).by == 0.5


def test_functions_of_another_program(folder: Path) -> None:
    module, other = load(folder), dmc.loads("fn half(x: f64) -> f64 = x / 8.0\n")
    for _ in range(2):
        np.testing.assert_array_equal(load(folder).twice(module.third, X), X / 9)
        np.testing.assert_array_equal(load(folder).twice(other.half, X), X / 64)


def test_an_entry_in_the_place_of_another_is_not_used(folder: Path) -> None:
    module = load(folder)
    module.half(6.0)
    before = set(folder.glob("cache/*/*"))
    module.third(6.0)
    entries = sorted(set(folder.glob("cache/*/*")) - before), sorted(before)
    for new in entries[0]:
        for old in entries[1]:
            shutil.copy(new, old)
            assert load(folder).half(6.0) == 3.0


def test_stages_are_there_without_compiling_again(folder: Path) -> None:
    texts = [load(folder).half.compile().ir("kernel") for _ in range(2)]
    assert texts[0] == texts[1]


def test_code_that_is_gone_is_made_again(folder: Path, compiled: list[str]) -> None:
    load(folder).half(6.0)
    for path in folder.glob("cache/*/*"):
        if b"ELF" in path.read_bytes():
            os.unlink(path)
    engine._engine.cache_clear()
    assert load(folder).half(6.0) == 3.0
    assert compiled


def test_verified_passes_run(
    folder: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load(folder).half(6.0)
    compiled.clear()
    monkeypatch.setenv(VERIFY_EACH, "1")
    load(folder).half(6.0)
    assert compiled


def test_a_program_may_move(folder: Path, compiled: list[str]) -> None:
    source = "import other\nfn f(x: f64) -> f64 = other.g(x)\n"
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "other.dm").write_text("fn g(x: f64) -> f64 = x + 1.0\n")
        compiled.clear()
        assert load(folder / name, source).f(1.0) == 2.0
    assert not compiled
