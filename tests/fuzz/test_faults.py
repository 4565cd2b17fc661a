"""Each scenario of `tests/fuzz/faults.py`, and each damage, once."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import faults


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A cache that has what a call takes, and what the call prints."""
    cache = tmp_path_factory.mktemp("used") / "cache"
    return cache, faults.run(faults.CALL, DMC_CACHE_DIR=str(cache))


@pytest.mark.parametrize("harm", faults.DAMAGE, ids=lambda harm: harm.__name__)
def test_a_damaged_cache_costs_time_only(
    tmp_path: Path, used: tuple[Path, str], harm: faults.Damage
) -> None:
    cache, wanted = used
    copy = shutil.copytree(cache, tmp_path / "cache")
    assert faults.harmed(copy, wanted, harm, random.Random(0)) > 0


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
