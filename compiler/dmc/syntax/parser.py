"""Text to syntax tree.

Lark and the grammar load on first use; the LALR tables are then kept for the process, and between
processes in the user's cache folder. All syntax errors of a file are reported at once, one for
each declaration.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from dmc.diagnostics.diagnostic import Diagnostic
from dmc.diagnostics.errors import raise_all
from dmc.ir.location import SourceFile
from dmc.syntax import ast, recovery
from dmc.syntax.limits import check_depth, check_text

if TYPE_CHECKING:
    from lark import Token, Tree
    from lark.exceptions import UnexpectedInput

    from dmc.syntax.tables import Parser


def parse(file: SourceFile) -> ast.File:
    """The syntax tree of a file already read.

    Raises `ParseError` with every syntax error found: one for each declaration, in order.
    """
    from lark.exceptions import UnexpectedInput

    from dmc.syntax.build import TreeBuilder

    problems = check_text(file)
    raise_all(problem for problem in problems if problem.code != "syntax.tab")
    text = file.text.replace("\t", " ")  # one column either way: the places stay true
    failure: UnexpectedInput | None = None
    tree: Tree[Token] | None = None
    try:
        tree = _lark().parse(text)
    except UnexpectedInput as wrong:
        failure = wrong
    if failure is not None:
        # Raised here, so that no trace of the parser stands above the message.
        raise_all([*problems, *_explain_all(file, text, failure)])
        raise failure
    assert tree is not None
    builder = TreeBuilder(file)
    result = builder.build(tree)
    raise_all([*problems, *builder.problems, *check_depth(result)])
    return result


def _explain_all(file: SourceFile, text: str, failure: UnexpectedInput) -> list[Diagnostic]:
    """One diagnostic for each declaration that does not parse on its own."""
    from lark.exceptions import UnexpectedInput

    from dmc.syntax.mistakes import explain

    found: list[Diagnostic] = []
    for chunk in recovery.split(text):
        try:
            _lark().parse(chunk.text)
        except UnexpectedInput as wrong:
            again = _lark().parse_interactive(chunk.text)
            found.append(explain(wrong, file, chunk, again))
    if not found:  # wrong together though each is right alone: two on one line, for instance
        whole = recovery.Chunk(text, 1)
        found.append(explain(failure, file, whole, _lark().parse_interactive(text)))
    return found


@functools.cache
def _lark() -> Parser:
    from dmc.syntax.tables import load

    return load()
