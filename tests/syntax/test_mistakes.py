"""Syntax errors: common slips are named, at the right place, and none hides another."""

from __future__ import annotations

import pytest

from dmc.diagnostics.diagnostic import Diagnostic
from dmc.diagnostics.errors import ParseError
from tests.syntax import parsing


def problems(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(ParseError) as caught:
        parsing.parse_text(text, "m.dm")
    return caught.value.diagnostics


def places(text: str) -> list[str]:
    """Each problem as `code line:column`."""
    out: list[str] = []
    for problem in problems(text):
        assert problem.primary is not None
        span = problem.primary.span
        out.append(f"{problem.code} {span.start_line}:{span.start_column}")
    return out


def body(text: str) -> str:
    return f"fn f(x: f64) -> f64 {{\n    {text}\n}}\n"


IN_A_BODY = {
    "return x * x": "syntax.return 2:5",
    "let g = lambda y: y": "syntax.word 2:13",
    "if x > 0.0 { x } elif x < 1.0 { x } else { x }": "syntax.word 2:22",
    "import nn": "syntax.word 2:5",
    "0.0 < x < 1.0": "syntax.chained 2:13",
    "if x = 1.0 { x } else { 2.0 }": "syntax.equals 2:10",
    "let a == 3": "syntax.equals 2:11",
    "x := 3": "syntax.equals 2:7",
    "1.": "syntax.number 2:5",
    ".5": "syntax.number 2:5",
    "1.e5": "syntax.number 2:5",
    "2x": "syntax.number 2:5",
    "0x1F": "syntax.number 2:5",
    "99999999999999999999": "syntax.number 2:5",
    "1e999": "syntax.number 2:5",
    "9" * 5000: "syntax.number 2:5",
    "t.0": "syntax.field 2:7",
    'let s = "abc"': "syntax.string 2:13",
    "x'": "syntax.string 2:6",
    "a && b": "syntax.character 2:7",
    "!a": "syntax.character 2:5",
    "x ^ 2": "syntax.character 2:7",
    "λ": "syntax.character 2:5",
    "a × b": "syntax.character 2:7",
    "// comment": "syntax.comment 2:5",
    "f(1, }": "syntax.unclosed 2:6",
    "f(1]": "syntax.mismatched 2:8",
    "x[1, 2": "syntax.unclosed 2:6",
    "let a = f(1,\n    let b = 2\n    a": "syntax.unclosed 2:14",
    "if x > 0.0 {\n        x\n    else { 2.0 }": "syntax.unclosed 2:16",
    "x if a else y": "syntax.conditional 2:7",
    "a b": "syntax.separator 2:7",
    "f(1) g(2)": "syntax.separator 2:10",
    "0..3": "syntax.range 2:6",
    "let if = 3": "syntax.reserved 2:9",
    "let mut a = 3.0": "syntax.reserved 2:9",
    "{a: 1}": "syntax.record 2:5",
    "sum[i in 0..3]({\n        let y = x\n        y\n    })": "syntax.record 2:20",
    "let g = fn(y) -> y": "syntax.arrow 2:19",
    "let g = fn(y) { y }": "syntax.arrow 2:19",
    "x++": "syntax.increment 2:7",
    "let a\n    a": "syntax.value 2:10",
    "f(x) = 3": "syntax.target 2:5",
    "(a, 1) = g()": "syntax.target 2:9",
    "g() += 1": "syntax.target 2:5",
    "let a = ; 3": "syntax.unexpected 2:12",
    "x += ": "syntax.unexpected 3:1",
    "let x: = 3": "syntax.unexpected 2:12",
    "for i in { x }": "syntax.unexpected 2:14",
    "(1,)": "syntax.unexpected 2:8",
    "x[]": "syntax.unexpected 2:7",
}

WHOLE = {
    "def f(x):\n    x\n": "syntax.word 1:1",
    "class M {\n}\n": "syntax.word 1:1",
    "fn f() = 3\n": "syntax.result 1:8",
    "fn f(x: f64) {\n    x\n}\n": "syntax.result 1:14",
    "fn f(x: f64): f64 = x\n": "syntax.result 1:13",
    "fn f(x) -> f64 = x\n": "syntax.type 1:6",
    "struct S {\n    a\n    b: f64\n}\n": "syntax.type 2:5",
    "struct S { a: f64, b: f64 }\n": "syntax.separator 1:18",
    "let a = 1 let b = 2\n": "syntax.separator 1:11",
    "struct S { }\n": "syntax.member 1:12",
    "model M {\n    let a = 3\n}\n": "syntax.member 2:5",
    "model M {\n    w: f32[3] = zeros\n}\n": "syntax.member 2:15",
    "model M {\n    param w: f32[3]\n    param b: f32 = 0\n}\n": "syntax.value 2:20",
    "x = 3\n": "syntax.declaration 1:1",
    "var y = 3\n": "syntax.declaration 1:1",
    "dim = 3\n": "syntax.declaration 1:1",
    "fn f(x: f64) -> f64 = x }\n": "syntax.unopened 1:25",
    "fn f(x: f64) -> f64 {\n    x\n": "syntax.unclosed 1:21",
    "mut mut fn f() -> () {}\n": "syntax.unexpected 1:5",
    "from nn import\n": "syntax.unexpected 1:15",
    "fn f(x: f64) -> f64 {\n\tx\n}\n": "syntax.tab 2:1",
    "fn f(x: f64) -> f64 = \x00x\n": "syntax.character 1:23",
}


@pytest.mark.parametrize(("text", "expected"), IN_A_BODY.items(), ids=lambda text: text[:20])
def test_slips_in_a_body(text: str, expected: str) -> None:
    assert places(body(text)) == [expected]


@pytest.mark.parametrize(("text", "expected"), WHOLE.items(), ids=lambda text: repr(text[:20]))
def test_slips_in_declarations(text: str, expected: str) -> None:
    assert places(text) == [expected]


def test_return_to_the_letter() -> None:
    text = "fn square(x: f64) -> f64 {\n    return x * x\n}\n"
    with pytest.raises(ParseError) as caught:
        parsing.parse_text(text, "m.dm")
    assert str(caught.value) == (
        "error[syntax.return]: dm has no `return`\n"
        " --> m.dm:2:5\n"
        " 2 |     return x * x\n"
        "   |     ^^^^^^ a block's value is its last expression\n"
        "help: delete the word `return`"
    )


def test_statements_in_a_reduction_are_those_of_a_builder() -> None:
    (problem,) = problems(body("sum[i in 0..3, j]({\n        let y = x\n        y\n    })"))
    assert problem.help[0].endswith("write `sum([i in 0..3, j] => {`")


def test_ranges_in_brackets_are_slices() -> None:
    (problem,) = problems(body("sum(a[1..3])"))
    assert problem.help == ("a slice is `x[a:b]`, an index `[i in a..b]`",)


def test_every_problem_says_what_to_do_or_what_was_expected() -> None:
    for text in [*WHOLE, *map(body, IN_A_BODY)]:
        for problem in problems(text):
            assert (
                problem.help
                or "expected" in problem.title
                or "twice" in problem.title
                or (problem.code in ("syntax.number", "syntax.character"))
            )


# ---- several errors in one file -----------------------------------------------------------------


def test_errors_in_several_declarations() -> None:
    text = (
        "fn a(x: f64) -> f64 {\n    return x\n}\n\n"
        "fn b(x: f64) -> f64 = x\n\n"
        "struct C {\n    d\n}\n\n"
        "fn e(x: f64) -> f64 = (x\n\n"
        "mut fn g(x: f64) -> f64 = x +\n"
    )
    assert places(text) == [
        "syntax.return 2:5",
        "syntax.type 8:5",
        "syntax.unclosed 11:23",
        "syntax.unexpected 13:30",
    ]


def test_an_unclosed_brace_hides_nothing_below() -> None:
    text = "fn f() -> f64 {\n    1.0\n\nfn g() -> f64 = 1.0 +\n\nfn h() -> f64 = 1.0\n"
    assert places(text) == ["syntax.unclosed 1:15", "syntax.unexpected 4:22"]


def test_tabs_hide_nothing() -> None:
    text = "fn f() -> f64 {\n\t1.0\n}\nfn g(x) -> f64 = x\n"
    assert places(text) == ["syntax.tab 2:1", "syntax.type 4:6"]


def test_statements_at_the_margin_are_no_declarations() -> None:
    text = "fn f() -> f64 {\nlet a = 1.0\na\n}\nfn g() -> f64 = 1.0 +\n"
    assert places(text) == ["syntax.unexpected 5:22"]


def test_errors_of_form_are_reported_together() -> None:
    assert places(body("f(x) = 1\n    g(x) = 2")) == ["syntax.target 2:5", "syntax.target 3:5"]
