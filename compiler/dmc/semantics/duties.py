"""Who is to state a requirement that nothing proves."""

from __future__ import annotations

from collections.abc import Collection

from dmc.semantics.context import Context

__all__ = ["duty"]


def duty(context: Context, clause: str, names: Collection[str]) -> str:
    """The help for a clause over the sizes `names` that nothing proves: who is to state it."""
    owner = context.model.declaration if context.model is not None else context.record
    if owner is not None and names and set(names) <= {g.name for g in owner.generics}:
        listed = ", ".join(g.name for g in owner.generics)
        where = (
            "say it once, on the model" if owner.is_model else "make it a model, which can say so"
        )
        return f"{where}: `model {owner.name}[{listed}] requires {clause}`"
    for declaration, sizes in context.bare.items():
        if names and declaration.is_model and set(names) <= set(map(str, sizes)):
            prefix = str(sizes[0]).rpartition(".")[0]
            listed = ", ".join(g.name for g in declaration.generics)
            own = clause.replace(f"{prefix}.", "")
            return f"say it once, on the model: `model {declaration.name}[{listed}] requires {own}`"
    return f"make it the caller's duty: `requires {clause}`"
