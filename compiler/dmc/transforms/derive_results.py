"""What follows cheaply from another result of the same kernel is computed where it is read.

Derivatives read what is on the way to a value: the argument of an activation, where it is clamped,
and half of it. One array of these is moved through memory, not three.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dmc.dialects import arith, func, kernel
from dmc.ir import ArrayAttr, Block, Builder, Module, Operation, Value
from dmc.ir.passes import Pass
from dmc.transforms.common import code
from dmc.transforms.remat.prune import prune_results

MOST = 4
"""How many operations a result may be away from the one it is computed from."""

_CHEAP = (
    arith.Abs, arith.Add, arith.Maximum, arith.Minimum, arith.Multiply, arith.Negate, arith.Relu,
    arith.Subtract,
)  # fmt: skip


@dataclass(frozen=True)
class DeriveResults(Pass):
    """Let maps and epilogues compute operands from others instead of reading them."""

    name = "derive-results"

    def run(self, module: Module) -> None:
        for function in func.functions(module):
            changed = [_derive(op) for op in list(code(function)) if isinstance(op, kernel.Generic)]
            if any(changed):
                prune_results(function)


def _derive(op: kernel.Generic) -> bool:
    """Free the results of a kernel that follow from others; whether there are any."""
    if op.columns or op.outside.items:
        return False
    block = op.epilogue if op.reduction else op.body
    values = block.terminator.operands
    maps = op.result_maps
    kept = list(range(len(values) if op.reduction else len(op.results)))
    for at in reversed(kept):
        bases = [i for i in kept if i != at and maps[i] == maps[at] and op.results[i].uses]
        for base in bases:
            chain = _chain(values[at], values[base])
            if chain and all(_can_derive(*use, op) for use in op.results[at].uses):
                # The last operand first: those behind one that is dropped move.
                for user, index in sorted(op.results[at].uses, key=lambda use: -use[1]):
                    assert isinstance(user, kernel.Generic)
                    _replace(user, index, op.results[base], values[base], chain)
                kept.remove(at)
                break
    return len(kept) < len(values)


def _chain(value: Value, base: Value) -> list[Operation]:
    """The cheap operations that lead from `base` to `value`, in order; none if there is no way."""
    found: dict[Operation, None] = {}

    def visit(value: Value) -> bool:
        op = value.defining_op
        if value is base or op in found:
            return True
        known = isinstance(op, arith.Constant) or (isinstance(op, _CHEAP) and len(found) < 2 * MOST)
        if op is not None and known and all(visit(v) for v in op.operands):
            found[op] = None
            return True
        return False

    reached = value is not base and visit(value)
    far = sum(not isinstance(op, arith.Constant) for op in found) > MOST
    return list(found) if reached and not far and _reads(found, base) else []


def _reads(ops: dict[Operation, None], base: Value) -> bool:
    return any(base in op.operands for op in ops)


def _can_derive(user: Operation, index: int, maker: kernel.Generic) -> bool:
    """Whether a use is one by a map or an epilogue next to the kernel."""
    if not isinstance(user, kernel.Generic) or user.parent is not maker.parent:
        return False
    return index >= user.body_count or not user.reduction


def _replace(
    user: kernel.Generic, index: int, source: Value, base: Value, chain: Sequence[Operation]
) -> None:
    """Let a kernel compute operand `index` from `source`."""
    arg = _arg(user, index)
    known = next((k for k in _alike(user, index) if user.operands[k] is source), None)
    given = arg if known is None else _arg(user, known)
    block = arg.owner
    assert isinstance(block, Block)
    mapping = {base: given}
    first = block.first
    assert first is not None
    builder = Builder.ahead_of(first)
    made = [builder.insert(op.clone(mapping, op.location.by(DeriveResults.name))) for op in chain]
    ours = set(made)
    for op, place in list(arg.uses):
        if op not in ours:
            op.set_operand(place, made[-1].results[0])
    if known is None:
        user.set_operand(index, source)
    else:
        _drop(user, index)


def _arg(user: kernel.Generic, index: int) -> Value:
    """The argument that stands for an operand."""
    if index < user.body_count:
        return user.body.args[index]
    return user.epilogue.args[len(user.reduced) + index - user.body_count]


def _alike(user: kernel.Generic, index: int) -> Iterator[int]:
    """The operands of the same block that are read at the same places."""
    maps, count = user.operand_maps, user.body_count
    for k, map_ in enumerate(maps):
        if k != index and map_ == maps[index] and (k < count) == (index < count):
            yield k


def _drop(user: kernel.Generic, index: int) -> None:
    """Take an operand that nothing reads away."""
    arg = _arg(user, index)
    block = arg.owner
    assert isinstance(block, Block)
    maps = user.maps.items
    if index >= user.body_count:
        user.attributes["epilogue_operands"] = user.epilogue_operands - 1
    block.erase_arg(block.args.index(arg))
    user.set_operands([v for k, v in enumerate(user.operands) if k != index])
    user.attributes["maps"] = ArrayAttr((*maps[:index], *maps[index + 1 :]))
