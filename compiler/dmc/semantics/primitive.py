"""What all builtins of the language have in common."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Constant", "Fill", "Primitive"]


@dataclass(frozen=True, eq=False)
class Primitive:
    """A name or sign that every program knows.

    `doc` is how it is called and what it gives. `is_step` when its derivative is zero wherever it
    exists, so that nothing flows back through it.
    """

    name: str
    doc: str = ""
    is_step: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class Constant(Primitive):
    """A number with a name."""

    value: int | float = 0


@dataclass(frozen=True, eq=False)
class Fill(Primitive):
    """A value that takes its shape from context or from brackets, every leaf filled with it."""

    value: int = 0
