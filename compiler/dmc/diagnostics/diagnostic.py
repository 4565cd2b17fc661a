"""What the compiler has to say about a program: a fact, every cause marked, help to paste.

Codes are `family.word`; the table behind them is `dmc.diagnostics.codes`. The text form is made by
`dmc.diagnostics.render`; the exceptions that carry diagnostics are in `dmc.diagnostics.errors`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypedDict

from dmc.ir.location import Span


class Severity(enum.Enum):
    """How bad it is: an error refuses the program, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Label:
    """A marked stretch of source and what is to be said about it."""

    span: Span
    text: str = ""


class LabelJson(TypedDict):
    """A label as JSON; columns count characters from 1, the end column is exclusive."""

    file: str
    start: tuple[int, int]
    end: tuple[int, int]
    text: str


class DiagnosticJson(TypedDict):
    """A diagnostic as JSON, for editors and other tools."""

    severity: str
    code: str
    title: str
    primary: LabelJson | None
    labels: list[LabelJson]
    notes: list[str]
    help: list[str]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One fact about a program.

    `title` states it without a full stop. `primary` marks where (carets), `labels` mark the other
    causes (dashes). `notes` say more, `help` is what to do, best as code to paste.

    `at_call` is for facts about a call from Python: they render as one line with the place in
    parentheses, since the caret would point at a program that is right.
    """

    code: str
    title: str
    primary: Label | None = None
    labels: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: tuple[str, ...] = ()
    severity: Severity = Severity.ERROR
    at_call: bool = False

    @property
    def family(self) -> str:
        """The part of the code before the dot: `shape` for `shape.matmul`."""
        return self.code.partition(".")[0]

    def to_json(self) -> DiagnosticJson:
        """The same content as plain data."""
        return {
            "severity": self.severity.value,
            "code": self.code,
            "title": self.title,
            "primary": None if self.primary is None else _label_json(self.primary),
            "labels": [_label_json(label) for label in self.labels],
            "notes": list(self.notes),
            "help": list(self.help),
        }


def _label_json(label: Label) -> LabelJson:
    span = label.span
    return {
        "file": span.file.name,
        "start": (span.start_line, span.start_column),
        "end": (span.end_line, span.end_column),
        "text": label.text,
    }
