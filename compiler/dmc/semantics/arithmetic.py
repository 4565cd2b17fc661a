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
    Number,
    NumberKind,
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
    if function is DIVIDE:
        _refuse_whole(context, (left, right), (left_span, right_span), span)
    for operand, place in ((left, left_span), (right, right_span)):
        if isinstance(pruned(operand.type), TensorType | Hole):
            needs(context, function, function.operands, operand, place)
    return apply(context, function, (left, right), span, (left_span, right_span))


def _refuse_whole(
    context: Context, operands: tuple[typed.Node, ...], places: tuple[Span, ...], span: Span
) -> None:
    """Report `a / b` of whole numbers, where both roundings may be meant."""
    kept = [_is_whole(operand) for operand in operands]
    adapts = [isinstance(o, typed.Literal | typed.SizeValue) for o in operands]
    if not any(kept) or not all(k or a for k, a in zip(kept, adapts, strict=True)):
        return
    texts = [context.quote(place) for place in places]
    floats = [f"f64({text})" if k else text for text, k in zip(texts, kept, strict=True)]
    raise context.fail(
        "type.operand",
        "`/` needs floats, and these are whole numbers",
        span,
        help=[
            f"divide whole numbers: `{' // '.join(texts)}`",
            f"or convert them: `{' / '.join(floats)}`",
        ],
    )


def _is_whole(node: typed.Node) -> bool:
    """Whether an operand has an integer type, and not one that is still open."""
    type_ = pruned(node.type)
    element = resolved(type_.element) if isinstance(type_, TensorType) else None
    if isinstance(element, Number):
        return element.kind is NumberKind.INTEGER
    return isinstance(element, DType) and element.is_integer


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
