"""Elements and axes, of which the types of arrays are made."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from dmc.ir.types import DType
from dmc.semantics.sizes import Size


@dataclass(frozen=True, slots=True)
class ElementName:
    """An element type parameter: `F` in `fn f[F: float]`."""

    name: str


class NumberKind(enum.Enum):
    """What an untyped number may still become; a smaller set refines a larger one."""

    NUMBER = "any number type"
    INTEGER = "an integer type"
    FLOAT = "a float type"


@dataclass(eq=False, slots=True)
class Number:
    """The element type of a literal or size, fixed by the first typed value it meets.

    `target` is what it was unified with; an unmet one becomes `f64` or `i64` at the end of the
    body.
    """

    kind: NumberKind
    target: Element | None = None


Element = DType | ElementName | Number

_SPELLED = {DType.BOOL: "bool"}


def resolved(element: Element) -> Element:
    """Follow what a number was unified with."""
    while isinstance(element, Number) and element.target is not None:
        element = element.target
    return element


def element_text(element: Element) -> str:
    """As the language spells it."""
    element = resolved(element)
    match element:
        case DType():
            return _SPELLED.get(element, element.value)
        case ElementName(name):
            return name
        case Number(kind):
            return "f64" if kind is NumberKind.FLOAT else "i64"


# ---- shapes -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pack:
    """A shape parameter inside a shape: `*S`."""

    name: str

    def __str__(self) -> str:
        return f"*{self.name}"


@dataclass(frozen=True, slots=True)
class Stretch:
    """The axis made by `_` in an index: it stretches to what it meets."""

    def __str__(self) -> str:
        return "_"


Axis = Size | Pack | Stretch
Shape = tuple[Axis, ...]


def shape_text(shape: Shape) -> str:
    """`[B, D]`; nothing for a scalar."""
    return f"[{', '.join(map(str, shape))}]" if shape else ""
