"""Rendering beyond the agreed examples: colour, several files, odd lines, calls, JSON, classes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from dmc.diagnostics import errors, render
from dmc.diagnostics.codes import FAMILIES
from dmc.diagnostics.diagnostic import Diagnostic, Label, Severity
from dmc.diagnostics.errors import CompilerBug, Error
from dmc.ir.location import SourceFile, Span


def at(file: SourceFile, line: int, start: int, end: int, text: str = "") -> Label:
    return Label(Span(file, line, start, line, end), text)


def rendered(text: str, *places: tuple[int, int, int, str]) -> list[str]:
    labels = [at(SourceFile("r.dm", text), *place) for place in places]
    return render.render(Diagnostic("a.b", "t", labels[0], tuple(labels[1:]))).split("\n")[2:]


def test_two_files() -> None:
    a, b = SourceFile("a.dm", "one\n"), SourceFile("b.dm", "\n" * 99 + "two\n")
    out = render.render(Diagnostic("a.b", "t", at(a, 1, 1, 4, "x"), (at(b, 100, 1, 4, "y"),)))
    assert out == (
        "error[a.b]: t\n"
        "  --> a.dm:1:1\n"
        "  1 | one\n"
        "    | ^^^ x\n"
        "  --> b.dm:100:1\n"
        "100 | two\n"
        "    | --- y"
    )


def test_unknown_file_shows_the_place_only() -> None:
    out = render.render(
        Diagnostic("a.b", "t", at(SourceFile("nowhere.dm"), 3, 2, 4, "x"), notes=("n",))
    )
    assert out == "error[a.b]: t\n --> nowhere.dm:3:2\n   | x\nnote: n"


def test_long_lines_are_cut_around_the_caret() -> None:
    text = "a" * 500 + "BUG" + "c" * 500
    line, carets = rendered(text, (1, 501, 504, ""))
    assert line.startswith(" 1 | …a")
    assert line.endswith("c…")
    assert len(line) < 180
    assert line[carets.index("^") :][:3] == "BUG"
    assert carets.count("^") == 3


def test_span_of_several_lines_marks_the_first() -> None:
    label = Label(Span(SourceFile("r.dm", "f(a,  \n  b)\n"), 1, 2, 2, 5), "x")
    out = render.render(Diagnostic("a.b", "t", label)).split("\n")
    assert out[2:] == [" 1 | f(a,  ", "   |  ^^^ x"]


def test_wide_and_invisible_characters_keep_the_carets_in_place() -> None:
    assert rendered("宽 = x", (1, 5, 6, ""))[1] == "   |      ^"
    assert rendered("e\u0301 = x", (1, 6, 7, ""))[1] == "   |     ^"
    assert rendered("\t\0x", (1, 3, 4, "")) == [" 1 |  \ufffdx", "   |   ^"]


def test_places_past_the_end() -> None:
    assert rendered("ab", (1, 3, 4, "here")) == [" 1 | ab", "   |   ^ here"]
    assert rendered("ab", (9, 1, 2, ""))[0].rstrip() == " 9 |"


def test_colour_only_when_asked() -> None:
    file = SourceFile("r.dm", "ab\n")
    diagnostic = Diagnostic("a.b", "t", at(file, 1, 1, 2, "x"), help=("h",))
    plain, colored = render.render(diagnostic), render.render(diagnostic, color=True)
    assert "\x1b" not in plain
    assert "\x1b[1;31merror[a.b]\x1b[0m" in colored
    stripped = colored
    for style in ("1;31", "1;33", "1", "34", "1;36", "2", "0"):
        stripped = stripped.replace(f"\x1b[{style}m", "")
    assert stripped == plain


def test_calls_take_one_line() -> None:
    label = at(SourceFile("logistic.dm"), 7, 1, 2)
    title = "loss: y has N = 99 but x has N = 100"
    error = errors.error(Diagnostic("shape.call", title, label, at_call=True))
    assert str(error) == "loss: y has N = 99 but x has N = 100 (logistic.dm:7)"
    assert isinstance(error, errors.ShapeError)
    assert f"{type(error).__module__}.{type(error).__name__}" == "dmc.ShapeError"


def test_json() -> None:
    diagnostic = Diagnostic(
        "a.b", "t", at(SourceFile("r.dm"), 1, 2, 3, "x"), severity=Severity.WARNING
    )
    data = json.loads(json.dumps(Error(diagnostic).to_json()))
    assert data == [
        {
            "severity": "warning",
            "code": "a.b",
            "title": "t",
            "primary": {"file": "r.dm", "start": [1, 2], "end": [1, 3], "text": "x"},
            "labels": [],
            "notes": [],
            "help": [],
        }
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_its_exception(family: str) -> None:
    error = errors.error(Diagnostic(f"{family}.x", "t"))
    assert isinstance(error, Error)
    assert type(error).__mro__[2:] != Error.__mro__[1:]  # derives from a Python class as well
    assert str(error) == f"error[{family}.x]: t"


def test_raise_all_orders_by_place() -> None:
    late, early = (Diagnostic("syntax.x", "t", at(SourceFile("r.dm"), n, 1, 2)) for n in (2, 1))
    with pytest.raises(errors.ParseError) as caught:
        errors.raise_all([late, early])
    assert caught.value.diagnostics == (early, late)
    errors.raise_all([])


def test_compiler_bug_says_what_to_do() -> None:
    bug = CompilerBug("op has no type", pass_name="cse", reproducer=Path("bug.mlir"))
    assert str(bug) == (
        "op has no type in pass `cse`\n"
        "this is a bug in dmc, not in your program; please report it\n"
        "reproducer: bug.mlir"
    )
    assert not isinstance(bug, Error)


def test_diagnostics_survive_pickling() -> None:
    diagnostic = Diagnostic("a.b", "t", None, (), ("x",))
    assert pickle.loads(pickle.dumps(diagnostic)) == diagnostic
