"""How a lint says what it has found."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.diagnostics.diagnostic import Diagnostic, Label, Severity
from dmc.ir.location import Span


def warning(
    code: str,
    title: str,
    primary: tuple[Span, str],
    help: str,
    also: Sequence[tuple[Span, str]] = (),
) -> Diagnostic:
    """A warning with one way out."""
    labels = tuple(Label(*each) for each in also)
    return Diagnostic(code, title, Label(*primary), labels, help=(help,), severity=Severity.WARNING)


def quote(span: Span) -> str:
    """What is written there, on one line."""
    return " ".join(span.file.quote(span).split())
