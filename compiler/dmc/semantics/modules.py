"""Loading programs: files, their imports, cycles; the way in to the checker."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.diagnostics.errors import raise_all
from dmc.diagnostics.report import Diagnostics
from dmc.ir.location import SourceFile, Span
from dmc.semantics.builtins.prelude import PRELUDE
from dmc.semantics.checker import check_module
from dmc.semantics.library import member_help
from dmc.semantics.program import Entity, Poison, Program, SourceModule
from dmc.syntax import ast
from dmc.syntax.files import read_source
from dmc.syntax.parser import parse
from dmc_runtime import STD_FOLDER

_OF_PYTHON = sys.stdlib_module_names | {"jax", "matplotlib", "numpy", "pandas", "scipy", "torch"}
"""Modules that are imported from habit."""

__all__ = ["check_program", "check_text"]


def check_program(path: str | os.PathLike[str]) -> Program:
    """Parse and check a file and all that it imports.

    Raises:
        dmc.diagnostics.errors.Error: with every independent error found, in order of place.
    """
    loader = _Loader()
    source = read_source(path)
    main = loader.load(Path(path), source)
    raise_all(loader.diagnostics.found)
    return Program(main, loader.by_name)


def check_text(text: str, name: str = "m.dm", folder: Path | None = None) -> Program:
    """Like `check_program`, of a text; imports are looked up in `folder`, then the library."""
    loader = _Loader()
    main = loader.load((folder or Path()) / name, SourceFile(name, text))
    raise_all(loader.diagnostics.found)
    return Program(main, loader.by_name)


sharing = lru_cache(maxsize=64)
parse_import = sharing(parse)
"""The syntax tree of a file that is imported: programs share those of the library."""


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long, a folder that may not be read
        return False


class _Loader:
    def __init__(self) -> None:
        self.diagnostics = Diagnostics()
        self.by_path: dict[Path, SourceModule] = {}
        self.by_name: dict[str, SourceModule] = {}
        self.loading: list[Path] = []

    def load(self, path: Path, source: SourceFile) -> SourceModule:
        """Parse, load imports, check. A broken import is reported where it is written."""
        key = path.resolve()
        file = parse_import(source) if self.loading else parse(source)
        module = SourceModule(self._name(path), path, source, file)
        self.by_path[key] = module
        self.by_name[module.name] = module
        self.loading.append(key)
        for node in file.declarations:
            match node:
                case ast.ImportDecl(module=name, alias=alias):
                    self._bind(module, alias or name.parts[-1], partial(self._module, name, path))
                case ast.FromDecl(module=name, names=names):
                    for wanted in names:
                        self._bind(module, wanted, partial(self._member, name, wanted, path))
                case _:
                    pass
        if len(self.loading) == 1:  # in the main module, what is not used is looked up too
            dict(module.names)
        self._refuse_cycles(file, path)
        check_module(module, self.diagnostics)
        self.loading.pop()
        return module

    def _refuse_cycles(self, file: ast.File, path: Path) -> None:
        for node in file.declarations:
            if isinstance(node, ast.ImportDecl | ast.FromDecl):
                found = _place(node.module, path)
                if found is not None and found.resolve() in self.loading:
                    self._import(node.module, path)

    def _name(self, path: Path) -> str:
        name, count = path.stem, 1
        while name in self.by_name:
            count += 1
            name = f"{path.stem}_{count}"
        return name

    # -- imports

    def _module(self, name: ast.QualifiedName, importer: Path) -> Entity:
        imported = self._import(name, importer)
        return imported if imported is not None else Poison(name.parts[-1].span)

    def _member(self, name: ast.QualifiedName, wanted: ast.Identifier, importer: Path) -> Entity:
        imported = self._import(name, importer)
        entity = imported.names.get(wanted.text) if imported is not None else None
        if entity is None and imported is not None:
            self._unknown(imported, wanted)
        return entity if entity is not None else Poison(wanted.span)

    def _import(self, name: ast.QualifiedName, importer: Path) -> SourceModule | None:
        found = _place(name, importer)
        if found is None:
            help_ = f"looked for `{_relative(name)}` beside this file and in the library"
            if name.parts[0].text in _OF_PYTHON:
                help_ = (
                    "modules of Python are not there; `sum`, `exp` and their like need no import"
                )
            self._report(
                "name.module", f"there is no module `{name.text}`", name.span, help_=(help_,)
            )
            return None
        key = found.resolve()
        if key in self.loading:
            cycle = " → ".join(p.stem for p in (*self.loading[self.loading.index(key) :], key))
            self._report("name.cycle", f"modules import each other: {cycle}", name.span)
            return None
        if key in self.by_path:
            return self.by_path[key]
        loaded = self.load(found, read_source(found))
        if not self.loading:  # asked for when the program is loaded already
            raise_all(self.diagnostics.found)
        return loaded

    def _unknown(self, imported: SourceModule, wanted: ast.Identifier) -> None:
        self._report(
            "name.unknown",
            f"module `{imported.name}` has no `{wanted.text}`",
            wanted.span,
            help_=tuple(member_help(imported, wanted.text, wanted.text in PRELUDE)),
        )

    def _bind(self, module: SourceModule, name: ast.Identifier, find: Callable[[], Entity]) -> None:
        if name.text in module.names:
            self._report("name.duplicate", f"`{name.text}` is declared twice", name.span)
            return
        module.names.await_import(name.text, find)

    def _report(self, code: str, title: str, span: Span, help_: tuple[str, ...] = ()) -> None:
        found = self.diagnostics.found
        if not any(known.code == code and known.primary == Label(span) for known in found):
            found.append(Diagnostic(code, title, Label(span), help=help_))


def _relative(name: ast.QualifiedName) -> Path:
    return Path(*[part.text for part in name.parts]).with_suffix(".dm")


def _place(name: ast.QualifiedName, importer: Path) -> Path | None:
    """The file that an import means: beside the importing one, else in the library."""
    places = (folder / _relative(name) for folder in (importer.parent, STD_FOLDER))
    return next((place for place in places if _is_file(place)), None)
