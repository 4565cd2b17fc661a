"""Failures of the compiler itself: they are bugs, never the user's mistakes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from dmc.ir.operation import Operation


class VerifyError(Exception):
    """An operation breaks constraint `number` of its class (0: a rule of the IR itself)."""

    def __init__(self, op: Operation, number: int, message: str) -> None:
        super().__init__(f"{op.name} (C{number}): {message}")
        self.op = op
        self.number = number
        self.message = message


class PassFailure(Exception):
    """A pass raised, or left IR that does not verify; `reproducer` holds the IR it was given."""

    def __init__(self, pass_name: str, cause: Exception, reproducer: Path | None) -> None:
        where = f"; its input is in {reproducer}" if reproducer else ""
        super().__init__(f"pass {pass_name} failed: {type(cause).__name__}: {cause}{where}")
        self.pass_name = pass_name
        self.reproducer = reproducer
