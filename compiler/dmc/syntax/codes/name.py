"""Error codes of the family `name`: names that are unknown or taken."""

from __future__ import annotations

from dmc.syntax.codes.code import Code

CODES: tuple[Code, ...] = ()
