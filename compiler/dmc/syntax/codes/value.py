"""Error codes of the family `value`: values that are lost or changed."""

from __future__ import annotations

from dmc.syntax.codes.code import Code

CODES: tuple[Code, ...] = ()
