"""Error codes of the family `feature`: what this version does not compile."""

from __future__ import annotations

from dmc.syntax.codes.code import Code

CODES: tuple[Code, ...] = ()
