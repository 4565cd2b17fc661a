"""Error codes of the family `loop`: loops and what they carry."""

from __future__ import annotations

from dmc.syntax.codes.code import Code

CODES: tuple[Code, ...] = ()
