"""Keys are spent once."""

from __future__ import annotations

from dmc.semantics import typed
from dmc.semantics.context import Context
from dmc.semantics.types import (
    KeyType,
    pruned,
)

__all__ = ["spend"]


def spend(context: Context, key: typed.Node) -> None:
    """A key passed on or drawn from: once only."""
    if not isinstance(pruned(key.type), KeyType) or not isinstance(key, typed.Local):
        return
    symbol = key.symbol
    first = context.spent.get(symbol)
    if first is None and symbol.loop_depth < context.loop_depth:
        raise context.fail(
            "key.reused",
            f"`{symbol.name}` is spent in every iteration",
            key.span,
            "every draw would be the same",
            help=[f"fold the index in: `fold({symbol.name}, i)`"],
        )
    if first is None:
        context.spent[symbol] = (key.span, context.binding)
        return
    span, name = first
    title = f"`{symbol.name}` is already spent"
    if name is not None and context.binding is not None:
        title += f", so `{context.binding}` would equal `{name}`"
    raise context.fail(
        "key.reused",
        title,
        key.span,
        "second use",
        [(span, "first use")],
        [f"`let (k1, k2) = split({symbol.name})`"],
    )
