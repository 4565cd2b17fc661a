"""Error codes of the family `call`: calls from Python."""

from __future__ import annotations

from dmc.syntax.codes.code import Code

CODES: tuple[Code, ...] = ()
