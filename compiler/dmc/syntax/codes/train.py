"""Error codes of the family `train`: training runs and their recipes."""

from __future__ import annotations

from dmc.syntax.codes.code import Code

CODES: tuple[Code, ...] = ()
