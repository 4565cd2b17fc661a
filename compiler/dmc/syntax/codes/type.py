"""Error codes of the family `type`: types that do not fit."""

from __future__ import annotations

from dmc.syntax.codes.code import Code

CODES: tuple[Code, ...] = ()
