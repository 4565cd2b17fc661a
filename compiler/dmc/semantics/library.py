"""Where the library that is written in dm lies, and which of its modules has a name."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["library", "module_with"]

_DECLARATION = re.compile(r"^(?:checkpoint )?(?:fn|model|struct|let) (\w+)", re.MULTILINE)


def library() -> Path:
    """The folder of the library's modules."""
    import dmc_runtime

    return Path(os.fspath(dmc_runtime.__file__ or "")).parent / "std"


def module_with(name: str) -> str | None:
    """The module of the library that declares `name`, for the help of an error."""
    for path in sorted(library().glob("*.dm")):
        if name in _DECLARATION.findall(path.read_text(encoding="utf-8")):
            return path.stem
    return None
