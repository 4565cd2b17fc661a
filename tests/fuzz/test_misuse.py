"""Whatever is passed to whatever is public, nothing but `dmc.Error` comes out."""

from __future__ import annotations

from pathlib import Path

import pytest

import dmc
from tests.fuzz import misuse


def test_wrong_values_in_every_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    threads = dmc.get_num_threads()
    try:
        faults = [fault.detail for fault in misuse.all_faults(tmp_path)]
    finally:
        dmc.set_num_threads(threads)
    assert not faults, "\n".join(faults)


def test_a_planted_fault_is_found() -> None:
    assert misuse.attempt(lambda value: value + 1, "a") is not None
    assert misuse.attempt(dmc.loads, "fn") is None
