"""The grammars of dmc, as data: `dm.lark` is the language, `ir.lark` the textual IR."""

from __future__ import annotations

from importlib.resources import files


def read(name: str) -> str:
    """The text of one grammar file of this package, such as `dm.lark`."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
