"""Whatever an example compiles has a plan of memory that is near the least possible."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dmc.dialects import func
from dmc.transforms import plan_memory
from dmc.transforms.memory.report import MemoryPlan, report


@pytest.fixture(autouse=True)
def plans(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The plans of an example, each held to a tenth more than what is live at once."""
    made: list[MemoryPlan] = []
    plan = plan_memory.plan

    def planned(function: func.Func) -> None:
        plan(function)
        made.append(report(function))

    monkeypatch.setattr(plan_memory, "plan", planned)
    monkeypatch.setenv("DMC_CACHE_DIR", str(tmp_path / "cache"))  # what is cached is not planned
    yield
    for each in made:
        assert each.arena_bytes <= 1.1 * each.least_bytes
