"""`dmc check`: every mistake of a program, and what is hardly ever meant."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from dmc.diagnostics.diagnostic import Diagnostic, Severity
from dmc.diagnostics.errors import Error
from dmc.diagnostics.render import render
from dmc.lints.lint import lint
from dmc.semantics.modules import check_program
from dmc.tools.failures import MISTAKE, wants_color


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a .dm file; imports are checked")
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="json: one array of diagnostics with positions (default: text)",
    )
    parser.add_argument(
        "--no-lints", dest="lints", action="store_false", help="errors only, no warnings"
    )
    parser.add_argument(
        "--deny-warnings", action="store_true", help="exit with 1 for a warning, as for an error"
    )


def run(options: argparse.Namespace) -> int:
    """Check the files; 1 when any of them has a mistake, or a warning if these are denied."""
    found: list[Diagnostic] = []
    for file in options.files:
        try:
            program = check_program(file)
        except Error as failure:
            found += failure.diagnostics
        else:
            found += lint(program) if options.lints else []
    if options.format == "json":
        print(json.dumps([each.to_json() for each in found], indent=2, ensure_ascii=False))
    else:
        _print_text(found, options.files)
    failing = [each for each in found if options.deny_warnings or each.severity is Severity.ERROR]
    return MISTAKE if failing else 0


def _print_text(found: Sequence[Diagnostic], files: Sequence[str]) -> None:
    for diagnostic in found:
        text = render(diagnostic, color=wants_color(sys.stderr))
        print(text, end="\n\n", file=sys.stderr)
    errors = sum(each.severity is Severity.ERROR for each in found)
    counts = [_counted(errors, "error"), _counted(len(found) - errors, "warning")]
    if found:
        listed = " and ".join(filter(None, counts))
        print(f"{listed}; `dmc explain {found[0].code}` says more", file=sys.stderr)
    if not errors:
        print(f"{', '.join(files)}: no errors")


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number > 1)}" if number else ""
