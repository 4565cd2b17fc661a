"""Limits that keep every later stage quick and off Python's recursion limit."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.ir.location import SourceFile
from dmc.syntax import ast

LONGEST_LINE = 10_000
"""Characters in a line."""

DEEPEST_TREE = 150
"""Levels of the syntax tree: later stages recurse over it."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def check_text(file: SourceFile) -> list[Diagnostic]:
    """What is wrong with the text before it is even lexed: long lines, control characters, tabs."""
    for number, line in enumerate(file.lines, 1):
        if len(line) > LONGEST_LINE:
            start = sum(len(earlier) + 1 for earlier in file.text.split("\n")[: number - 1])
            return [
                Diagnostic(
                    "syntax.line",
                    f"this line has {len(line):_} characters; the limit is {LONGEST_LINE:_}",
                    Label(file.span(start, start + 1), "starts here"),
                    help=("break it after an operator or inside brackets",),
                )
            ]
    if found := _CONTROL.search(file.text):
        name = f"U+{ord(found.group()):04X}"
        span = file.span(found.start(), found.end())
        return [Diagnostic("syntax.character", f"control character {name}", Label(span))]
    if (tab := file.text.find("\t")) >= 0:
        return [
            Diagnostic(
                "syntax.tab",
                "dm has no tabs: their width is not the same everywhere",
                Label(file.span(tab, tab + 1), "a tab"),
                help=("indent with spaces: `expand -t 4 FILE`",),
            )
        ]
    return []


def _below(node: ast.Node) -> Iterator[ast.Node]:
    """What is one level below; the operands of a chain of operators are all on one."""
    match node:
        case ast.Binary() if node.op is not ast.BinaryOp.MATMUL:
            first, operations = ast.chain(node)
        case ast.Logical():
            first, operations = ast.chain(node)
        case _:
            yield from ast.children(node)
            return
    yield first
    for each in operations:
        yield each.right


def check_depth(file: ast.File) -> Iterator[Diagnostic]:
    """A diagnostic for the first node of each declaration that is nested too deeply."""
    for declaration in file.declarations:
        level: list[ast.Node] = [declaration]
        depth = 0
        while level and depth < DEEPEST_TREE:
            level = [child for node in level for child in _below(node)]
            depth += 1
        if level:
            span = level[0].span
            yield Diagnostic(
                "syntax.nesting",
                f"nested more than {DEEPEST_TREE} levels deep",
                Label(span, "too deep"),
                help=("name an inner part: `let part = ...`",),
            )
