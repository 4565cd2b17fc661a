"""Error codes of the family `syntax`: text that is not dm."""

from __future__ import annotations

from dmc.syntax.codes.code import Code

CODES: tuple[Code, ...] = ()
