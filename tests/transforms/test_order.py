"""Operations are moved next to each other exactly when nothing lies between them."""

from __future__ import annotations

import numpy as np
import pytest

from dmc.dialects import arith
from dmc.ir import Block, Builder, DType, Operation, TensorType, Value
from dmc.transforms.order import Dependences

F64 = TensorType((), DType.F64)


def program(seed: int, length: int) -> Block:
    """Additions of earlier values, mostly of recent ones."""
    random = np.random.default_rng(seed)
    block = Block([F64])
    builder = Builder(block)
    values: list[Value] = [block.args[0]]
    for _ in range(length):
        near = [max(len(values) - 1 - int(random.geometric(0.3)), 0) for _ in range(2)]
        values.append(arith.add(builder, values[near[0]], values[near[1]]))
    return block


def needed_by(op: Operation) -> set[Operation]:
    """All that `op` needs, and itself."""
    found = {op}
    for value in op.operands:
        if value.defining_op is not None:
            found |= needed_by(value.defining_op)
    return found


def is_in_order(block: Block) -> bool:
    seen: set[Value] = set(block.args)
    for op in block:
        if not seen.issuperset(op.operands):
            return False
        seen.update(op.results)
    return True


@pytest.mark.parametrize("seed", range(20))
def test_what_lies_between_decides(seed: int) -> None:
    block = program(seed, 12)
    dependences = Dependences(block)
    for first in list(block):
        for second in list(block):
            if not first.is_before(second):
                continue
            between = needed_by(second) - {first, second}
            allowed = not any(first in needed_by(op) for op in between)
            before = list(block)
            found = dependences.bring_together(first, second)
            assert (found is None) == allowed
            assert is_in_order(block)
            if found is not None:
                assert list(block) == before
                assert found in between
                assert first in needed_by(found)
            else:
                assert not any(first.is_before(op) for op in between)


@pytest.mark.parametrize("seed", range(20))
def test_joining_keeps_what_is_known(seed: int) -> None:
    """Pairs are joined into one sum of all that both read, as long as two may be."""
    block = program(seed, 16)
    dependences = Dependences(block)
    joined = True
    while joined:
        joined = False
        for first in list(block):
            for second in [user for user in first.results[0].users if first.is_before(user)]:
                between = needed_by(second) - {first, second}
                allowed = not any(first in needed_by(op) for op in between)
                found = dependences.bring_together(first, second)
                assert (found is None) == allowed
                assert found is None or (found in between and first in needed_by(found))
                if allowed:
                    dependences.joined(first, second, replace_both(first, second))
                    joined = True
                    break
            if joined:
                break
    assert is_in_order(block)


def replace_both(first: Operation, second: Operation) -> Operation:
    reads = dict.fromkeys((*first.operands, *second.operands))
    builder = Builder.ahead_of(first)
    new = builder.insert(
        Operation([value for value in reads if value.owner is not first], {}, (), [F64])
    )
    for op in (second, first):
        op.results[0].replace_all_uses_with(new.results[0])
    for op in (second, first):
        op.erase()
    return new
