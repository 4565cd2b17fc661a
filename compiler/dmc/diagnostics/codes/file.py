"""Error codes of the family `file`: source files that cannot be used."""

from __future__ import annotations

from dmc.diagnostics.codes.code import Code, Language

CODES: tuple[Code, ...] = (
    Code(
        "file.missing",
        "there is no such file",
        "The name is taken from the current directory. When a name in the same folder is close, "
        "the message shows it.",
        "dmc check modle.dm\n",
        "dmc check model.dm\n",
        Language.SHELL,
    ),
    Code(
        "file.directory",
        "this is a directory, not a file",
        "Commands take one source file; what it imports is found from there.",
        "dmc check examples/digits\n",
        "dmc check examples/digits/digits.dm\n",
        Language.SHELL,
    ),
    Code(
        "file.unreadable",
        "the file cannot be read",
        "The reason that the operating system gives is in the message, most often a missing "
        "permission.",
        "chmod 000 model.dm && dmc check model.dm\n",
        "chmod 644 model.dm && dmc check model.dm\n",
        Language.SHELL,
    ),
    Code(
        "file.encoding",
        "the file is not UTF-8",
        "Source text is UTF-8, with or without a byte order mark. The message names the first byte "
        "that is not.",
        "iconv -f utf-8 -t utf-16 model.dm > wide.dm && dmc check wide.dm\n",
        "iconv -f utf-16 -t utf-8 wide.dm > model.dm && dmc check model.dm\n",
        Language.SHELL,
    ),
    Code(
        "file.size",
        "the file is too large to be a program",
        "The limit is a mebibyte of source text. Data belongs in arrays that are passed to the "
        "program.",
        "dmc check weights.dm\n",
        "dmc check model.dm\n",
        Language.SHELL,
    ),
)
