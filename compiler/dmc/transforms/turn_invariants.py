"""What products in a loop take from outside of it lies as they read it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from dmc.dialects import control, func, kernel
from dmc.ir import AffineMap, ArrayAttr, Builder, Module, Operation, Value, shape_of
from dmc.ir.passes import Pass
from dmc.transforms.common import code, is_inside, is_loop
from dmc.transforms.streams.rows import transposed

LEAST = 16
"""Rows and columns of products that are worth it; fewer are not summed as products of matrices."""

MOST_ROWS = 48
"""More rows repay turning a factor as it is packed: as many multiply-adds wait for each element."""


@dataclass(frozen=True)
class TurnInvariants(Pass):
    """Turn a factor once, in front of the loop in which products read it against its order.

    The columns of a product run along the lanes, and are packed from neighbours; a factor whose
    rows lie along the sum instead (the weights in `h @ w.T`) is turned first. Where the factor
    does not change in the loop, as the weights of a recurrent network do not, it is turned in front
    of it. No sum changes its order.
    """

    name = "turn-invariants"

    def run(self, module: Module) -> None:
        for function in func.functions(module):
            for op in list(code(function)):
                if isinstance(op, kernel.Generic):
                    _turn(op)


def _turn(op: kernel.Generic) -> None:
    product = op.matrix_product()
    if product is None or op.stored or len(op.reduction) != 1:
        return
    (summed,), column = op.reduction, op.result_maps[0].results[-1:]
    along = column[0].single_dimension() if column else None
    rows = [product.n, product.m]
    for index, own, others in zip((product.lhs, product.rhs), rows[::-1], rows, strict=True):
        if along in own and LEAST <= prod(op.space[d] for d in others) <= MOST_ROWS:
            assert along is not None
            _turn_factor(op, index, along, summed)


def _turn_factor(op: kernel.Generic, index: int, along: int, summed: int) -> None:
    """Let `along` be the last axis of an operand instead of `summed`, if a loop repays it."""
    read, value = op.operand_maps[index], op.operands[index]
    picked, loop = read.picked(), _loop_around(op, value)
    if picked is None or loop is None or picked[-1] != summed or op.space[along] < LEAST:
        return
    if tuple(op.space[d] for d in picked) != shape_of(value.type):
        return
    axis = picked.index(along)
    order = [*(other for other in range(len(picked)) if other != axis), axis]
    builder = Builder.ahead_of(loop)
    builder.location = op.location.by(TurnInvariants.name)
    op.set_operand(index, transposed(builder, value, order))
    maps = list(op.affine_maps)
    maps[index] = AffineMap(read.dimensions, tuple(read.results[other] for other in order))
    op.attributes["maps"] = ArrayAttr(tuple(maps))


def _loop_around(op: Operation, value: Value) -> Operation | None:
    """The outermost loop around `op`, with nothing but loops between, that takes `value` as is."""
    found: Operation | None = None
    at = op.parent_op
    while at is not None and is_loop(at) and not is_inside(value, at):
        if not (isinstance(at, control.For) and at.extent == 1):
            found = at
        at = at.parent_op
    return found
