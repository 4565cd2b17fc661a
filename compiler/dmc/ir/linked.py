"""A doubly linked list whose nodes know their order: the operations of a block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, Self, TypeVar

GAP = 1 << 40
"""Between the places of neighbours, so that forty insertions at one spot number nothing anew."""


class Node(Protocol):
    """What can be linked; the list alone sets these."""

    previous: Self | None
    next: Self | None
    ordinal: int


NodeT = TypeVar("NodeT", bound=Node)


class Linked(Generic[NodeT]):
    """Nodes from `first` to `last`; a node is in one list at most."""

    def __init__(self) -> None:
        self.first: NodeT | None = None
        self.last: NodeT | None = None
        self.size = 0
        self._is_ordered = True

    def place(self, node: NodeT) -> int:
        """A number that grows along the list. Insertion of a node may change those of all.

        Like MLIR's: there are gaps between the numbers for what is inserted later, and once one
        is used up, all are numbered anew when they are asked for next.
        """
        if not self._is_ordered:
            for number, each in enumerate(self):
                each.ordinal = number * GAP
            self._is_ordered = True
        return node.ordinal

    def __iter__(self) -> Iterator[NodeT]:
        """The nodes in order; the one just yielded may be unlinked."""
        at = self.first
        while at is not None:
            following = at.next
            yield at
            at = following

    def __reversed__(self) -> Iterator[NodeT]:
        at = self.last
        while at is not None:
            before = at.previous
            yield at
            at = before

    def listed(self) -> list[NodeT]:
        """The nodes in order, as they are now."""
        found: list[NodeT] = []
        at = self.first
        while at is not None:
            found.append(at)
            at = at.next
        return found

    def link(self, node: NodeT, before: NodeT | None) -> None:
        """Put a node that is in no list in front of `before`, or at the end."""
        node.next = before
        node.previous = self.last if before is None else before.previous
        if node.previous is None:
            self.first = node
        else:
            node.previous.next = node
        if before is None:
            self.last = node
        else:
            before.previous = node
        self.size += 1
        self._number(node)

    def _number(self, node: NodeT) -> None:
        """Number `node` between its neighbours, or leave it to `place` where there is no room."""
        if node.next is None:
            node.ordinal = node.previous.ordinal + GAP if node.previous is not None else 0
            return
        low = node.previous.ordinal if node.previous is not None else node.next.ordinal - 2 * GAP
        node.ordinal = (low + node.next.ordinal) // 2
        self._is_ordered &= node.ordinal > low

    def unlink(self, node: NodeT) -> None:
        if node.previous is None:
            self.first = node.next
        else:
            node.previous.next = node.next
        if node.next is None:
            self.last = node.previous
        else:
            node.next.previous = node.previous
        node.previous = node.next = None
        self.size -= 1
