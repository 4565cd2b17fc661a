"""The form of a row in the table of error codes."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Language(enum.Enum):
    """What the two programs of a row are written in."""

    DM = "dm"
    PYTHON = "python"
    SHELL = "shell"
    TOML = "toml"


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of error: `dmc explain` and the page in the docs are made from it.

    `failing` is a complete program (or call) that gets the error and `fixed` the same program
    repaired; the tests try them. Both are empty where no one program stands for the error.
    `meaning` is one line without a full stop; `explanation` says why the rule exists and what to
    do.
    """

    name: str
    meaning: str
    explanation: str
    failing: str
    fixed: str
    language: Language = Language.DM

    @property
    def family(self) -> str:
        """The part before the dot."""
        return self.name.partition(".")[0]
