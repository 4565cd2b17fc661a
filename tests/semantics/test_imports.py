"""Files that programs import: read when a program is loaded, parsed once."""

from __future__ import annotations

from pathlib import Path

import pytest

import dmc
from dmc.ir.location import SourceFile
from dmc.semantics import modules


def test_programs_share_what_they_import_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.dm").write_text("fn g(x: f64) -> f64 = 2.0 * x\n")
    text = "from other import g\nfn f(x: f64) -> f64 = g(x) + 1.0\n"
    parsed: list[str] = []
    parse = modules.parse

    def counted(source: SourceFile) -> object:
        parsed.append(Path(source.name).name)
        return parse(source)

    monkeypatch.setattr(modules, "parse_import", modules.sharing(counted))
    assert [dmc.loads(text, "a.dm", tmp_path).f(3.0) for _ in range(2)] == [7.0, 7.0]
    assert parsed == ["other.dm"]
    (tmp_path / "other.dm").write_text("fn g(x: f64) -> f64 = 5.0 * x\n")
    assert dmc.loads(text, "a.dm", tmp_path).f(3.0) == 16.0
