"""From source text to a module. The compiler itself is loaded with the first program."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from dmc.process import native

if TYPE_CHECKING:
    from dmc.api.module import Module


def load(path: str | os.PathLike[str], *, checks: bool = True) -> Module:
    """Parse and check a `.dm` file and everything it imports.

    Without `checks` an index that the program computes and that is outside its axis counts as the
    nearest one inside, instead of stopping the call. Raises dmc.Error with every mistake found,
    each marked in the source.
    """
    with native:
        from dmc.api.module import open_program
        from dmc.semantics.modules import check_program

        return open_program(check_program(path), checks)


def loads(
    text: str,
    name: str = "m.dm",
    folder: str | os.PathLike[str] = ".",
    *,
    checks: bool = True,
) -> Module:
    """Like `load`, from text; `name` stands for it in messages.

    What it imports is looked up in `folder`, then in the library.
    """
    with native:
        from dmc.api.module import open_program
        from dmc.semantics.modules import check_text

        return open_program(check_text(text, name, Path(folder)), checks)
