"""Minimum cuts of directed graphs, by Dinic's algorithm.

(E. A. Dinic, "Algorithm for solution of a problem of maximum flow in networks with power
estimation", 1970.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

UNLIMITED = 1 << 100
"""The capacity of an edge that no cut may contain."""


@dataclass
class Network:
    """A graph from `SOURCE` to `SINK` with integer capacities."""

    numbers: dict[Hashable, int] = field(default_factory=dict[Hashable, int])
    edges: list[list[int]] = field(default_factory=list[list[int]])
    """The numbers of the edges that leave each node; an edge and its reverse differ in bit 0."""
    heads: list[int] = field(default_factory=list[int])
    room: list[int] = field(default_factory=list[int])
    """What can still flow through each edge."""

    def node(self, key: Hashable) -> int:
        number = self.numbers.setdefault(key, len(self.numbers))
        if number == len(self.edges):
            self.edges.append([])
        return number

    def connect(self, tail: Hashable, head: Hashable, capacity: int = UNLIMITED) -> None:
        """Add an edge."""
        a, b = self.node(tail), self.node(head)
        self.edges[a].append(len(self.heads))
        self.edges[b].append(len(self.heads) + 1)
        self.heads += [b, a]
        self.room += [capacity, 0]

    def needed(self, source: Hashable, sink: Hashable) -> set[Hashable]:
        """The nodes on the side of `sink` of a cheapest cut, as small a side as there is."""
        start, end = self.node(source), self.node(sink)
        while True:
            levels = self._levels(start)
            if levels[end] < 0:
                break
            self._saturate(start, end, levels)
        behind = self._reaching(end)
        return {key for key, number in self.numbers.items() if number in behind}

    def _levels(self, start: int) -> list[int]:
        """The distance of every node from `start` along edges with room; -1: out of reach."""
        levels = [-1] * len(self.edges)
        levels[start] = 0
        pending = deque([start])
        while pending:
            at = pending.popleft()
            for edge in self.edges[at]:
                head = self.heads[edge]
                if self.room[edge] and levels[head] < 0:
                    levels[head] = levels[at] + 1
                    pending.append(head)
        return levels

    def _saturate(self, start: int, end: int, levels: list[int]) -> None:
        """Send all that fits along shortest paths."""
        position = [0] * len(self.edges)
        path: list[int] = []
        at = start
        while True:
            if at == end:
                amount = min(self.room[edge] for edge in path)
                for edge in path:
                    self.room[edge] -= amount
                    self.room[edge ^ 1] += amount
                full = next(i for i, edge in enumerate(path) if not self.room[edge])
                at = self.heads[path[full] ^ 1]
                del path[full:]
            edge = self._step(at, levels, position)
            if edge is not None:
                path.append(edge)
                at = self.heads[edge]
            elif path:
                at = self.heads[path.pop() ^ 1]
                position[at] += 1
            else:
                return

    def _step(self, at: int, levels: list[int], position: list[int]) -> int | None:
        """The next edge towards the end, or None when there is none left."""
        edges = self.edges[at]
        while position[at] < len(edges):
            edge = edges[position[at]]
            if self.room[edge] and levels[self.heads[edge]] == levels[at] + 1:
                return edge
            position[at] += 1
        return None

    def _reaching(self, end: int) -> set[int]:
        """The nodes from which more could flow to `end`."""
        found = {end}
        pending = [end]
        while pending:
            for edge in self.edges[pending.pop()]:
                tail = self.heads[edge]
                if self.room[edge ^ 1] and tail not in found:
                    found.add(tail)
                    pending.append(tail)
        return found
