"""The one table of error codes, a file for each family; nothing else in the compiler lists them.

Imported when a code is explained or checked, not when one is reported.
"""

from __future__ import annotations

import itertools

from dmc.diagnostics.codes import (
    call,
    checkpoint,
    feature,
    file,
    grad,
    index,
    ir,
    key,
    lint,
    loop,
    memory,
    name,
    shape,
    state,
    syntax,
    train,
    type,
    value,
)
from dmc.diagnostics.codes.code import Code, Language
from dmc_runtime.spelling import similar

__all__ = ["FAMILIES", "TABLE", "Code", "Language", "closest"]

FAMILIES: dict[str, tuple[Code, ...]] = {
    "syntax": syntax.CODES,
    "name": name.CODES,
    "type": type.CODES,
    "shape": shape.CODES,
    "index": index.CODES,
    "grad": grad.CODES,
    "state": state.CODES,
    "value": value.CODES,
    "loop": loop.CODES,
    "key": key.CODES,
    "lint": lint.CODES,
    "feature": feature.CODES,
    "call": call.CODES,
    "memory": memory.CODES,
    "file": file.CODES,
    "ir": ir.CODES,
    "checkpoint": checkpoint.CODES,
    "train": train.CODES,
}
"""The rows by family, in the order of the docs: what the text says, what it means, what runs it."""

TABLE: dict[str, Code] = {
    code.name: code for code in itertools.chain.from_iterable(FAMILIES.values())
}
"""Every row by its name."""


def closest(name: str) -> list[str]:
    """Codes that someone who wrote `name` may have meant, the likeliest first."""
    return similar(name, TABLE, 3) or [code for code in TABLE if name in code][:3]
