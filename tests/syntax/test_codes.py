"""The table of error codes: complete, well formed, and true of its own examples."""

from __future__ import annotations

import ast as python
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmc.diagnostics import codes
from dmc.diagnostics.codes import FAMILIES, TABLE, Code, Language
from dmc.diagnostics.errors import Error
from tests.syntax import parsing

COMPILER = Path(__file__).parent.parent.parent / "compiler" / "dmc"
DM = [code for code in TABLE.values() if code.language is Language.DM and code.failing]


def used_codes(folder: Path, families: tuple[str, ...]) -> set[str]:
    """Every string in the Python files of `folder` that has the form of a code."""
    form = re.compile(rf"(?:{'|'.join(families)})\.[a-z_]+")

    def strings() -> Iterator[str]:
        for path in folder.rglob("*.py"):
            if path.parent.name != "codes":
                for node in python.walk(python.parse(path.read_text(encoding="utf-8"))):
                    if isinstance(node, python.Constant) and isinstance(node.value, str):
                        yield node.value

    return {text for text in strings() if form.fullmatch(text)}


def test_the_parser_and_its_rows_agree() -> None:
    families = ("syntax", "file")
    rows = {code.name for family in families for code in FAMILIES[family]}
    assert used_codes(COMPILER / "syntax", families) <= rows
    assert rows <= used_codes(COMPILER, families)


def test_a_planted_code_is_found(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("error('syntax.planted')\n")
    assert used_codes(tmp_path, ("syntax",)) == {"syntax.planted"}


@pytest.mark.parametrize("code", TABLE.values(), ids=lambda code: code.name)
def test_form(code: Code) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z][a-z0-9_]*", code.name)
    assert code in FAMILIES[code.family]
    assert code.meaning[-1] not in ".!"
    assert code.explanation.endswith(".")
    assert bool(code.failing) == bool(code.fixed)
    assert code.failing == "" or code.failing != code.fixed


def test_no_code_stands_twice() -> None:
    assert len(TABLE) == sum(len(family) for family in FAMILIES.values())


@pytest.mark.parametrize("code", DM, ids=lambda code: code.name)
def test_examples_in_dm(code: Code) -> None:
    """Failing programs of the parser's families get exactly their code; all else parses."""
    parsing.parse_text(code.fixed)
    found: list[str] = []
    try:
        parsing.parse_text(code.failing)
    except Error as error:
        found = [problem.code for problem in error.diagnostics]
    assert found == ([code.name] if code.family == "syntax" else [])


def test_examples_in_python_and_toml() -> None:
    for code in TABLE.values():
        for text in (code.failing, code.fixed):
            if code.language is Language.PYTHON:
                python.parse(text)
            elif code.language is Language.TOML:
                tomllib.loads(text)


def test_closest() -> None:
    assert codes.closest("syntax.retrun")[0] == "syntax.return"
    assert "shape.matmul" in codes.closest("matmul")
    assert codes.closest("zzz") == []


def test_the_agreed_codes_are_there() -> None:
    agreed = """
        shape.matmul shape.broadcast shape.unproved index.range index.bounds type.mixed
        grad.zero key.reused state.immutable value.unused loop.type syntax.return
    """
    assert set(agreed.split()) <= set(TABLE)
