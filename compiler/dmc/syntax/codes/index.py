"""Error codes of the family `index`: indexes and their ranges."""

from __future__ import annotations

from dmc.syntax.codes.code import Code

CODES: tuple[Code, ...] = ()
