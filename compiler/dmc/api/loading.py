"""From source text to a module. The compiler itself is loaded with the first program."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from dmc.api.options import Options
from dmc.process import native
from dmc_runtime import arguments
from dmc_runtime.errors import ArgumentError

if TYPE_CHECKING:
    from dmc.api.module import Module
    from dmc.api.program import LoadedProgram
    from dmc.semantics.program import Program

_loaded: WeakValueDictionary[str, LoadedProgram] = WeakValueDictionary()
"""The programs of this process by token: what is unpickled belongs to the one that is there."""


@dataclass(frozen=True)
class Origin:
    """How to come by a program again: called, it gives the one it stands for.

    Another process reads the sources again. `text` is None for a file; `digest` is that of all
    sources, `token` tells programs apart that were loaded from the same ones.
    """

    name: str
    text: str | None
    folder: str
    options: Options
    digest: str
    token: str

    def __call__(self) -> LoadedProgram:
        """The program. Raises dmc.Error when its sources are gone, or are others now."""
        known = _loaded.get(self.token)
        if known is not None:
            return known
        program = _check(self.name, self.text, self.folder)
        if _digest(program) != self.digest:
            raise ArgumentError(f"`{self.name}` is another program than when it was pickled")
        return _open(program, self)


def load(path: str | os.PathLike[str], *, checks: bool = True, strict: bool = False) -> Module:
    """Parse and check a `.dm` file and everything it imports.

    Without `checks` an index that the program computes and that is outside its axis counts as the
    nearest one inside, instead of stopping the call. If `strict`, every sum is taken as it is
    written, each term rounded, which costs time where it is one of products. Raises dmc.Error with
    every mistake found, each marked in the source.
    """
    file = arguments.path(path, "`dmc.load`: `path`")
    name = os.fspath(path)
    options = _options("load", checks, strict)
    program = _check(name, None, "")
    absolute = str(file.absolute())
    return _main(program, Origin(absolute, None, "", options, _digest(program), _token()))


def loads(
    text: str,
    name: str = "m.dm",
    folder: str | os.PathLike[str] = ".",
    *,
    checks: bool = True,
    strict: bool = False,
) -> Module:
    """Like `load`, from text; `name` stands for it in messages.

    What it imports is looked up in `folder`, then in the library.
    """
    text = arguments.text(text, "`dmc.loads`: `text`")
    name = arguments.text(name, "`dmc.loads`: `name`")
    arguments.path(name, "`dmc.loads`: `name`")
    where = str(arguments.path(folder, "`dmc.loads`: `folder`"))
    options = _options("loads", checks, strict)
    program = _check(name, text, where)
    absolute = str(Path(where).absolute())
    return _main(program, Origin(name, text, absolute, options, _digest(program), _token()))


def _options(function: str, checks: bool, strict: bool) -> Options:
    return Options(
        arguments.flag(checks, f"`dmc.{function}`: `checks`"),
        arguments.flag(strict, f"`dmc.{function}`: `strict`"),
    )


def _check(name: str, text: str | None, folder: str) -> Program:
    with native:
        from dmc.semantics.modules import check_program, check_text

        return check_program(name) if text is None else check_text(text, name, Path(folder))


def _open(program: Program, origin: Origin) -> LoadedProgram:
    with native:
        from dmc.api.module import open_program

        loaded = open_program(program, origin, origin.options)
    _loaded[origin.token] = loaded
    return loaded


def _main(program: Program, origin: Origin) -> Module:
    from dmc.api.module import Module

    return Module(_open(program, origin), program.main)


def _digest(program: Program) -> str:
    digest = hashlib.sha256()
    for name, module in sorted(program.modules.items()):
        for part in (name, module.source.text):
            digest.update(f"{len(part)} {part}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _token() -> str:
    return os.urandom(16).hex()
