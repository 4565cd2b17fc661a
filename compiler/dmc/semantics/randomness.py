"""Keys and draws."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.ir.types import DType
from dmc.semantics import typed
from dmc.semantics.context import Context
from dmc.semantics.operators import (
    needs_float,
)
from dmc.semantics.resolver import shape_items, try_size
from dmc.semantics.types import (
    KeyType,
    Number,
    NumberKind,
    TensorType,
    TupleType,
    Type,
    pruned,
    resolved,
)
from dmc.syntax import ast

__all__ = ["check_draw", "check_fold", "check_split"]


def _key(context: Context, name: str, arguments: Sequence[ast.Expr], node: ast.Call) -> typed.Node:
    if not arguments:
        raise context.fail("call.count", f"`{name}` needs a key", node.span)
    key = context.check(arguments[0])
    if not isinstance(pruned(key.type), KeyType):
        raise context.fail(
            "type.operand", f"`{name}` takes a Key, not {pruned(key.type)}", arguments[0].span
        )
    return key


def check_split(context: Context, arguments: Sequence[ast.Expr], node: ast.Call) -> typed.Node:
    """`split(key)`, `split(key, 3)`: keys as a tuple."""
    key = _key(context, "split", arguments, node)
    count = 2
    if len(arguments) > 1:
        size = try_size(context, arguments[1])
        constant = size.constant if size is not None else None
        if constant is None or constant < 1 or len(arguments) > 2:
            raise context.fail(
                "call.count", "`split(key, n)` takes a literal count", arguments[1].span,
                help=["for many keys fold the index in: `fold(key, i)`"],
            )  # fmt: skip
        count = constant
    return typed.SplitKey(TupleType((KeyType(),) * count), node.span, key, count)


def check_fold(context: Context, arguments: Sequence[ast.Expr], node: ast.Call) -> typed.Node:
    """`fold(key, i)`."""
    key = _key(context, "fold", arguments, node)
    if len(arguments) != 2:
        raise context.fail("call.count", "`fold` takes a key and a number", node.span)
    data = context.check(arguments[1])
    type_ = pruned(data.type)
    element = resolved(type_.element) if isinstance(type_, TensorType) else None
    if isinstance(element, Number) and element.kind is not NumberKind.FLOAT:
        element.kind = NumberKind.INTEGER
    elif not (isinstance(element, DType) and element.is_integer):
        raise context.fail("type.operand", f"`fold` takes a whole number, not {type_}", data.span)
    if isinstance(type_, TensorType) and type_.shape:
        raise context.fail("type.operand", f"`fold` takes one number, not {type_}", data.span)
    return typed.FoldKey(KeyType(), node.span, key, data)


def check_draw(
    context: Context,
    distribution: typed.Distribution,
    bracket: ast.Bracket | None,
    arguments: Sequence[ast.Expr],
    node: ast.Call,
) -> typed.Node:
    """`normal[B](key)`, `uniform(key)`, `bernoulli[*S](key, p)`."""
    name = distribution.value
    key = _key(context, name, arguments, node)
    count = 2 if distribution is typed.Distribution.BERNOULLI else 1
    if len(arguments) != count:
        takes = "a key and a probability" if count == 2 else "a key"
        raise context.fail("call.count", f"`{name}` takes {takes}", node.span)
    parameters = tuple(context.check(argument) for argument in arguments[1:])
    for parameter in parameters:
        needs_float(context, name, parameter, parameter.span)
        type_ = pruned(parameter.type)
        if isinstance(type_, TensorType) and type_.shape:
            raise context.unsupported("a probability for each element", parameter.span)
    shape = shape_items(context, bracket) if bracket is not None else None
    type_: Type
    if distribution is typed.Distribution.BERNOULLI:
        type_ = TensorType(DType.BOOL, shape or ())
    elif shape is not None:
        type_ = TensorType(context.number(NumberKind.FLOAT), shape)
    else:
        type_ = context.hole(NumberKind.FLOAT)
    return typed.Draw(type_, node.span, distribution, key, parameters)
