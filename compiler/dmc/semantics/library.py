"""Which module of the library, which is written in dm, has a name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dmc.semantics.program import SourceModule
from dmc_runtime import STD_FOLDER
from dmc_runtime.spelling import did_you_mean

__all__ = ["import_help", "member_help", "modules_with"]

MOST_LISTED = 12
"""So many names are read at a glance."""

_DECLARATION = re.compile(r"^(?:checkpoint )?(?:fn|model|struct|let) (\w+)", re.MULTILINE)


def modules_with(name: str) -> list[str]:
    """The modules of the library that have `name`, for the help of an error.

    `nn` passes on what the files of its folder declare.
    """
    return [
        path.relative_to(STD_FOLDER).with_suffix("").parts[0]
        for path in sorted(STD_FOLDER.rglob("*.dm"))
        if name in _DECLARATION.findall(path.read_text(encoding="utf-8"))
    ]


def import_help(name: str) -> str | None:
    """How a name of the library is imported; where several modules have it, from each."""
    ways = [f"`from {module} import {name}`" for module in modules_with(name)]
    return f"it is in the library: {', or '.join(ways)}" if ways else None


def member_help(module: SourceModule, name: str, is_in_prelude: bool) -> Sequence[str]:
    """Help for a name that a module does not have; every program knows those of the prelude."""
    if is_in_prelude:
        return (f"it is in the prelude, which needs no import: `{name}(x)`",)
    others = [other for other in modules_with(name) if other != module.name]
    if others:
        return (f"it is in another module: `from {others[0]} import {name}`",)
    public = sorted(known for known in module.names if not known.startswith("_"))
    near = did_you_mean(name, public)
    if near or not 0 < len(public) <= MOST_LISTED:
        return near
    return (f"it has {', '.join(f'`{known}`' for known in public)}",)
