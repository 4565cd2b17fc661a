"""`dmc explain`: the page of an error code."""

from __future__ import annotations

import argparse
import sys
import textwrap

from dmc.diagnostics.codes import FAMILIES, TABLE, Code, Language, closest

_WIDTH = 88
_INTRODUCTION = {
    Language.DM: ("This program has the error:", "This one does not:"),
    Language.PYTHON: ("This code gets it:", "This code does not:"),
    Language.SHELL: ("This command gets it:", "This one does not:"),
    Language.TOML: ("This recipe gets it:", "This one does not:"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "code", nargs="?", metavar="CODE", help="such as shape.matmul, or a family such as shape"
    )


def run(options: argparse.Namespace) -> int:
    """Print the page of a code, the codes of a family, or all of them."""
    code: str | None = options.code
    if code is None:
        for family in FAMILIES:
            _list(FAMILIES[family])
        return 0
    code = code.strip().strip("[]").removeprefix("error[").removeprefix("warning[")
    if code in TABLE:
        print(page(TABLE[code]))
        return 0
    if code in FAMILIES:
        _list(FAMILIES[code])
        return 0
    close = closest(code)
    hint = f"did you mean {' or '.join(f'`{c}`' for c in close)}?" if close else "try `dmc explain`"
    print(f"dmc: there is no error code `{code}`: {hint}", file=sys.stderr)
    return 1


def page(code: Code) -> str:
    """What a code means, why, and a program with and without the error."""
    parts = [f"{code.name}: {code.meaning}", textwrap.fill(code.explanation, _WIDTH)]
    if code.failing:
        before, after = _INTRODUCTION[code.language]
        for words, program in ((before, code.failing), (after, code.fixed)):
            parts += [words, textwrap.indent(_cut(program).rstrip("\n"), "    ")]
    return "\n\n".join(parts)


def _cut(program: str) -> str:
    """Programs that fail by their size are not shown whole."""
    if len(program) <= 2000:
        return program
    return f"{program[:160]} … ({len(program)} characters)\n"


def _list(codes: tuple[Code, ...]) -> None:
    for code in codes:
        print(f"{code.name:<22} {code.meaning}")
