"""Arithmetic operators on checked operands."""

from __future__ import annotations

from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics import typed
from dmc.semantics.builtins.elementwise import (
    ADD,
    DIVIDE,
    FLOOR_DIVIDE,
    MULTIPLY,
    POWER,
    REMAINDER,
    SUBTRACT,
)
from dmc.semantics.context import Context
from dmc.semantics.operators import apply, needs, needs_number
from dmc.semantics.types import (
    Hole,
    TensorType,
    pruned,
    resolved,
)
from dmc.syntax import ast

__all__ = ["binary"]

_BINARY = {
    ast.BinaryOp.ADD: ADD,
    ast.BinaryOp.SUBTRACT: SUBTRACT,
    ast.BinaryOp.MULTIPLY: MULTIPLY,
    ast.BinaryOp.DIVIDE: DIVIDE,
    ast.BinaryOp.FLOOR_DIVIDE: FLOOR_DIVIDE,
    ast.BinaryOp.REMAINDER: REMAINDER,
    ast.BinaryOp.POWER: POWER,
}


def binary(
    context: Context,
    op: ast.BinaryOp,
    left: typed.Node,
    right: typed.Node,
    span: Span,
    left_span: Span,
    right_span: Span,
) -> typed.Node:
    """An arithmetic operator other than `@` on checked operands."""
    needs_number(context, op.value, left, left_span)
    needs_number(context, op.value, right, right_span)
    function = _BINARY[op]
    if function is POWER:
        return _power(context, left, right, span, left_span, right_span)
    for operand, place in ((left, left_span), (right, right_span)):
        if isinstance(pruned(operand.type), TensorType | Hole):
            needs(context, function, function.operands, operand, place)
    return apply(context, function, (left, right), span, (left_span, right_span))


def _power(
    context: Context,
    left: typed.Node,
    right: typed.Node,
    span: Span,
    left_span: Span,
    right_span: Span,
) -> typed.Node:
    """`x ** 2` keeps its whole exponent whatever the type of x; other exponents mix as usual."""
    exponent = pruned(right.type)
    whole = isinstance(right, typed.Literal | typed.SizeValue) and not (
        isinstance(right, typed.Literal) and isinstance(right.value, float)
    )
    if not whole and isinstance(exponent, TensorType) and not exponent.shape:
        element = resolved(exponent.element)
        whole = isinstance(element, DType) and element.is_integer
    if whole:
        power = typed.Apply(left.type, span, POWER, (left, right))
        if isinstance(right, typed.Literal) and right.value < 0:
            context.reciprocals.append(power)
        return power
    return apply(context, POWER, (left, right), span, (left_span, right_span))
