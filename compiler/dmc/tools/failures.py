"""What went wrong, in words: mistakes of the user, and bugs of the compiler."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback

from dmc.diagnostics.diagnostic import Diagnostic
from dmc.diagnostics.errors import CompilerBug, Error, error
from dmc_runtime.errors import RunError
from dmc_runtime.files import is_full, reason

MISTAKE, USAGE, BUG = 1, 2, 70


class UsageError(Exception):
    """An invocation that makes no sense; the message says what would."""


class InputError(Exception):
    """An input that is wrong and has no error code; the message says how."""


def wants_color(stream: object) -> bool:
    """Colour is for terminals, and for people who have not refused it (https://no-color.org)."""
    is_terminal = getattr(stream, "isatty", lambda: False)()
    return is_terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def is_output_full(failure: Exception) -> bool:
    """Whether there was no room for what is printed: files have names."""
    return isinstance(failure, OSError) and failure.filename is None and is_full(failure)


def report(failure: Exception) -> int:
    """Print what is wrong to standard error; the exit status."""
    if isinstance(failure, RunError):
        failure = error(Diagnostic(failure.code, str(failure)))
    if isinstance(failure, Error):
        print(_rendered(failure), file=sys.stderr)
        return MISTAKE
    if isinstance(failure, UsageError):
        print(f"dmc: {failure}", file=sys.stderr)
        return USAGE
    if isinstance(failure, InputError):
        print(f"dmc: {failure}", file=sys.stderr)
        return MISTAKE
    if is_output_full(failure):
        print("dmc: the output: the disk is full", file=sys.stderr)
        return MISTAKE
    if isinstance(failure, OSError) and failure.filename is not None:
        print(f"dmc: `{failure.filename}`: {reason(failure)}", file=sys.stderr)
        return MISTAKE
    if isinstance(failure, MemoryError):
        print("dmc: out of memory", file=sys.stderr)
        return MISTAKE
    _report_bug(failure)
    return BUG


def _rendered(failure: Error) -> str:
    """Errors of calls have no title line of their own; here they look like the others."""
    color = wants_color(sys.stderr)
    first = failure.diagnostics[0]
    if not first.at_call:
        return failure.render(color=color)
    head = f"error[{first.code}]"
    return f"\x1b[1;31m{head}\x1b[0m: {failure}" if color else f"{head}: {failure}"


def _report_bug(failure: Exception) -> None:
    described = failure if isinstance(failure, CompilerBug) else None
    text = str(described) if described else f"{type(failure).__name__}: {failure}"
    print(f"dmc: internal error: {text}", file=sys.stderr)
    if described is None:
        print(CompilerBug.ADVICE, file=sys.stderr)
    trace = "".join(traceback.format_exception(failure))
    if os.environ.get("DMC_TRACEBACK"):
        print(trace, file=sys.stderr)
        return
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="dmc-bug-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(trace)
        print(f"details: {file.name}", file=sys.stderr)
    except OSError:
        print("set DMC_TRACEBACK=1 for details", file=sys.stderr)
