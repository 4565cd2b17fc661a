"""Every code of the checker, by the failing and the fixed program of its row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dmc.diagnostics.codes import FAMILIES, Code, Language
from dmc.diagnostics.errors import Error
from dmc.semantics.modules import check_program, check_text

SOURCES = Path(__file__).parents[2] / "compiler" / "dmc" / "semantics"
CHECKED = ("name", "type", "shape", "index", "grad", "state", "value", "loop", "key", "call")
FORM = re.compile(rf'"((?:{"|".join((*CHECKED, "feature"))})\.[a-z_]+)"')
REPORTED = {
    code
    for path in SOURCES.rglob("*.py")
    if "lower" not in path.parts
    for code in FORM.findall(path.read_text("utf-8"))
}
# Codes of these families that no later stage reports; those have their own tests.
ROWS = [
    code
    for family in CHECKED
    for code in FAMILIES[family]
    if code.language is Language.DM and code.failing and code.name in REPORTED
]


@pytest.mark.parametrize("code", ROWS, ids=lambda code: code.name)
def test_row(code: Code) -> None:
    with pytest.raises(Error) as caught:
        check_text(code.failing)
    assert [found.code for found in caught.value.diagnostics] == [code.name]
    for found in caught.value.diagnostics:
        assert found.primary is not None
        assert found.title
        assert not found.title.endswith(".")
    check_text(code.fixed)


def test_every_code_that_is_reported_has_a_row() -> None:
    rows = {code.name for family in (*CHECKED, "feature") for code in FAMILIES[family]}
    assert REPORTED - rows == set()


def test_modules_that_import_each_other(tmp_path: Path) -> None:
    (tmp_path / "a.dm").write_text("import b\n\nfn f(x: f64) -> f64 = x\n")
    (tmp_path / "b.dm").write_text("import a\n\nfn g(x: f64) -> f64 = x\n")
    with pytest.raises(Error) as caught:
        check_program(tmp_path / "a.dm")
    assert [found.code for found in caught.value.diagnostics] == ["name.cycle"]
