"""Error codes of the family `key`: random keys."""

from __future__ import annotations

from dmc.syntax.codes.code import Code

CODES: tuple[Code, ...] = ()
