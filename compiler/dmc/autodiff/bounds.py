"""Bounds of integers that follow from the loops around them."""

from __future__ import annotations

from dmc.dialects import arith
from dmc.dialects.elementwise import splat_of
from dmc.dialects.flow import ControlFlow
from dmc.ir import Value

Bounds = tuple[int, int]
"""The least and the greatest value, both included."""


def bounds_of(value: Value) -> Bounds | None:
    """The values that a 0-d integer can take, where the loops around and arithmetic tell."""
    op = value.defining_op
    if op is None:
        loop = value.parent_block.parent_op if value.parent_block is not None else None
        limit = loop.indexes().get(value) if isinstance(loop, ControlFlow) else None
        return None if limit is None else (0, max(limit - 1, 0))
    known = splat_of(value)
    if known is not None:
        return int(known), int(known)
    inner = [bounds_of(operand) for operand in op.operands]
    match op, inner:
        case arith.Add(), [(a, b), (c, d)]:
            return a + c, b + d
        case arith.Subtract(), [(a, b), (c, d)]:
            return a - d, b - c
        case arith.Multiply(), [(a, b), (c, d)]:
            ends = (a * c, a * d, b * c, b * d)
            return min(ends), max(ends)
        case arith.FloorDivide(), [(a, b), (c, d)] if c == d and c > 0:
            return a // c, b // c
        case arith.Remainder(), [_, (c, d)] if c == d and c > 0:
            return 0, c - 1
        case arith.Minimum(), [(a, b), (c, d)]:
            return min(a, c), min(b, d)
        case arith.Maximum(), [(a, b), (c, d)]:
            return max(a, c), max(b, d)
        case arith.Convert(), [(a, b)]:
            return a, b
        case _:
            return None
