"""Calls of the prelude: elementwise functions, reductions, shapes, randomness."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics import prelude, typed
from dmc.semantics.agreement import expect
from dmc.semantics.arrays import ARRAYS
from dmc.semantics.axes import choose_axes, take_arguments
from dmc.semantics.builders import check_index_reduction, is_index
from dmc.semantics.callees import check_lambda, derived_value
from dmc.semantics.context import Context
from dmc.semantics.inference import leaf_element, unify
from dmc.semantics.operators import (
    apply,
    broadcast_shapes,
    is_record,
    needs_bool,
    needs_float,
    needs_number,
)
from dmc.semantics.randomness import check_draw, check_fold, check_split
from dmc.semantics.typed import AxisChoice, Reduction
from dmc.semantics.types import (
    Element,
    FunctionType,
    Hole,
    Pack,
    RecordName,
    TensorType,
    Type,
    gradient_type,
    leaves,
    pruned,
    resolved,
    scalar,
)
from dmc.syntax import ast

__all__ = ["check_builtin", "check_elementwise"]


def check_builtin(
    context: Context,
    name: str,
    bracket: ast.Bracket | None,
    node: ast.Call,
    expected: Type | None,
) -> typed.Node:
    """A call of a function of the prelude."""
    if name in prelude.PLANNED:
        raise context.unsupported(f"`{name}`", node.function.span)
    if name in prelude.REDUCTIONS:
        return _reduction(context, Reduction(name), bracket, node)
    if name in prelude.OPERATORS:
        return derived_value(context, node, expected)
    arguments = _positional(context, name, node)
    match name:
        case "split":
            return check_split(context, arguments, node)
        case "fold":
            return check_fold(context, arguments, node)
        case "normal" | "uniform" | "bernoulli":
            return check_draw(context, typed.Distribution(name), bracket, arguments, node)
        case "map":
            return _map(context, arguments, node)
        case _:
            pass
    values = [context.check(argument) for argument in arguments]
    if name == "where":
        return _where(context, bracket, values, node)
    return ARRAYS[name](context, bracket, values, node)


def _positional(context: Context, name: str, node: ast.Call) -> list[ast.Expr]:
    for argument in node.arguments:
        if argument.name is not None:
            about_axes = argument.name.text in ("axis", "axes", "dim", "keepdims")
            help_ = ["axes stand in brackets: `sum[1](x)`, `sum[N](x)`"] if about_axes else []
            raise context.fail(
                "call.keyword",
                f"parameters of `{name}` have no names",
                argument.name.span,
                help=help_,
            )
    return [argument.value for argument in node.arguments]


# ---- elementwise ------------------------------------------------------------------------------


def check_elementwise(
    context: Context, name: str, arguments: Sequence[ast.Argument], span: Span
) -> typed.Node:
    """`exp(x)`, `maximum(a, b)`: on numbers, arrays and records."""
    entry = prelude.ELEMENTWISE[name]
    for argument in arguments:
        if argument.name is not None:
            raise context.fail(
                "call.keyword", f"parameters of `{name}` have no names", argument.name.span
            )
    if len(arguments) != entry.arity:
        plural = "argument" if entry.arity == 1 else "arguments"
        raise context.fail(
            "call.count",
            f"`{name}` takes {entry.arity} {plural}, and {len(arguments)} are given",
            span,
        )
    values = [context.check(argument.value) for argument in arguments]
    for value in values:
        if isinstance(pruned(value.type), TensorType | Hole) or is_record(value.type):
            check = needs_float if entry.is_float_only else needs_number
            check(context, name, value, value.span)
    return apply(context, name, values, span, [a.value.span for a in arguments])


def _where(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    take_arguments(context, "where", values, 3, node)
    condition, yes, no = values
    needs_bool(context, "the condition of `where`", condition, condition.span)
    chosen = apply(context, "where", (yes, no), node.span, (yes.span, no.span))
    test, type_ = pruned(condition.type), pruned(chosen.type)
    assert isinstance(test, TensorType)
    if isinstance(type_, Hole):
        type_.target = type_ = TensorType(type_.element, test.shape)
    if not isinstance(type_, TensorType):
        if test.shape:
            raise context.fail("type.operand", "`where` chooses between arrays", node.span)
        return typed.Builtin(type_, node.span, "where", (condition, yes, no))
    shape = broadcast_shapes(context, test.shape, type_.shape)
    if shape is None:
        raise context.fail(
            "shape.broadcast", f"{test} and {type_} do not broadcast", node.span,
            f"the condition is {test}",
        )  # fmt: skip
    return typed.Builtin(TensorType(type_.element, shape), node.span, "where", (condition, yes, no))


# ---- reductions -------------------------------------------------------------------------------


def _reduction(
    context: Context, reduction: Reduction, bracket: ast.Bracket | None, node: ast.Call
) -> typed.Node:
    arguments = _positional(context, reduction.value, node)
    if len(arguments) != 1:
        raise context.fail(
            "call.count",
            f"`{reduction.value}` takes 1 argument, and {len(arguments)} are given",
            node.span,
            help=["element by element: `maximum(a, b)`, `minimum(a, b)`"]
            if reduction in (Reduction.MAX, Reduction.MIN)
            else (),
        )
    if bracket is not None and any(is_index(context, item) for item in bracket.items):
        return check_index_reduction(context, reduction, bracket, arguments[0], node)
    operand = context.check(arguments[0])
    type_ = pruned(operand.type)
    if is_record(type_) and bracket is None and reduction is Reduction.SUM:
        return typed.Reduce(
            scalar(_record_element(context, type_)), node.span, reduction,
            AxisChoice(everything=True), operand,
        )  # fmt: skip
    if not isinstance(type_, TensorType):
        raise context.fail(
            "type.operand", f"`{reduction.value}` does not take {type_}", operand.span, str(type_)
        )
    needs_number(context, reduction.value, operand, operand.span)
    if reduction in (Reduction.MEAN, Reduction.LOGSUMEXP, Reduction.SOFTMAX):
        needs_float(context, reduction.value, operand, operand.span)
    if bracket is None:
        if reduction is Reduction.SOFTMAX:
            raise context.fail(
                "shape.axis", "`softmax` needs its axis", node.span,
                help=[f"along the last axis: `softmax[-1]({context.quote(operand.span)})`"],
            )  # fmt: skip
        axes, shape = AxisChoice(everything=True), ()
    else:
        axes, shape = choose_axes(context, bracket, type_, reduction.value)
    element: Element = type_.element
    if reduction in (Reduction.ARGMAX, Reduction.ARGMIN):
        element = DType.I32
        if len(axes.positions) > 1 or axes.pack_start is not None:
            raise context.fail("shape.axis", f"`{reduction.value}` takes one axis", node.span)
    if reduction is Reduction.SOFTMAX:
        shape = type_.shape
    return typed.Reduce(TensorType(element, shape), node.span, reduction, axes, operand)


def _record_element(context: Context, type_: Type) -> Element:
    if isinstance(type_, RecordName):
        return leaf_element(type_.name)
    elements = {
        resolved(leaf.type.element)
        for leaf in leaves(gradient_type(type_))
        if isinstance(leaf.type, TensorType)
    }
    return elements.pop() if len(elements) == 1 else leaf_element("record")


# ---- records ----------------------------------------------------------------------------------


def _map(context: Context, arguments: Sequence[ast.Expr], node: ast.Call) -> typed.Node:
    if len(arguments) < 2 or not isinstance(arguments[0], ast.Lambda):
        raise context.fail(
            "call.count", "`map` takes a function and records: `map(fn(p) => …, net)`",
            node.span,
        )  # fmt: skip
    trees = [context.check(argument) for argument in arguments[1:]]
    first = pruned(trees[0].type)
    if not is_record(first):
        raise context.fail("type.operand", f"`map` runs over records, not {first}", trees[0].span)
    for tree in trees[1:]:
        if not unify(context.facts, gradient_type(tree.type), gradient_type(first)):
            raise context.fail(
                "type.record", f"{first} and {pruned(tree.type)} have different parts", tree.span
            )
    leaf = TensorType(_record_element(context, first), (Pack("leaf"),))
    wanted = FunctionType((leaf,) * len(trees), leaf)
    function = check_lambda(context, arguments[0], wanted)
    assert isinstance(function, typed.FunctionValue)
    assert isinstance(function.callee, typed.Lambda)
    expect(context, function.callee.body, leaf, arguments[0].body.span, "the value for a leaf")
    return typed.MapLeaves(first, node.span, function.callee, tuple(trees))
