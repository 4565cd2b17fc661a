"""The parser tables of `dm.lark`, built once and kept in the user's cache folder.

Building takes some 200 ms, loading 10. A cached file is used only if its digest matches, so a
truncated one is built again; it holds a pickle, so the folder is made for its owner alone, and one
that others may write to is not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import lark

import dmc_grammar
from dmc.syntax.layout import LayoutFilter
from dmc_runtime.files import read_own, replace

_DIGEST_SIZE = hashlib.sha256().digest_size


class Parser(Protocol):
    """The part of Lark that is used, with the types that it leaves open."""

    def parse(self, text: str) -> lark.Tree[lark.Token]:
        """The tree of `text`; raises `lark.exceptions.UnexpectedInput`."""
        ...

    def parse_interactive(self, text: str) -> Steps:
        """A parse of `text` to be driven token by token."""
        ...


class Steps(Protocol):
    """A parse in progress: Lark's `InteractiveParser`."""

    parser_state: object

    @property
    def lexer_thread(self) -> _Lexer:
        """The lexer, which asks the state what may come next."""
        ...

    def feed_token(self, token: lark.Token) -> object:
        """Advance by one token."""
        ...

    def accepts(self) -> set[str]:
        """The terminals that may come next."""
        ...


class _Lexer(Protocol):
    def lex(self, parser_state: object) -> Iterator[lark.Token]: ...


class _Loads(Protocol):
    def load(self, f: BinaryIO) -> Parser: ...


class _Saves(Protocol):
    def save(self, f: BinaryIO) -> None: ...


def load() -> Parser:
    """The parser, from the cache if possible."""
    grammar = dmc_grammar.read("dm.lark")
    path = _cache_path(grammar)
    if path is not None and (data := _read(path)) is not None:
        return cast(_Loads, lark.Lark).load(io.BytesIO(data))
    parser = build(grammar)
    if path is not None:
        buffer = io.BytesIO()
        cast(_Saves, parser).save(buffer)
        _write(path, buffer.getvalue())
    return parser


def build(grammar: str, *, strict: bool = False) -> Parser:
    """A parser for `grammar`; `strict` refuses any conflict or collision (needs `interegular`)."""
    parser = lark.Lark(
        grammar,
        parser="lalr",
        lexer="contextual",
        postlex=LayoutFilter(),
        keep_all_tokens=True,
        maybe_placeholders=True,
        strict=strict,
    )
    return cast(Parser, parser)


def _cache_path(grammar: str) -> Path | None:
    """Where the tables for this grammar, Lark and Python belong; None without a usable folder."""
    chosen = os.environ.get("DMC_CACHE_DIR")  # as for object code: empty means no cache
    if chosen == "":
        return None
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        default = (Path(base) if base else Path.home() / ".cache") / "dmc"
        folder = (Path(chosen) if chosen else default) / "grammar"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_private(folder):
            return None
    except (OSError, RuntimeError):  # no home, or one that is not ours to write to
        return None
    layout = f"{LayoutFilter.__module__}.{LayoutFilter.__qualname__}"  # the pickle names it
    key = "\0".join((grammar, lark.__version__, sys.version, layout))
    return folder / f"dm-{hashlib.sha256(key.encode()).hexdigest()[:32]}.lalr"


def _is_private(folder: Path) -> bool:
    if not hasattr(os, "getuid"):  # Windows: a profile folder is its owner's
        return True
    status = folder.stat()
    others = stat.S_IWGRP | stat.S_IWOTH
    return status.st_uid == os.getuid() and not status.st_mode & others


def _read(path: Path) -> bytes | None:
    try:
        content = read_own(path)
    except OSError:
        return None
    digest, data = content[:_DIGEST_SIZE], content[_DIGEST_SIZE:]
    return data if hashlib.sha256(data).digest() == digest else None


def _write(path: Path, data: bytes) -> None:
    """Atomically, so that no other process sees half a file; failing to cache is no failure."""
    with contextlib.suppress(OSError):
        replace(path, hashlib.sha256(data).digest() + data)
