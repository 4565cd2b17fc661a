"""Whatever the text, the parser either accepts it or raises `dmc.Error`, soon."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dmc.diagnostics.errors import Error
from dmc.syntax import ast, dump
from tests.programs import PROGRAMS
from tests.syntax import parsing

TEXTS = [path.read_text(encoding="utf-8") for path in PROGRAMS]
PIECES = (
    *(
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "\n",
        "\n    ",
        ";",
        ",",
        ":",
        "=",
        "==",
        "=>",
        "->",
        "|>",
        "#",
    ),
    *(
        "..",
        "...",
        ".",
        "*",
        "**",
        "-",
        "@",
        "_",
        "1.",
        ".5",
        "1e5",
        '"',
        "\t",
        "\0",
        "é",
        "×",
        "\\",
    ),
    *(" fn ", " let ", " if ", " else ", " for ", " in ", " checkpoint ", " return ", " model "),
)


@st.composite
def mutants(draw: st.DrawFn) -> str:
    """An example program with a few pieces of text put in, taken out or moved."""
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from((0, 1, 2, 10, 100))))
        piece = draw(st.sampled_from(("", *PIECES)))
        if draw(st.booleans()):
            target = draw(st.integers(0, len(text)))
            piece += text[target : target + 20]
        text = text[:start] + piece + text[end:]
    return text


def parsed(text: str) -> ast.File | Error:
    try:
        return parsing.parse_text(text, "mutant.dm")
    except Error as error:
        return error


def accepts_or_refuses(text: str) -> None:
    lines = text.split("\n")
    found: list[ast.File | Error] = []
    # About fifty calls a character are made at most.
    parsing.work(lambda: found.append(parsed(text)), most=200 * (len(text) + 200))
    (outcome,) = found
    if isinstance(outcome, ast.File):
        assert dump.dump(outcome)
        assert all(node.span.start_line <= node.span.end_line for node in ast.walk(outcome))
    else:
        assert outcome.diagnostics
        assert str(outcome)
        for problem in outcome.diagnostics:
            assert problem.primary is not None
            span = problem.primary.span
            assert 1 <= span.start_line <= len(lines)
            assert 1 <= span.start_column <= len(lines[span.start_line - 1]) + 1


@settings(max_examples=200)
@given(mutants())
def test_mutants(text: str) -> None:
    accepts_or_refuses(text)


@settings(max_examples=100)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_heaps_of_tokens(text: str) -> None:
    accepts_or_refuses("fn f() -> f64 = " + text)


@settings(max_examples=100)
@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    accepts_or_refuses(text)
