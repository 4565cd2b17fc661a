"""`dmc check`: every mistake of a program."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from dmc.diagnostics.diagnostic import Diagnostic
from dmc.diagnostics.errors import Error
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


def run(options: argparse.Namespace) -> int:
    """Check the files; 1 when any of them has a mistake."""
    failures: list[Error] = []
    for file in options.files:
        try:
            check_program(file)
        except Error as failure:
            failures.append(failure)
    if options.format == "json":
        found = [entry for failure in failures for entry in failure.to_json()]
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print_text(failures, options.files)
    return MISTAKE if failures else 0


def _print_text(failures: Sequence[Error], files: Sequence[str]) -> None:
    for failure in failures:
        print(failure.render(color=wants_color(sys.stderr)), end="\n\n", file=sys.stderr)
    diagnostics: list[Diagnostic] = [d for failure in failures for d in failure.diagnostics]
    if diagnostics:
        count = len(diagnostics)
        first = diagnostics[0].code
        words = f"{count} errors" if count > 1 else "1 error"
        print(f"{words}; `dmc explain {first}` says more", file=sys.stderr)
    else:
        print(f"{', '.join(files)}: no errors")
