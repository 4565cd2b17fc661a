"""Parser tables between processes: used when whole, rebuilt when not, never required."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dmc_grammar
from dmc.syntax import tables

TEXT = "fn f() -> f64 = 1.0\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DMC_CACHE_DIR", str(tmp_path))
    return tmp_path


def cached(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.lalr"))


def test_tables_are_kept_and_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tables.load().parse(TEXT)
    assert len(cached(cache)) == 1

    def never(grammar: str, *, strict: bool = False) -> tables.Parser:
        raise AssertionError("built again")

    monkeypatch.setattr(tables, "build", never)
    assert tables.load().parse(TEXT) == first


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 5000])
def test_a_damaged_file_is_rebuilt(cache: Path, content: bytes) -> None:
    tables.load()
    (path,) = cached(cache)
    whole = path.read_bytes()
    path.write_bytes(content)
    tables.load().parse(TEXT)
    assert path.read_bytes() != content
    path.write_bytes(whole[:-100])
    tables.load().parse(TEXT)


def test_another_grammar_has_another_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables.load()
    changed = dmc_grammar.read("dm.lark") + "\n// changed\n"
    monkeypatch.setattr(dmc_grammar, "read", lambda name: changed)
    tables.load()
    assert len(cached(cache)) == 2


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="permissions of POSIX")
def test_a_folder_that_others_may_write_to_is_not_used(cache: Path) -> None:
    tables.load()
    (path,) = cached(cache)
    path.unlink()
    path.parent.chmod(0o777)
    tables.load().parse(TEXT)
    assert cached(cache) == []


def test_no_cache_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("DMC_CACHE_DIR", str(blocked))
    tables.load().parse(TEXT)


def test_an_empty_setting_means_no_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DMC_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tables.load().parse(TEXT)
    assert cached(cache) == []


def test_lark_loads_only_when_something_is_parsed() -> None:
    code = (
        "import sys, dmc.syntax.parser, dmc.diagnostics.errors, dmc.ir.location\n"
        "assert 'lark' not in sys.modules\n"
        "dmc.syntax.parser.parse(dmc.ir.location.SourceFile('m.dm', ''))\n"
        "assert 'lark' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
