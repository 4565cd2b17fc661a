"""Common subexpression elimination: equal pure operations become one."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from dmc.ir import Block, Module, Operation, Trait, Value
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op
from dmc.transforms.common import is_isolated


@dataclass(frozen=True)
class Cse(Pass):
    """Replace an operation by an equal earlier one of the same or an enclosing block.

    Operations are equal when class, attributes, operands, result types and regions are.
    """

    name = "cse"

    def run(self, module: Module) -> None:
        _merge(module.body, _Scope(None))


class EqualOperations:
    """Finds equal operations in one block from what uses the same values, without a table."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self._constants: dict[Hashable, Operation] = {}
        """Operations without operands, the first of those that are equal."""

    def before(self, op: Operation) -> Operation | None:
        """An operation of the block in front of `op` that computes the same."""
        if not _may_merge(op):
            return None
        if not op.operands:
            found = self._first_constant(op)
            return None if found is op else found
        rarest = min(op.operands, key=lambda value: len(value.uses))
        candidates = [user for user, _ in rarest.uses if type(user) is type(op) and user is not op]
        if not candidates:
            return None
        key = key_of(op)
        for user in candidates:
            if user.parent is self._block and user.is_before(op) and key_of(user) == key:
                return user
        return None

    def _first_constant(self, op: Operation) -> Operation:
        if not self._constants:
            for each in self._block.listed():
                if not each.operands and _may_merge(each):
                    self._constants.setdefault(key_of(each), each)
        return self._constants[key_of(op)]


def _may_merge(op: Operation) -> bool:
    return bool(op.results) and Trait.READS_MEMORY not in op.traits and op.is_pure


def merge_into(earlier: Operation, op: Operation) -> None:
    """Let what uses `op` use the equal operation `earlier`."""
    for kept, dropped in zip(earlier.results, op.results, strict=True):
        kept.name = kept.name or dropped.name
    replace_op(op, earlier.results)


class _Scope:
    """Operations available in a block, and in those around it."""

    def __init__(self, outer: _Scope | None) -> None:
        self.outer = outer
        self.known: dict[Hashable, Operation] = {}

    def find(self, key: Hashable) -> Operation | None:
        scope: _Scope | None = self
        while scope is not None:
            if key in scope.known:
                return scope.known[key]
            scope = scope.outer
        return None


def _merge(block: Block, scope: _Scope) -> None:
    for op in block:
        if op.regions:
            outer = None if is_isolated(op) else scope
            for inner in op.regions:
                _merge(inner.block, _Scope(outer))
        if not _may_merge(op):
            continue
        key = key_of(op)
        earlier = scope.find(key)
        if earlier is None:
            scope.known[key] = op
        else:
            merge_into(earlier, op)


def key_of(op: Operation, numbers: dict[Value, int] | None = None) -> Hashable:
    """Equal for operations that compute the same from the same values.

    `numbers` numbers the values defined inside an enclosing operation that is being compared.
    """
    numbers = {} if numbers is None else numbers
    operands = [numbers.get(value, value) for value in op.operands]
    if Trait.COMMUTATIVE in op.traits:
        operands.sort(key=lambda v: (1, id(v)) if isinstance(v, Value) else (0, v))
    regions = [_key_of_block(inner.block, numbers) for inner in op.regions]
    attributes = frozenset([(name, type(v), v) for name, v in op.attributes.items()])
    return (type(op), tuple(operands), attributes, op.result_types, tuple(regions))


def _key_of_block(block: Block, numbers: dict[Value, int]) -> Hashable:
    for value in block.args:
        numbers[value] = len(numbers)
    keys: list[Hashable] = [tuple(value.type for value in block.args)]
    for op in block:
        keys.append(key_of(op, numbers))
        for value in op.results:
            numbers[value] = len(numbers)
    return tuple(keys)
