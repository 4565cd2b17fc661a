"""Error codes of the family `shape`: sizes that do not fit or cannot be proved."""

from __future__ import annotations

from dmc.syntax.codes.code import Code

CODES: tuple[Code, ...] = ()
