"""Elementwise operations that only feed one another become one kernel at once.

Fusion would join them, too, but each step of it makes a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmc.dialects import arith, kernel
from dmc.dialects.elementwise import splat_of
from dmc.ir import AffineMap, Builder, Operation, Trait, Value, dtype_of, shape_of
from dmc.ir.rewriter import replace_op
from dmc.transforms.generics import Read, is_tensor, make_generic
from dmc.transforms.kernel_facts import MOST_OPERANDS, MOST_OPERATIONS


@dataclass
class _Tree:
    """Operations in order, of which each but the last is read by another only."""

    ops: list[Operation]
    reads: dict[Value, None]
    """What they read beside each other, but for repeated constants."""


class Trees:
    """Gathers elementwise operations, given in order, and writes a kernel when a tree is whole."""

    def __init__(self, name: str) -> None:
        """`name` is that of the pass."""
        self._name = name
        self._unfinished: dict[Operation, _Tree] = {}

    def add(self, op: Operation) -> None:
        """Take an elementwise operation on whole tensors."""
        tree = self._tree(op)
        if _goes_on(op):
            self._unfinished[op] = tree
        else:
            self._write(tree)

    def _tree(self, op: Operation) -> _Tree:
        """`op` with the trees that it reads, as far as there is room for them."""
        tree = _Tree([], {})
        for value in dict.fromkeys(op.operands):
            owner = value.defining_op
            inner = self._unfinished.pop(owner, None) if owner is not None else None
            if inner is None:
                if splat_of(value) is None:
                    tree.reads[value] = None
            elif not _has_room(tree, inner):
                tree.reads[self._write(inner)] = None
            else:
                small, large = sorted((tree, inner), key=lambda each: len(each.ops))
                large.ops += small.ops
                large.reads.update(small.reads)
                tree = large
        tree.ops.append(op)
        return tree

    def _write(self, tree: _Tree) -> Value:
        """Put a kernel in place of a tree; its result."""
        root = tree.ops[-1]
        builder = Builder.ahead_of(root)
        builder.location = root.location.by(self._name)
        made = elementwise(builder, tree.ops)
        replace_op(root, [made])
        for op in reversed(tree.ops[:-1]):
            op.erase()
        return made


def _has_room(tree: _Tree, other: _Tree) -> bool:
    reads, ops = len(tree.reads) + len(other.reads), len(tree.ops) + len(other.ops)
    return reads < MOST_OPERANDS and ops < MOST_OPERATIONS


def elementwise(builder: Builder, ops: Sequence[Operation]) -> Value:
    """A kernel that computes what the last of `ops` does, and for that what the others do."""
    root = ops[-1].results[0]
    shape = shape_of(root.type)
    same = AffineMap.identity(len(shape))
    made = {value for op in ops for value in op.results}
    outside = dict.fromkeys(value for op in ops for value in op.operands if value not in made)
    reads = [value for value in outside if splat_of(value) is None]

    def code(b: Builder, args: list[Value]) -> list[Value]:
        known = dict(zip(reads, args, strict=True))
        for op in ops:
            _copy(op, b, known)
        return [known[root]]

    return make_generic(builder, shape, [Read(v, same) for v in reads], code, [same]).results[0]


def _copy(op: Operation, builder: Builder, known: dict[Value, Value]) -> None:
    """Compute in a body one element of what `op` computes; repeated constants become scalars."""
    operands: list[Value] = []
    for value in op.operands:
        if value not in known:
            number = splat_of(value)
            assert number is not None
            known[value] = arith.scalar(builder, number, dtype_of(value.type))
        operands.append(known[value])
    types = [kernel.element_type(value.type) for value in op.results]
    copy = builder.insert(type(op)(operands, op.attributes, (), types, op.location))
    known.update(zip(op.results, copy.results, strict=True))


def _goes_on(op: Operation) -> bool:
    """Whether all that reads `op` is one elementwise operation next to it."""
    users = {user for user, _ in op.results[0].uses}
    if len(users) != 1:
        return False
    user = users.pop()
    return user.parent is op.parent and is_elementwise(user)


def is_elementwise(op: Operation) -> bool:
    """Whether `op` computes whole tensors element by element."""
    return op.has(Trait.ELEMENTWISE) and is_tensor(op.results[0])
