"""Which operands of products are guarded: whose zeros absorb what they are multiplied with."""

from __future__ import annotations

from dmc.dialects import arith, tensor
from dmc.ir import Builder, Value
from dmc.ir.rewriter import replace_op

Guarded = arith.Product | tensor.DotGeneral
"""The operations that may be guarded."""


def guard(op: Guarded, lhs: bool, rhs: bool) -> Value | None:
    """Let exactly these operands absorb; what replaces the result, if that is another value now."""
    if (lhs, rhs) == (op.lhs_absorbs, op.rhs_absorbs):
        return None
    if isinstance(op, tensor.DotGeneral):
        op.attributes["lhs_absorbs"], op.attributes["rhs_absorbs"] = lhs, rhs
        return None
    builder = Builder.ahead_of(op)
    with builder.at(op.location):
        new = arith.product(builder, op.lhs, op.rhs, lhs, rhs)
    replace_op(op, [new])
    return new
