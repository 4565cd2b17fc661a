"""The printed syntax tree."""

from __future__ import annotations

from dmc.syntax import dump
from tests.syntax import parsing


def test_dump_to_the_letter() -> None:
    tree = parsing.parse_text("## Doc.\nfn f(x: f64) -> f64 = -x + 1\n", "m.dm")
    assert dump.dump(tree) == (
        "(File\n"
        "  declarations=[\n"
        "    (FnDecl doc='Doc.'\n"
        "      name=f\n"
        "      parameters=[(Param name=x type=(NamedType name=f64))]\n"
        "      result=(NamedType name=f64)\n"
        "      body=(Binary op=+ left=(Unary op=- operand=(Name text='x')) "
        "right=(IntLit value=1)))])"
    )


def test_spans_on_request() -> None:
    tree = parsing.parse_text("let a = 12\n", "m.dm")
    assert "(IntLit@1:9-1:11 value=12)" in dump.dump(tree, spans=True)


def test_layout_does_not_show_without_spans() -> None:
    first = parsing.parse_text("let a = f(x,\n    y)\n")
    second = parsing.parse_text("let a = f(x, y) # same\n")
    assert dump.dump(first) == dump.dump(second)
    assert dump.dump(first, spans=True) != dump.dump(second, spans=True)
