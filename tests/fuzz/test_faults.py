"""Each scenario of `tests/fuzz/faults.py`, and each damage, once."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import faults


@pytest.mark.parametrize("harm", faults.DAMAGE, ids=lambda harm: harm.__name__)
def test_a_damaged_cache_costs_time_only(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[Path, random.Random], None],
) -> None:
    monkeypatch.setattr(faults, "DAMAGE", (harm,))
    assert faults.damaged_cache(tmp_path, random.Random(0)) != f"{harm.__name__} of 0"


@pytest.mark.parametrize(
    "scenario", [faults.no_home, faults.many_processes, faults.killed_training]
)
def test_scenario(tmp_path: Path, scenario: Callable[[Path, random.Random], str]) -> None:
    scenario(tmp_path, random.Random(1))


def test_a_complaint_is_found() -> None:
    with pytest.raises(faults.Failed, match="status 3"):
        faults.run("import sys; sys.exit(3)")
    with pytest.raises(faults.Failed, match="oh"):
        faults.run("import sys; print('oh', file=sys.stderr)")
