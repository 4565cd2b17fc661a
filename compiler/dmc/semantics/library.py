"""Which module of the library, which is written in dm, has a name."""

from __future__ import annotations

import re

from dmc_runtime import STD_FOLDER

__all__ = ["module_with"]

_DECLARATION = re.compile(r"^(?:checkpoint )?(?:fn|model|struct|let) (\w+)", re.MULTILINE)


def module_with(name: str) -> str | None:
    """The module of the library that declares `name`, for the help of an error."""
    for path in sorted(STD_FOLDER.glob("*.dm")):
        if name in _DECLARATION.findall(path.read_text(encoding="utf-8")):
            return path.stem
    return None
