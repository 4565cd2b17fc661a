"""Who is to state a requirement that nothing proves."""

from __future__ import annotations

from collections.abc import Collection

from dmc.semantics.context import Context

__all__ = ["duty"]


def duty(context: Context, clause: str, names: Collection[str]) -> str:
    """The help for a clause over the sizes `names` that nothing proves: who is to state it."""
    model = context.model.declaration if context.model is not None else None
    if model is not None and names and all(any(g.name == n for g in model.generics) for n in names):
        listed = ", ".join(g.name for g in model.generics)
        return f"say it once, on the model: `model {model.name}[{listed}] requires {clause}`"
    for declaration, sizes in context.bare.items():
        if names and declaration.is_model and set(names) <= set(map(str, sizes)):
            owner = str(sizes[0]).rpartition(".")[0]
            listed = ", ".join(g.name for g in declaration.generics)
            own = clause.replace(f"{owner}.", "")
            return f"say it once, on the model: `model {declaration.name}[{listed}] requires {own}`"
    return f"make it the caller's duty: `requires {clause}`"
