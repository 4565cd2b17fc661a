"""Warnings while a program is compiled or run, as Python's own."""

from __future__ import annotations

import warnings

from dmc.diagnostics.diagnostic import Diagnostic
from dmc.diagnostics.render import render


def warn(diagnostic: Diagnostic) -> None:
    """Give a warning as a `UserWarning`."""
    warnings.warn(render(diagnostic), stacklevel=2)
