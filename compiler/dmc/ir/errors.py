"""What goes wrong with operations."""

from __future__ import annotations

from typing import ClassVar, Protocol

from dmc.ir.location import Location


class Named(Protocol):
    """What an error can be about: an operation."""

    name: ClassVar[str]
    location: Location


class VerifyError(Exception):
    """An operation breaks constraint `number` of its class (0: a rule of the IR itself)."""

    def __init__(self, op: Named, number: int, message: str) -> None:
        super().__init__(f"{op.name} (C{number}): {message}")
        self.op = op
        self.number = number
        self.message = message


class RuleMissing(Exception):
    """A class of operations lacks a rule that was needed."""

    def __init__(self, op: Named, rule: str) -> None:
        super().__init__(f"{op.name} has no {rule} rule")
        self.op = op
        self.rule = rule


class InterpreterError(Exception):
    """An operation produced a value that is not of its declared type."""
