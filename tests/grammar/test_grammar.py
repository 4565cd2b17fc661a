"""`dm.lark`: no conflicts, no rule without a program that uses it, layout, what is refused."""

from __future__ import annotations

import logging
from pathlib import Path

import lark
import pytest

import dmc_grammar
from dmc.diagnostics.errors import ParseError
from dmc.syntax import ast, tables
from dmc.syntax.tables import build
from tests.programs import PROGRAMS
from tests.syntax import parsing

EVERY_RULE = (Path(__file__).parent / "every_rule.dm").read_text(encoding="utf-8")

CASES = [
    ("    let a = b\n    -a", "Let Unary"),
    ("    let a = b\n        - c\n    a", "Let Name"),
    ("    a\n    (b, c) = g()", "Name Assign"),
    ("    a\n    [i] => x[i]", "Name Builder"),
    ("    a +\n    b", "Binary"),
    ("    let x = if a { 1 }\n    else { 2 }\n    x", "Let Name"),
    ("    let a = 1; let b = 2; a + b", "Let Let Binary"),
    ("    let a = f(\n1,\n2)\n    a", "Let Name"),
    ("    # only\n\n    # comments\n    a\n\n\n    # more\n    b # tail", "Name Name"),
    ("    x\n        |> f\n        |> g(1)", "Pipe"),
    ("    -x ** 2", "Unary"),
    ("    2 ** -x", "Binary"),
    ("    if a < b { c } else { d }", "If"),
    ("    for i in 0..n { x[i] }", "For"),
    ("    for i in 0..n - 1 { x }", "For"),
    ("    while a > 1e-3 limit n + 1 { a = a / 2.0 }", "While"),
    ("    [i, j in 0..i] => a[i, j]", "Builder"),
    ("    [1.0, 2.0]", "ArrayLit"),
    ("    sum[j](a[i, j] * x[j])", "Call"),
    ("    simulate[T](p)[:, 0]", "Index"),
    ("    x[:, -1, ..., _, 1:, ::2]", "Index"),
    ("    grad(fn(w) => f(w, x))(w0)", "Call"),
    ("    let g = fn(x: f64[N]) => {\n        let y = x\n        y\n    }\n    g(a)", "Let Call"),
    ("    checkpoint[32] for t in 0..T { h = f(h) }", "Checkpoint"),
    ("    checkpoint { f(x) }", "Checkpoint"),
    ("    (h, c) = (c, h)", "Assign"),
    (
        "    let state = 1; let model = 2; let param = 3; let limit = 4; state + model",
        "Let Let Let Let Binary",
    ),
    ("    let letter = iffy + format", "Let"),
    ("    a.b.c[0].d(1)", "Call"),
    ("    cam.with(focal = 2.0)", "Call"),
    ("    not a and b or c == d", "Logical"),
    ("    if a { () } else { t() }", "If"),
    ("    x |> f |> g[D](1) |> h", "Pipe"),
]

CONTEXTUAL = (
    *("import", "from", "as", "dim", "struct", "model", "param", "state"),
    *("frozen", "requires", "limit", "derivative", "unchecked"),
)

REJECTED = [
    "fn f() -> f64 { 1. }",
    "fn f() -> f64 { t.0 }",
    "fn f() -> bool { a < b < c }",
    "fn f() -> f64 { let if = 3 }",
    "fn f() = 3",
    "fn f(x) -> f64 = x",
    "fn f() -> f64 { return x }",
    "fn f() -> f64 { {a: 1} }",
    "fn f() -> f64 { f(1, }",
    "fn f() -> f64 { x += }",
    "fn f() -> f64 { a b }",
    "fn f() -> f64 { 0..3 }",
    "fn f() -> f64 { let a = 1 let b = 2 }",
    "model M { fn g() = 1 }",
    "fn f() -> f64 { let a = ; 3 }",
    "fn f() -> f64 { x if a else y }",
    "struct S { a: f64, b: f64 }",
]


def in_function(body: str) -> str:
    return f"fn f() -> f64 {{\n{body}\n}}\n"


def statements(body: str) -> list[ast.Stmt]:
    declaration = parsing.parse_text(in_function(body)).declarations[0]
    assert isinstance(declaration, ast.FnDecl)
    assert isinstance(declaration.body, ast.Block)
    return list(declaration.body.statements)


def kinds(body: str) -> str:
    shown = (s.value if isinstance(s, ast.ExprStmt) else s for s in statements(body))
    return " ".join(type(statement).__name__ for statement in shown)


def test_strict_and_without_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("interegular")  # Lark compares regular expressions with it
    with caplog.at_level(logging.DEBUG, logger="lark"):
        build(dmc_grammar.read("dm.lark"), strict=True)
    assert not [r for r in caplog.records if "conflict" in r.getMessage().lower()]


def test_strict_finds_a_planted_conflict() -> None:
    pytest.importorskip("interegular")
    ambiguous = dmc_grammar.read("dm.lark").replace("| pipe PIPE postfix", "| pipe PIPE pipe")
    with pytest.raises(lark.exceptions.GrammarError):
        build(ambiguous, strict=True)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_example_programs_parse(path: Path) -> None:
    assert parsing.parse_file(path).declarations


def test_there_are_fourteen_programs() -> None:
    assert len(PROGRAMS) == 14


@pytest.mark.parametrize(("body", "expected"), CASES)
def test_layout_and_ambiguities(body: str, expected: str) -> None:
    assert kinds(body) == expected


@pytest.mark.parametrize("text", REJECTED)
def test_rejected(text: str) -> None:
    with pytest.raises(ParseError):
        parsing.parse_text(text)


def test_every_rule_is_used_by_some_program() -> None:
    texts = [EVERY_RULE, *(path.read_text(encoding="utf-8") for path in PROGRAMS)]
    texts += [in_function(body) for body, _ in CASES]
    used = {
        str(branch.data) for text in texts for branch in tables.load().parse(text).iter_subtrees()
    }
    grammar = build(dmc_grammar.read("dm.lark"))
    assert isinstance(grammar, lark.Lark)
    rules = {rule.alias or rule.origin.name for rule in grammar.rules if not rule.options.expand1}
    named = {str(rule) for rule in rules if not str(rule).startswith("_")}
    assert named - used == set()


@pytest.mark.parametrize(
    "word",
    [
        "import",
        "from",
        "as",
        "dim",
        "struct",
        "model",
        "param",
        "state",
        "frozen",
        "requires",
        "limit",
        "derivative",
    ],
)
def test_contextual_words_are_names(word: str) -> None:
    body = f"let {word} = 1\n{word} + f({word} = {word}) * {word}[{word}] - a.{word}"
    assert kinds(body) == "Let Binary"
    source = f"fn {word}({word}: f64) -> f64 = {word}\nstruct S {{\n    {word}: f64\n}}\n"
    assert len(parsing.parse_text(source).declarations) == 2


@pytest.mark.parametrize("word", ["param", "state", "frozen", "dim"])
def test_members_may_be_named_like_roles(word: str) -> None:
    model = parsing.parse_text(f"model M {{\n    {word}: Linear[2, 2]\n}}\n").declarations[0]
    assert isinstance(model, ast.ModelDecl)
    assert isinstance(model.members[0], ast.SubMember)


def test_semicolons_and_blank_lines() -> None:
    assert kinds("a;") == "Name"
    assert kinds("a; b;\n\n;\n    c") == "Name Name Name"
    assert kinds("\n\n  # only a comment\n") == ""
    assert kinds(";") == ""


def test_long_runs_of_blank_lines_take_linear_time() -> None:
    assert kinds("a" + "\n" * 50_000) == "Name"
