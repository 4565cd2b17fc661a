"""The tree that the parser builds: content, spans, docs."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import pytest

from dmc.syntax import ast
from tests.programs import FOLDER, PROGRAMS
from tests.syntax import parsing

N = TypeVar("N", bound=ast.Node)


def only(tree: ast.Node, kind: type[N]) -> N:
    found = [node for node in ast.walk(tree) if isinstance(node, kind)]
    assert len(found) == 1, found
    return found[0]


def expression(text: str) -> ast.Expr:
    declaration = parsing.parse_text(f"fn f() -> f64 = {text}\n").declarations[0]
    assert isinstance(declaration, ast.FnDecl)
    return declaration.body


def quoted(node: ast.Node) -> str:
    return node.span.file.quote(node.span)


SAMPLE = """\
## Two lines
##   of docs
checkpoint mut fn f[N, *S](var x: f64[N, *S], y: (f64) -> f64 = g) -> (f64, M[N])
    requires N % 2 == 0
{
    let (a, _) = (x[1:, ..., _], 2.0)
    a[0] += -(a @ x) ** 2
    checkpoint[4] for t in 0..N { x |> f(t) }
}

model M[N](r: f32 = 0.1) {
    ## A role.
    frozen param w: f32[N] = zeros   # and a comment
    sub: 12 * Linear[N, N](std = r)
}
"""


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ast.ParamMember, "frozen param w: f32[N] = zeros"),
        (ast.SubMember, "sub: 12 * Linear[N, N](std = r)"),
        (ast.StackType, "12 * Linear[N, N]"),
        (ast.TupleType, "(f64, M[N])"),
        (ast.FunctionType, "(f64) -> f64"),
        (ast.TuplePattern, "(a, _)"),
        (ast.Let, "let (a, _) = (x[1:, ..., _], 2.0)"),
        (ast.Tuple, "(x[1:, ..., _], 2.0)"),
        (ast.AugAssign, "a[0] += -(a @ x) ** 2"),
        (ast.Unary, "-(a @ x) ** 2"),
        (ast.Slice, "1:"),
        (ast.Ellipsis, "..."),
        (ast.NewAxis, "_"),
        (ast.Checkpoint, "checkpoint[4] for t in 0..N { x |> f(t) }"),
        (ast.For, "for t in 0..N { x |> f(t) }"),
        (ast.Range, "0..N"),
        (ast.Pipe, "x |> f(t)"),
        (ast.Compare, "N % 2 == 0"),
    ],
)
def test_spans(kind: type[ast.Node], text: str) -> None:
    tree = parsing.parse_text(SAMPLE, "sample.dm")
    assert quoted(only(tree, kind)) == text


def test_span_of_a_declaration_begins_at_its_first_word() -> None:
    f, m = parsing.parse_text(SAMPLE, "sample.dm").declarations
    assert (f.span.start_line, f.span.start_column) == (3, 1)
    assert (f.span.end_line, f.span.end_column) == (9, 2)
    assert quoted(m).startswith("model M[N]")
    assert quoted(m).endswith("}")


def test_parentheses_widen_the_span_of_what_they_enclose() -> None:
    power = only(parsing.parse_text("fn f() -> f64 = (a @ b) ** 2\n", "p.dm"), ast.FnDecl).body
    assert isinstance(power, ast.Binary)
    assert quoted(power) == "(a @ b) ** 2"
    assert quoted(power.left) == "(a @ b)"


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_spans_lie_in_the_text_and_inside_their_parents(path: Path) -> None:
    tree = parsing.parse_file(path)
    for node in ast.walk(tree):
        for child in ast.children(node):
            outer, inner = node.span, child.span
            assert (outer.start_line, outer.start_column) <= (inner.start_line, inner.start_column)
            assert (inner.end_line, inner.end_column) <= (outer.end_line, outer.end_column)
        if isinstance(node, (ast.Name, ast.Identifier)) and not quoted(node).startswith("("):
            assert quoted(node) == node.text


def test_docs() -> None:
    f, m = parsing.parse_text(SAMPLE).declarations
    assert f.doc == "Two lines\n  of docs"
    assert m.doc is None
    assert isinstance(m, ast.ModelDecl)
    assert [member.doc for member in m.members] == ["A role.", None]


def test_declarations_in_full() -> None:
    f, m = parsing.parse_text(SAMPLE).declarations
    assert isinstance(f, ast.FnDecl)
    assert (f.mutable, f.checkpoint, len(f.requires)) == (True, True, 1)
    assert [(g.name.text, g.is_pack) for g in f.generics] == [("N", False), ("S", True)]
    assert [(p.name.text, p.mutable) for p in f.parameters] == [("x", True), ("y", False)]
    assert isinstance(m, ast.ModelDecl)
    weight, sub = m.members
    assert isinstance(weight, ast.ParamMember)
    assert weight.frozen
    assert isinstance(sub, ast.SubMember)
    assert not sub.frozen
    assert [a.name.text for a in sub.arguments if a.name] == ["std"]


def test_derivative_unchecked() -> None:
    text = "derivative unchecked a.b(x, y) -> (u, v) {\n    vjp(du, dv) = (du, dv)\n}\n"
    rule = parsing.parse_text(text).declarations[0]
    assert isinstance(rule, ast.DerivativeDecl)
    assert rule.unchecked
    assert rule.function.text == "a.b"
    assert [name.text for name in rule.inputs] == ["x", "y"]
    plain = parsing.parse_text(text.replace("unchecked a.b", "unchecked")).declarations[0]
    assert isinstance(plain, ast.DerivativeDecl)
    assert not plain.unchecked
    assert plain.function.text == "unchecked"


def test_precedence() -> None:
    minus = expression("-x ** 2")
    assert isinstance(minus, ast.Unary)
    assert isinstance(minus.operand, ast.Binary)
    power = expression("a ** b ** c")
    assert isinstance(power, ast.Binary)
    assert isinstance(power.right, ast.Binary)
    difference = expression("a - b - c")
    assert isinstance(difference, ast.Binary)
    assert isinstance(difference.left, ast.Binary)
    either = expression("not a and b or c")
    assert isinstance(either, ast.Logical)
    assert either.op is ast.LogicalOp.OR


def test_numbers() -> None:
    numbers = expression("(1_0, 9223372036854775807, 1_0.5e-1, 3e2)")
    assert isinstance(numbers, ast.Tuple)
    values = [n.value for n in numbers.elements if isinstance(n, (ast.IntLit, ast.FloatLit))]
    assert values == [10, 2**63 - 1, 1.05, 300.0]
    assert isinstance(numbers.elements[3], ast.FloatLit)


def test_result_of_a_block() -> None:
    blocks = [
        only(parsing.parse_text(f"fn f() -> f64 {{ {body} }}"), ast.Block)
        for body in ("let a = 1; a", "let a = 1", "")
    ]
    assert isinstance(blocks[0].result, ast.Name)
    assert [block.result for block in blocks[1:]] == [None, None]


def test_nodes_compare_by_identity() -> None:
    first, second = expression("x"), expression("x")
    assert first != second
    assert len({first, second}) == 2


def test_empty_files() -> None:
    for text in ("", "\n", "\n\n  \n", "# only\n# comments"):
        tree = parsing.parse_text(text)
        assert tree.declarations == ()


def test_carriage_returns_and_a_missing_last_newline() -> None:
    tree = parsing.parse_text("fn f() -> f64 {\r\n    let a = 1.0\r\n    a\r\n}", "crlf.dm")
    assert quoted(only(tree, ast.Let)) == "let a = 1.0"


def test_parsing_takes_work_in_proportion() -> None:
    text = (FOLDER / "mlp.dm").read_text(encoding="utf-8")
    parsing.parse_text(text)  # builds the tables
    once = parsing.work(lambda: parsing.parse_text(text))
    assert parsing.work(lambda: parsing.parse_text(text * 8)) < 9 * once
    assert once < 100 * len(text)
