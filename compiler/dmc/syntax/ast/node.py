"""The base of all nodes, and walking over any tree of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from dmc.ir.location import Span


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """Anything with a place in the source text."""

    span: Span


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below `node`, in the order of its fields."""
    for field in dataclasses.fields(node):
        value: object = getattr(node, field.name)
        if isinstance(value, Node):
            yield value
        elif isinstance(value, tuple):
            for element in value:  # pyright: ignore[reportUnknownVariableType]
                if isinstance(element, Node):
                    yield element


def walk(node: Node) -> Iterator[Node]:
    """`node` and everything below it, parents first; needs no recursion."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(reversed(tuple(children(current))))
