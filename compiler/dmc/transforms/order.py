"""Moving operations within their block."""

from __future__ import annotations

from collections.abc import Callable

from dmc.dialects import kernel
from dmc.ir import Block, Operation, Value


def reads_of(op: Operation) -> list[Value]:
    """The values from outside that `op` and everything inside it use."""
    if isinstance(op, kernel.Structured):
        return [*op.operands, *(inner.source for inner in op.loads())]
    return op.reads()


class Dependences:
    """Which operations of a block need which others, while some are joined into one.

    Whether there is a way from one operation to another is known at once where it runs along a
    tree in which the parent of each operation is the last one that it reads: numbered in preorder,
    the operations below another are an interval (as in Yildirim et al., "GRAIL: scalable
    reachability index for large graphs", 2010). Joining keeps ways, so what the tree says stays
    true. Where it says nothing, what lies between is searched.
    """

    def __init__(self, block: Block, reads: Callable[[Operation], list[Value]] = reads_of) -> None:
        """`reads` gives the values from outside that an operation uses."""
        self._reads = reads
        self._owners: dict[Operation, list[Operation]] = {}
        self._interval: dict[Operation, tuple[int, int]] = {}
        self._number: dict[Operation, int] = {}
        children: dict[Operation | None, list[Operation]] = {}
        for op in block:
            parent = max(self.owners(op), key=block.place, default=None)
            children.setdefault(parent, []).append(op)
        self._label(children)

    def _label(self, children: dict[Operation | None, list[Operation]]) -> None:
        """Number the tree in preorder, and give each operation the interval of those below it."""
        count = 0
        pending = children.get(None, [])[::-1]
        while pending:
            op = pending.pop()
            if op in self._number:
                self._interval[op] = self._number[op], count
                continue
            self._number[op] = count
            count += 1
            pending.append(op)
            pending.extend(reversed(children.get(op, ())))

    def owners(self, op: Operation) -> list[Operation]:
        """The operations of the same block that `op` reads, each once."""
        known = self._owners.get(op)
        if known is None or any(owner.parent is not op.parent for owner in known):
            found = dict.fromkeys(value.defining_op for value in self._reads(op))
            known = [each for each in found if each is not None and each.parent is op.parent]
            self._owners[op] = known
        return known

    def joined(self, first: Operation, second: Operation, new: Operation) -> None:
        """`new` has taken the place of `first` and of `second`, which was behind it."""
        spans = [self._interval[op] for op in (first, second) if op in self._interval]
        if spans:
            self._interval[new] = max(spans, key=lambda span: span[1] - span[0])
        numbers = [self._number[op] for op in (second, first) if op in self._number]
        if numbers:
            self._number[new] = numbers[0]

    def _is_known_below(self, op: Operation, above: Operation) -> bool:
        first, end = self._interval.get(above, (0, 0))
        return first <= self._number.get(op, -1) < end

    def bring_together(self, first: Operation, second: Operation) -> Operation | None:
        """Move what `second` needs in front of `first`, an earlier operation of the same block.

        After that `second` could stand right behind `first`. Returns what prevents it, with nothing
        changed: an operation between them that needs the one and is needed by the other.
        """
        block = first.parent
        assert block is not None
        assert first.is_before(second)
        needed: set[Operation] = set()
        wanted = [second]
        while wanted:
            op = wanted.pop()
            for owner in self.owners(op):
                if owner is first and op is not second:
                    return op
                if owner is first or owner in needed or not first.is_before(owner):
                    continue
                if self._is_known_below(owner, first):
                    return owner
                needed.add(owner)
                wanted.append(owner)
        for op in sorted(needed, key=block.place):
            op.detach()
            block.insert(op, first)
        return None
