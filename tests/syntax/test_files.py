"""Files that cannot be read or are no text, and texts beyond the limits."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from dmc.diagnostics.errors import Error, FileError, MissingFileError
from dmc.syntax.files import LARGEST_FILE
from dmc.syntax.limits import DEEPEST_TREE, LONGEST_LINE
from tests.syntax import parsing


def refusal(path: Path) -> Error:
    with pytest.raises(Error) as caught:
        parsing.parse_file(path)
    str(caught.value)
    return caught.value


def code(error: Error) -> str:
    return error.diagnostics[0].code


def test_missing_file_suggests_a_close_name(tmp_path: Path) -> None:
    (tmp_path / "model.dm").write_text("")
    error = refusal(tmp_path / "modle.dm")
    assert isinstance(error, MissingFileError)
    assert isinstance(error, FileNotFoundError)
    assert code(error) == "file.missing"
    assert "model.dm" in error.diagnostics[0].help[0]


def test_directory(tmp_path: Path) -> None:
    (tmp_path / "net.dm").write_text("")
    error = refusal(tmp_path)
    assert isinstance(error, FileError)
    assert isinstance(error, OSError)
    assert code(error) == "file.directory"
    assert "net.dm" in error.diagnostics[0].help[0]


def test_a_name_with_nul(tmp_path: Path) -> None:
    assert code(refusal(tmp_path / "a\0b.dm")) == "file.missing"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root reads everything")
def test_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "secret.dm"
    path.write_text("")
    path.chmod(0)
    assert code(refusal(path)) == "file.unreadable"


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.dm"
    path.write_bytes("fn f() -> f64 = 1.0\n# größe\n".encode("latin1"))
    error = refusal(path)
    assert code(error) == "file.encoding"
    assert f"{path}:2:5" in str(error)
    assert "byte 0xf6" in str(error)


def test_utf16_and_binary(tmp_path: Path) -> None:
    path = tmp_path / "m.dm"
    path.write_bytes("fn f() -> f64 = 1.0\n".encode("utf-16"))
    assert code(refusal(path)) == "file.encoding"
    path.write_bytes(b"\x7fELF\x02\x01\x01\x00\x00")
    assert code(refusal(path)) == "syntax.character"


def test_byte_order_mark_and_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "m.dm"
    path.write_bytes(b"\xef\xbb\xbffn f() -> f64 = 1.0\n")
    assert parsing.parse_file(path).declarations[0].span.start_column == 1
    path.write_bytes(b"")
    assert parsing.parse_file(path).declarations == ()


def test_nul_bytes(tmp_path: Path) -> None:
    path = tmp_path / "m.dm"
    path.write_bytes(b"fn f() -> f64 = 1.0\0\n")
    error = refusal(path)
    assert code(error) == "syntax.character"
    assert "U+0000" in str(error)


def test_a_line_of_ten_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "m.dm"
    path.write_text("fn f() -> f64 = " + "1.0 + " * (10_000_000 // 6) + "1.0\n")
    error = refusal(path)
    assert code(error) == "file.size"
    assert len(str(error)) < 1000


def test_a_long_line(tmp_path: Path) -> None:
    path = tmp_path / "m.dm"
    path.write_text("\nfn f() -> f64 = " + "1.0 + " * 100_000 + "1.0\n")
    assert path.stat().st_size < LARGEST_FILE
    error = refusal(path)
    assert code(error) == "syntax.line"
    assert f"{path}:2:1" in str(error)
    assert len(str(error)) < 1000


DEEP: dict[str, Callable[[int], str]] = {
    "arrays": lambda n: "[" * n + "1.0" + "]" * n,
    "calls": lambda n: "f(\n" * n + "1.0" + ")" * n,
    "powers": lambda n: "1.0\n" + "    ** 1.0\n" * n,
    "signs": lambda n: "- " * n + "1.0",
    "not": lambda n: "not\n" * n + "true",
    "members": lambda n: "a" + ".b" * n,
    "blocks": lambda n: "if a {\n" * n + "1.0" + "}" * n,
    "else": lambda n: "if a { 1.0 } else\n" * n + "{ 1.0 }",
    "lambdas": lambda n: "fn(x) =>\n" * n + "1.0",
    "tuples": lambda n: "(1.0, \n" * n + "1.0" + ")" * n,
}


@pytest.mark.parametrize("form", DEEP)
@pytest.mark.parametrize("levels", [DEEPEST_TREE + 10, 3_000])
def test_deep_nesting(tmp_path: Path, form: str, levels: int) -> None:
    path = tmp_path / "m.dm"
    path.write_text(f"fn f() -> f64 = {DEEP[form](levels)}\n")
    assert code(refusal(path)) == "syntax.nesting"


@pytest.mark.parametrize("form", DEEP)
def test_refusing_takes_work_in_proportion(tmp_path: Path, form: str) -> None:
    def work(levels: int) -> int:
        path = tmp_path / "m.dm"
        path.write_text(f"fn f() -> f64 = {DEEP[form](levels)}\n")

        def parse() -> None:
            with suppress(Error):
                parsing.parse_file(path)

        return parsing.work(parse)

    work(10)
    few, many = work(400), work(1_200)
    assert many < 4 * few


@pytest.mark.parametrize("form", DEEP)
def test_moderate_nesting(form: str) -> None:
    parsing.parse_text(f"fn f() -> f64 = {DEEP[form](20)}\n")


@pytest.mark.parametrize("opener", ["[", "(", "{", "f("])
def test_many_unclosed_brackets(opener: str) -> None:
    with pytest.raises(Error) as caught:
        parsing.parse_text("fn f() -> f64 =\n" + f"    {opener}\n" * 5_000)
    assert code(caught.value).startswith("syntax.")


def test_many_parentheses_are_no_nesting() -> None:
    parsing.parse_text("fn f() -> f64 = " + "(" * 3_000 + "1.0" + ")" * 3_000 + "\n")


@pytest.mark.parametrize("operator", ["+", "-", "*", "/", "and"])
def test_chains_of_operators_are_no_nesting(operator: str) -> None:
    parsing.parse_text("fn f() -> f64 = x\n" + f"    {operator} x\n" * 5_000)


def test_many_declarations(tmp_path: Path) -> None:
    """Errors in each of many declarations are found in reasonable time."""
    path = tmp_path / "m.dm"
    path.write_text("fn f(x: f64) -> f64 = x +\n" * 500)
    assert len(refusal(path).diagnostics) == 500


def test_the_longest_line_is_allowed() -> None:
    parsing.parse_text("fn f() -> f64 = 1.0 #".ljust(LONGEST_LINE, "x") + "\n")
