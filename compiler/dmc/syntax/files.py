"""Reading source files, and saying plainly why one cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

from dmc.diagnostics.diagnostic import Diagnostic, Label
from dmc.diagnostics.errors import error
from dmc.ir.location import SourceFile, Span
from dmc_runtime.spelling import closest

LARGEST_FILE = 1 << 20
"""Bytes of source text in one file."""


def read_source(path: str | os.PathLike[str]) -> SourceFile:
    """Read a `.dm` file, named in messages as it was named here.

    Raises `MissingFileError` (`file.missing`) or `FileError` (`file.directory`,
    `file.unreadable`, `file.size`, `file.encoding`).
    """
    name = os.fspath(path)
    file = Path(path)
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise error(_missing(file, name)) from None
    except IsADirectoryError:
        raise error(_directory(file, name)) from None
    except ValueError:  # a NUL in the name
        raise error(Diagnostic("file.missing", f"`{name!r}` is not a file name")) from None
    except OSError as failure:
        reason = (failure.strerror or str(failure)).lower()
        raise error(Diagnostic("file.unreadable", f"cannot read `{name}`: {reason}")) from None
    if len(data) > LARGEST_FILE:
        title = f"`{name}` is larger than {LARGEST_FILE:_} bytes"
        note = "data belongs in arrays that are passed to the program"
        raise error(Diagnostic("file.size", title, notes=(note,)))
    return SourceFile(name, decode(data, name))


def decode(data: bytes, name: str) -> str:
    """Source text from bytes: UTF-8, with or without a mark in front; else `file.encoding`."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        before = data[: failure.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        source = SourceFile(name, data.decode("utf-8", "replace"))
        span = Span(source, line, column, line, column + 1)
        raise error(
            Diagnostic(
                "file.encoding",
                f"`{name}` is not UTF-8",
                Label(span, f"byte 0x{data[failure.start]:02x}"),
                help=(f"convert it: `iconv -f latin1 -t utf-8 {name}`",),
            )
        ) from None


def _missing(file: Path, name: str) -> Diagnostic:
    folder = file.parent
    there = sorted(p.name for p in folder.glob("*.dm")) if folder.is_dir() else []
    close = closest(file.name, there)
    help_ = (f"did you mean `{folder / close}`?",) if close else ()
    return Diagnostic("file.missing", f"there is no file `{name}`", help=help_)


def _directory(file: Path, name: str) -> Diagnostic:
    there = sorted(p.name for p in file.glob("*.dm"))
    help_ = (f"name a file in it, such as `{file / there[0]}`",) if there else ()
    return Diagnostic("file.directory", f"`{name}` is a directory, not a file", help=help_)
