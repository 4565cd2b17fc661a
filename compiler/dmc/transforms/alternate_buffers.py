"""Two iterations of a loop as one, where a state goes from one buffer to another and back.

What a kernel makes of a state whose neighbours it reads cannot be written over the state. Of two
iterations each writes where the other reads, and nothing is copied; memory is planned as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmc.dialects import arith, control, kernel
from dmc.ir import Block, Builder, Module, Value
from dmc.ir.passes import Pass
from dmc.ir.rewriter import replace_op
from dmc.transforms.common import is_loop
from dmc.transforms.generics import is_tensor


@dataclass(frozen=True)
class AlternateBuffers(Pass):
    """Let innermost loops take two steps at a time where that saves copying what they carry.

    Loops that scan or stack stay: they take one slice for each iteration.
    """

    name = "alternate-buffers"

    def run(self, module: Module) -> None:
        for op in list(module.walk()):
            if isinstance(op, control.For) and _is_plain(op) and _copies(op):
                _pair(op)


def _is_plain(op: control.For) -> bool:
    """Whether a loop only carries, a known number of times, and has no loop inside."""
    inner = any(is_loop(each) for each in op.body)
    return op.trip_count >= 2 and not op.scanned and not op.stacks and not inner


def _copies(op: control.For) -> bool:
    """Whether a kernel reads a carried tensor elsewhere than where it writes the next one."""
    for arg, value in zip(op.carried_args, op.next_values, strict=True):
        made = value.defining_op
        if not is_tensor(arg) or not isinstance(made, kernel.Generic):
            continue
        write = made.result_maps[value.index]
        pairs = zip(made.operands, made.operand_maps, strict=True)
        if any(read is arg and (made.reduction or map_ != write) for read, map_ in pairs):
            return True
        if any(load.source is arg for load in made.loads()):
            return True
    return False


def _pair(op: control.For) -> None:
    builder = Builder.ahead_of(op)
    builder.location = op.location
    pairs, odd = divmod(op.trip_count, 2)
    body = Block([arg.type for arg in op.body.args], [arg.name for arg in op.body.args])
    inside = Builder(body, location=op.location)
    twice = arith.multiply(inside, body.args[0], arith.index(inside, 2))
    values: Sequence[Value] = body.args[1:]
    # Of an odd number the last iteration, which a reversed loop begins to count from, is left.
    for step in (1 + odd, odd) if op.reverse else (0, 1):
        values = _iteration(inside, op, arith.add(inside, twice, arith.index(inside, step)), values)
    control.make_yield(inside, values)
    count = arith.index(builder, pairs)
    values = control.make_for(builder, count, op.inits, [], body, pairs, reverse=op.reverse).results
    if odd:
        last = arith.index(builder, 0 if op.reverse else op.trip_count - 1)
        values = _iteration(builder, op, last, values)
    replace_op(op, values)


def _iteration(
    builder: Builder, op: control.For, index: Value, carried: Sequence[Value]
) -> list[Value]:
    """One iteration of a loop: the next values."""
    mapping = dict(zip(op.body.args, [index, *carried], strict=True))
    for inner in op.body:
        if inner is not op.body.terminator:
            builder.insert(inner.clone(mapping))
    return [mapping.get(value, value) for value in op.next_values]
