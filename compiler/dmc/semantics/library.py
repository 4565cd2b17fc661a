"""Which module of the library, which is written in dm, has a name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dmc.semantics.program import SourceModule
from dmc_runtime import STD_FOLDER
from dmc_runtime.spelling import did_you_mean

__all__ = ["member_help", "module_with"]

MOST_LISTED = 12
"""So many names are read at a glance."""

_DECLARATION = re.compile(r"^(?:checkpoint )?(?:fn|model|struct|let) (\w+)", re.MULTILINE)


def module_with(name: str) -> str | None:
    """The module of the library that has `name`, for the help of an error.

    `nn` passes on what the files of its folder declare.
    """
    for path in sorted(STD_FOLDER.rglob("*.dm")):
        if name in _DECLARATION.findall(path.read_text(encoding="utf-8")):
            return path.relative_to(STD_FOLDER).with_suffix("").parts[0]
    return None


def member_help(module: SourceModule, name: str, is_in_prelude: bool) -> Sequence[str]:
    """Help for a name that a module does not have; every program knows those of the prelude."""
    if is_in_prelude:
        return (f"it is in the prelude, which needs no import: `{name}(x)`",)
    other = module_with(name)
    if other is not None and other != module.name:
        return (f"it is in another module: `from {other} import {name}`",)
    public = sorted(known for known in module.names if not known.startswith("_"))
    near = did_you_mean(name, public)
    if near or not 0 < len(public) <= MOST_LISTED:
        return near
    return (f"it has {', '.join(f'`{known}`' for known in public)}",)
