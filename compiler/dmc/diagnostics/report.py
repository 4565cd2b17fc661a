"""What a stage has found wrong so far."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.ir.location import Span


class Diagnostics:
    """Collects what is wrong, each fact once."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []

    def report(
        self,
        code: str,
        title: str,
        span: Span,
        text: str = "",
        also: Sequence[tuple[Span, str]] = (),
        help: Sequence[str] = (),
    ) -> None:
        labels = tuple(Label(where, what) for where, what in also)
        new = Diagnostic(code, title, Label(span, text), labels, (), tuple(help))
        if new not in self.found:
            self.found.append(new)
