"""What the kinds of trial have in common: a seed decides a trial, which holds or shows a fault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Fault:
    """Something that must not be: `kind` is a few words by which faults are told apart."""

    kind: str
    detail: str


Outcome = str | Fault
"""A word for what became of a trial that held, such as `refused`; or its fault."""


class Family(Protocol):
    """A kind of trial."""

    @property
    def name(self) -> str: ...

    def check(self, seed: int) -> Outcome:
        """Carry out the trial of a seed."""
        ...

    def shrunk(self, seed: int, fault: Fault) -> str:
        """The smallest case found that shows a fault of the same kind, as text."""
        ...


def raised(where: str, failure: Exception) -> Fault:
    """The fault that an exception of another kind than `dmc.Error` is."""
    first = (str(failure).splitlines() or [""])[0][:70]
    culprit = getattr(failure, "pass_name", None) or ""
    return Fault(f"{where}: {type(failure).__name__} {culprit} {first}".strip(), str(failure))
