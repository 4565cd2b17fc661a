"""What to say where no entry of a sparse derivative is known to be zero."""

from __future__ import annotations

from dmc.diagnostics.diagnostic import Diagnostic, Label, Severity
from dmc.sparsity.pattern import Pattern, Reason

LEAST = 3
"""Smaller matrices are full of what is near to its neighbours alone."""


def saves_nothing(pattern: Pattern) -> Diagnostic | None:
    """A warning, with the place and the reason, where all entries may differ from zero."""
    height, width = pattern.shape
    if len(pattern.columns) < height * width or min(height, width) < LEAST:
        return None
    cause = pattern.cause
    label, help = None, Reason.ALL.value[1]
    if cause is not None and cause.location.span is not None:
        text, help = cause.reason.value
        label = Label(cause.location.span, text)
    title = "nothing of this sparse derivative is known to be zero"
    return Diagnostic("lint.dense", title, label, help=(help,), severity=Severity.WARNING)
