"""The short form of `make fuzz`: a fixed set of trials, and that faults would be found."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from dmc.driver import Stage
from tests.fuzz import __main__ as harness
from tests.fuzz import agreement, dumps, guards, sources, texts
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


def test_a_process_that_dies_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness.sys, "executable", "/bin/false")
    (trial, *_) = harness.trials("dumps", 7, 0.5, shrink=False)
    assert isinstance(trial.outcome, Fault)
    assert (trial.seed, trial.outcome.kind) == (7, "the process ended: status 1")
