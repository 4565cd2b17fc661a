"""Common subexpression elimination: equal pure operations become one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from dmc.ir import Block, Module, Operation, TapeType, Trait, Value
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
        _merge(module.body, {}, hashed=False)


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
        read = set(op.operands)
        candidates = [
            user
            for user, _ in rarest.uses
            if type(user) is type(op) and user is not op and read == set(user.operands)
        ]
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


def _has_tape(op: Operation) -> bool:
    """Whether `op` must stay beside the loop that reads what it has kept."""
    return any(isinstance(value.type, TapeType) for value in op.results)


class _Regions:
    """The regions of an operation as a part of its key: quick to hash, compared when they must be.

    The hash is that of the operations inside without their operands, so that nested regions are
    hashed once, and not again for all that is around them.
    """

    def __init__(self, op: Operation, hashes: tuple[int, ...]) -> None:
        self._op = op
        self._hashes = hashes
        self._hash = hash(hashes)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Regions) or self._hashes != other._hashes:
            return False
        return _keys_of_regions(self._op, {}) == _keys_of_regions(other._op, {})


def _merge(block: Block, known: dict[Hashable, Operation], hashed: bool) -> int:
    """Merge what is equal in `block` or to what is `known` around it.

    Returns a hash of the operations that are left, if it is to be `hashed`.
    """
    own: list[Hashable] = []
    hashes: list[int] = []
    for op in block:
        regions: tuple[int, ...] = ()
        may_merge = _may_merge(op)
        if op.regions:
            seen = {} if is_isolated(op) else known
            regions = tuple(
                [_merge(inner.block, seen, hashed or may_merge) for inner in op.regions]
            )
        if hashed:
            types = tuple([value.type for value in op.results])
            hashes.append(hash((type(op), len(op.operands), types, regions)))
        if not may_merge:
            continue
        key = _head(op, op.operands), _Regions(op, regions) if regions else None
        earlier = known.get(key)
        if earlier is None:
            known[key] = op
            own.append(key)
        elif earlier.parent is not block and _has_tape(op):
            continue
        else:
            del hashes[-1:]
            merge_into(earlier, op)
    for key in own:
        del known[key]
    if not hashed:
        return 0
    return hash((tuple([value.type for value in block.args]), tuple(hashes)))


def _head(op: Operation, operands: Sequence[Value | int]) -> Hashable:
    """Equal for operations that are equal but perhaps for their regions."""
    # There are two that commute; with both the same, the set has one.
    ordered = frozenset(operands) if Trait.COMMUTATIVE in op.traits else tuple(operands)
    given = op.attributes
    attributes = frozenset([(name, type(v), v) for name, v in given.items()]) if given else None
    return type(op), ordered, attributes, tuple([value.type for value in op.results])


def key_of(op: Operation, numbers: dict[Value, int] | None = None) -> Hashable:
    """Equal for operations that compute the same from the same values.

    `numbers` numbers the values defined inside an enclosing operation that is being compared.
    """
    numbers = {} if numbers is None else numbers
    operands = [numbers.get(value, value) for value in op.operands]
    return _head(op, operands), _keys_of_regions(op, numbers)


def _keys_of_regions(op: Operation, numbers: dict[Value, int]) -> Hashable:
    return tuple([_key_of_block(inner.block, numbers) for inner in op.regions])


def _key_of_block(block: Block, numbers: dict[Value, int]) -> Hashable:
    for value in block.args:
        numbers[value] = len(numbers)
    keys: list[Hashable] = [tuple(value.type for value in block.args)]
    for op in block:
        keys.append(key_of(op, numbers))
        for value in op.results:
            numbers[value] = len(numbers)
    return tuple(keys)
