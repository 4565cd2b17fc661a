"""Budgets of memory: how much a program with a gradient may take, and what may be done for it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Keep(enum.StrEnum):
    """How values that wait for the reverse pass may be kept under a budget."""

    WHOLE = "whole"
    BF16 = "bf16"
    I8 = "i8"

    @property
    def error(self) -> str:
        """How far a value that is kept is from what it was."""
        return _ERRORS[self]


_ERRORS = {
    Keep.WHOLE: "the same",
    Keep.BF16: "within 0.2 % (1/512) of itself",
    Keep.I8: "within 0.4 % (1/254) of the largest in its row",
}


@dataclass(frozen=True, slots=True)
class Budget:
    """At most so many `bytes`, 0 is no bound; what waits may be kept in fewer bits, as `keep`."""

    bytes: int = 0
    keep: Keep = Keep.WHOLE

    def with_other(self, other: Budget) -> Budget:
        """Both: the smaller bound, and fewer bits where both bounds allow them."""
        if not self.bytes or not other.bytes:
            return self if self.bytes else other
        keep = self.keep if self.keep is other.keep else Keep.WHOLE
        return Budget(min(self.bytes, other.bytes), keep)


NO_BUDGET = Budget()
