"""The short form of `make fuzz`: a fixed set of trials, and that faults would be found."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import dmc
from dmc.dialects import arith
from dmc.driver import Stage
from dmc.ir import Builder, Module
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op
from dmc.transforms import pipeline
from tests.fuzz import __main__ as harness
from tests.fuzz import agreement, dumps, files, guards, programs, sources, texts, valgrind
from tests.fuzz.family import Family, Fault
from tests.fuzz.guards import guarded


@pytest.mark.parametrize(
    ("family", "seeds"),
    [(sources.Sources(), 60), (dumps.Dumps(), 150), (guards.Guards(), 60)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_trials(family: Family, seeds: int) -> None:
    outcomes = [family.check(seed) for seed in range(seeds)]
    assert not [outcome for outcome in outcomes if isinstance(outcome, Fault)]
    assert len(set(outcomes)) > 1 or family.name == "guards"


def test_trials_of_files(tmp_path: Path) -> None:
    family = files.Files(tmp_path)
    outcomes = [family.check(seed) for seed in range(400)]
    assert set(outcomes) == {"read", "refused"}


# The harness itself


def test_a_difference_is_found() -> None:
    x = np.linspace(1.0, 2.0, 5)
    found = agreement.difference(lambda a: [a[0] * 1.001], lambda a: [a[0] * 1.0], [x])
    assert isinstance(found, Fault)
    assert agreement.difference(lambda a: [a[0]], lambda a: [a[0]], [x]) == "agrees"
    cancels = agreement.difference(
        lambda a: [(a[0] + 1e16) - 1e16], lambda a: [(a[0] * (1 + 1e-15) + 1e16) - 1e16], [x * 1e15]
    )
    assert cancels == "undecided" or cancels == "agrees"


def test_an_exception_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise KeyError("planted")

    monkeypatch.setattr("tests.fuzz.sources.dmc.loads", broken)
    found = sources.outcome_of("fn f(x: f64) -> f64 = x", sources.ROOT, 0)
    assert isinstance(found, Fault)
    assert "KeyError" in found.kind
    monkeypatch.setattr("tests.fuzz.dumps.run_textual", broken)
    assert isinstance(dumps.outcome_of(Stage.KERNEL, "", "", 0), Fault)


def test_what_takes_long_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sources, "SECONDS", 0.0)
    found = sources.outcome_of("fn f(x: f64) -> f64 = y", sources.ROOT, 0)
    assert isinstance(found, Fault)
    assert found.kind == "check takes long"
    monkeypatch.setattr(files, "SECONDS", 0.0)
    assert isinstance(files.outcome_of(tmp_path / "data.csv", b"a\n1\n"), Fault)


def test_kernels_whose_plan_fails_are_refused() -> None:
    """Two values in one place: native code would read what is no longer there."""
    program = dmc.loads("fn f(x: f64[9], w: f64[9, 9]) -> f64[9] = w @ tanh(w @ exp(w @ x))")
    text = program.f.compile().ir("kernel")
    places = sorted(set(re.findall(r"arena \d+", text)))
    assert dumps.outcome_of(Stage.KERNEL, text, "", 0) == "agrees"
    shared = text.replace(places[1], places[0])
    assert dumps.outcome_of(Stage.KERNEL, shared, "", 0) == "refused"


def test_endless_programs_are_left() -> None:
    text = "fn f(x: f64) -> f64 {\n    var y = x\n    while y == x { y = x }\n    y\n}\n"
    assert sources.outcome_of(text, sources.ROOT, 0) == "too long"


def test_texts_shrink_to_what_matters() -> None:
    text = "\n".join(f"line {i} of a long text" for i in range(40))
    assert texts.shrink(text, lambda smaller: "17" in smaller) == "17"


@pytest.mark.parametrize(("at_end", "offset"), [(True, 8), (False, -8)])
def test_a_touch_of_a_guard_ends_the_process(at_end: bool, offset: int) -> None:
    program = (
        "import ctypes, numpy as np\n"
        "from tests.fuzz.guards import guarded\n"
        f"a = guarded(np.zeros(3), {at_end})\n"
        f"ctypes.c_double.from_address(a.ctypes.data + {16 if at_end else 0} + {offset}).value\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=sources.ROOT, check=False)
    assert done.returncode < 0
    np.testing.assert_array_equal(guarded(np.arange(3.0), at_end), np.arange(3.0))


@pytest.mark.skipif(not all(map(shutil.which, valgrind.TOOLS)), reason="needs valgrind and cc")
def test_memcheck_finds_what_is_read_behind_an_array(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    short = valgrind.DRIVER.replace("malloc(sizes[i])", "malloc(sizes[i] - 8)")
    assert short != valgrind.DRIVER
    monkeypatch.setattr(valgrind, "DRIVER", short)
    complaint = valgrind.checked("scaled", {"N": 9}, gradient=False, folder=tmp_path)
    assert "Invalid read of size 8" in complaint


@dataclass(frozen=True)
class Wrong(Pass):
    """Takes products for sums."""

    name = "wrong"

    def run(self, module: Module) -> None:
        for op in list(module.walk()):
            if isinstance(op, arith.Multiply):
                replace_op(op, [arith.add(Builder.ahead_of(op), op.lhs, op.rhs)])


def test_a_wrong_pass_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made = dmc.loads("fn f(x: f64[3]) -> f64 = sum(x * x)").f.specialize().compilation
    assert programs.first_wrong_pass(made, [np.ones(3)], 1e-9) is None
    passes = [*pipeline.optimize()[:2], Wrong(), *pipeline.optimize()[2:]]
    monkeypatch.setattr(pipeline, "optimize", lambda: passes)
    found = programs.first_wrong_pass(made, [np.ones(3)], 1e-9)
    assert found is not None
    assert found.kind == "wrong changes what is computed"


def test_a_process_that_dies_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness.sys, "executable", "/bin/false")
    (trial, *_) = harness.trials("dumps", 7, 0.5, shrink=False)
    assert isinstance(trial.outcome, Fault)
    assert (trial.seed, trial.outcome.kind) == (7, "the process ended: status 1")
