"""Calls of elementwise functions and of reductions."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.ir.location import Span
from dmc.semantics import typed
from dmc.semantics.axes import choose_axes
from dmc.semantics.builders import check_index_reduction, is_index
from dmc.semantics.builtins.call import Call, counted, positional
from dmc.semantics.builtins.elementwise import Elementwise
from dmc.semantics.builtins.reduction import Reduction
from dmc.semantics.context import Context
from dmc.semantics.operators import apply, is_record, needs, record_element
from dmc.semantics.typed import AxisChoice
from dmc.semantics.types import Hole, TensorType, pruned, scalar
from dmc.syntax import ast

__all__ = ["check_elementwise", "check_reduction"]


def check_elementwise(
    context: Context, function: Elementwise, arguments: Sequence[ast.Argument], span: Span
) -> typed.Node:
    """`exp(x)`, `maximum(a, b)`: on numbers, arrays and records."""
    operands = positional(context, function, arguments)
    counted(context, function, function.arity, operands, span)
    values = [context.check(operand) for operand in operands]
    for value in values:
        if isinstance(pruned(value.type), TensorType | Hole) or is_record(value.type):
            needs(context, function, function.operands, value, value.span)
    return apply(context, function, values, span, [operand.span for operand in operands])


def check_reduction(call: Call, reduction: Reduction) -> typed.Node:
    """`sum(x)`, `sum[D](x)`, `softmax[-1](x)`, `sum[i](…)`."""
    pair = reduction.pairwise
    call.count(1, help=[f"element by element: `{pair}(a, b)`"] if pair is not None else ())
    context, bracket, node = call.context, call.bracket, call.node
    if bracket is not None and any(is_index(context, item) for item in bracket.items):
        return check_index_reduction(context, reduction, bracket, call.arguments[0], node)
    operand = context.check(call.arguments[0])
    type_ = pruned(operand.type)
    everything = AxisChoice(everything=True)
    if is_record(type_) and bracket is None and reduction.adds_leaves:
        total = scalar(record_element(type_))
        return typed.Reduce(total, node.span, reduction, everything, operand)
    if not isinstance(type_, TensorType):
        raise context.fail(
            "type.operand", f"`{reduction}` does not take {type_}", operand.span, str(type_)
        )
    needs(context, reduction, reduction.operands, operand, operand.span)
    if bracket is None and reduction.keeps_shape:
        raise context.fail(
            "shape.axis", f"`{reduction}` needs its axis", node.span,
            help=[f"along the last axis: `{reduction}[-1]({context.quote(operand.span)})`"],
        )  # fmt: skip
    axes, shape = everything, ()
    if bracket is not None:
        axes, shape = choose_axes(context, bracket, type_, reduction.name)
    if reduction.is_of_one_axis and (len(axes.positions) > 1 or axes.pack_start is not None):
        raise context.fail("shape.axis", f"`{reduction}` takes one axis", node.span)
    if reduction.keeps_shape:
        shape = type_.shape
    result = TensorType(reduction.element or type_.element, shape)
    return typed.Reduce(result, node.span, reduction, axes, operand)
