"""Functions of the prelude that move, join and make arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dmc.ir.types import DType
from dmc.semantics import typed
from dmc.semantics.agreement import expect
from dmc.semantics.axes import axis_position, one_axis, take_arguments, tensor_operand
from dmc.semantics.context import Context
from dmc.semantics.inference import same_axis, unify
from dmc.semantics.operators import apply, needs_float
from dmc.semantics.resolver import DTYPES, dtype_named, shape_items
from dmc.semantics.sizes import Size
from dmc.semantics.types import (
    Axis,
    NumberKind,
    Pack,
    Shape,
    TensorType,
    TupleType,
    pruned,
    resolved,
    scalar,
)
from dmc.syntax import ast

__all__ = ["ARRAYS"]

Check = Callable[[Context, ast.Bracket | None, Sequence[typed.Node], ast.Call], typed.Node]
"""Checks a call from its brackets and checked arguments."""


def _reshape(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    take_arguments(context, "reshape", values, 1, node)
    type_ = tensor_operand(context, "reshape", values[0])
    if bracket is None:
        raise context.fail("shape.axis", "`reshape` needs a shape: `reshape[B, D](x)`", node.span)
    shape = shape_items(context, bracket)
    old, new = _volume(type_.shape), _volume(shape)
    if old is None or new is None or old[1] != new[1]:
        raise context.fail(
            "shape.reshape", f"{type_} does not reshape to {TensorType(type_.element, shape)}",
            node.span,
        )  # fmt: skip
    answer = context.facts.equal(old[0], new[0])
    if not answer:
        shown = ", ".join(f"{n} = {v}" for n, v in (answer.counterexample or {}).items())
        raise context.fail(
            "shape.reshape",
            f"{type_} does not reshape to {TensorType(type_.element, shape)}",
            node.span,
            f"{old[0]} elements are not {new[0]}" + (f" when {shown}" if shown else ""),
        )
    return typed.Builtin(
        TensorType(type_.element, shape), node.span, "reshape", tuple(values), shape=shape
    )


def _volume(shape: Shape) -> tuple[Size, frozenset[str]] | None:
    total, packs = Size.of(1), frozenset[str]()
    for axis in shape:
        match axis:
            case Size():
                total = total * axis
            case Pack(name):
                packs |= {name}
            case _:
                return None
    return total, packs


def _concat(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    if len(values) < 2:
        raise context.fail("call.count", "`concat` takes at least 2 arguments", node.span)
    first = tensor_operand(context, "concat", values[0])
    axis = one_axis(context, "concat", bracket, first, node)
    total = first.shape[axis]
    for value in values[1:]:
        type_ = tensor_operand(context, "concat", value)
        ok = len(type_.shape) == len(first.shape) and all(
            i == axis or same_axis(context.facts, a, b)
            for i, (a, b) in enumerate(zip(type_.shape, first.shape, strict=True))
        )
        if not ok or not unify(context.facts, scalar(first.element), scalar(type_.element)):
            raise context.fail(
                "shape.mismatch", f"{first} and {type_} do not join along axis {axis}", value.span,
                str(type_), [(values[0].span, str(first))],
            )  # fmt: skip
        length = type_.shape[axis]
        assert isinstance(total, Size)
        assert isinstance(length, Size)
        total = total + length
    shape: Shape = (*first.shape[:axis], total, *first.shape[axis + 1 :])
    return typed.Builtin(
        TensorType(first.element, shape),
        node.span,
        "concat",
        tuple(values),
        (axis_position(first, axis),),
    )


def _pick(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    take_arguments(context, "pick", values, 2, node)
    x, ids = tensor_operand(context, "pick", values[0]), tensor_operand(context, "pick", values[1])
    axis = one_axis(context, "pick", bracket, x, node)
    kept = (*x.shape[:axis], *x.shape[axis + 1 :])
    element = DType.I64 if resolved(ids.element) is DType.I64 else DType.I32
    expect(context, values[1], TensorType(element, kept), values[1].span, "the index of `pick`")
    return typed.Builtin(
        TensorType(x.element, kept), node.span, "pick", tuple(values), (axis_position(x, axis),)
    )


def _cross(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    take_arguments(context, "cross", values, 2, node)
    a = tensor_operand(context, "cross", values[0])
    wanted = TensorType(a.element, (Size.of(3),))
    for value in values:
        expect(context, value, wanted, value.span, "an operand of `cross`")
    return typed.Builtin(wanted, node.span, "cross", tuple(values))


def _rank(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    take_arguments(context, "rank", values, 1, node)
    tensor_operand(context, "rank", values[0])
    type_ = context.untyped(NumberKind.INTEGER)
    return typed.Builtin(type_, node.span, "rank", tuple(values))


def _stop_gradient(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    take_arguments(context, "stop_gradient", values, 1, node)
    return typed.Builtin(values[0].type, node.span, "stop_gradient", tuple(values))


def _one_hot(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    take_arguments(context, "one_hot", values, 1, node)
    ids = tensor_operand(context, "one_hot", values[0])
    if bracket is None or len(bracket.items) != 1:
        raise context.fail("shape.axis", "`one_hot` needs its size: `one_hot[K](y)`", node.span)
    axes = shape_items(context, bracket)
    element = context.number(NumberKind.FLOAT)
    return typed.Builtin(
        TensorType(element, (*ids.shape, *axes)), node.span, "one_hot", tuple(values), shape=axes
    )


def _made(name: str, count: int, kind: NumberKind) -> Check:
    def check(
        context: Context,
        bracket: ast.Bracket | None,
        values: Sequence[typed.Node],
        node: ast.Call,
    ) -> typed.Node:
        if bracket is None and len(values) == 1:
            size = context.quote(values[0].span)
            raise context.fail(
                "shape.axis", f"`{name}` takes its size in brackets", node.span,
                help=[f"write `{name}[{size}]()`"],
            )  # fmt: skip
        take_arguments(context, name, values, 0, node)
        shape: tuple[Axis, ...] = shape_items(context, bracket) if bracket is not None else ()
        if len(shape) != 1:
            raise context.fail("shape.axis", f"`{name}` needs its size: `{name}[N]()`", node.span)
        type_ = TensorType(context.number(kind), shape * count)
        return typed.Builtin(type_, node.span, name, (), shape=shape)

    return check


def _along_axis(name: str, gives: DType | None = None) -> Check:
    """A function of one array along one axis, of the array's shape."""

    def check(
        context: Context,
        bracket: ast.Bracket | None,
        values: Sequence[typed.Node],
        node: ast.Call,
    ) -> typed.Node:
        take_arguments(context, name, values, 1, node)
        type_ = tensor_operand(context, name, values[0])
        axis = axis_position(type_, one_axis(context, name, bracket, type_, node))
        result = TensorType(gives or type_.element, type_.shape)
        return typed.Builtin(result, node.span, name, tuple(values), (axis,))

    return check


def _triangle(name: str) -> Check:
    def check(
        context: Context,
        bracket: ast.Bracket | None,
        values: Sequence[typed.Node],
        node: ast.Call,
    ) -> typed.Node:
        take_arguments(context, name, values, 1, node)
        type_ = tensor_operand(context, name, values[0])
        if len(type_.shape) < 2 or any(isinstance(axis, Pack) for axis in type_.shape[-2:]):
            raise context.fail("shape.rank", f"`{name}` takes a matrix, not {type_}", node.span)
        return typed.Builtin(type_, node.span, name, tuple(values))

    return check


def _top_k(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    take_arguments(context, "top_k", values, 1, node)
    type_ = tensor_operand(context, "top_k", values[0])
    shape = shape_items(context, bracket) if bracket is not None else ()
    if len(shape) != 1 or not type_.shape:
        raise context.fail("shape.axis", "`top_k` needs a count: `top_k[3](x)`", node.span)
    kept = (*type_.shape[:-1], *shape)
    result = TupleType((TensorType(type_.element, kept), TensorType(DType.I32, kept)))
    return typed.Builtin(result, node.span, "top_k", tuple(values), shape=shape)


def _linspace(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    take_arguments(context, "linspace", values, 2, node)
    shape = shape_items(context, bracket) if bracket is not None else ()
    if len(shape) != 1:
        raise context.fail(
            "shape.axis", "`linspace` needs its size: `linspace[N](a, b)`", node.span
        )
    for value in values:
        needs_float(context, "linspace", value, value.span)
    ends = apply(context, "linspace", values, node.span)
    type_ = pruned(ends.type)
    if not isinstance(type_, TensorType) or type_.shape:
        raise context.fail(
            "type.operand", f"`linspace` runs between numbers, not {type_}", node.span
        )
    return typed.Builtin(
        TensorType(type_.element, shape), node.span, "linspace", tuple(values), shape=shape
    )


def _roll(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    take_arguments(context, "roll", values, 2, node)
    type_ = tensor_operand(context, "roll", values[0])
    axis = axis_position(type_, one_axis(context, "roll", bracket, type_, node))
    expect(context, values[1], scalar(DType.I64), values[1].span, "the shift of `roll`")
    return typed.Builtin(type_, node.span, "roll", tuple(values), (axis,))


def _cast(
    context: Context, bracket: ast.Bracket | None, values: Sequence[typed.Node], node: ast.Call
) -> typed.Node:
    take_arguments(context, "cast", values, 1, node)
    item = bracket.items[0] if bracket is not None and len(bracket.items) == 1 else None
    if not isinstance(item, ast.Name) or item.text not in DTYPES:
        raise context.fail("shape.axis", "`cast` needs its type: `cast[f32](x)`", node.span)
    dtype = dtype_named(context, item.text, item.span)
    assert dtype is not None
    type_ = pruned(values[0].type)
    if not isinstance(type_, TensorType):
        raise context.unsupported("casting a record", node.span)
    return typed.Convert(TensorType(dtype, type_.shape), node.span, dtype, values[0])


ARRAYS: dict[str, Check] = {
    "pick": _pick,
    "cast": _cast,
    "rank": _rank,
    "reshape": _reshape,
    "concat": _concat,
    "cross": _cross,
    "stop_gradient": _stop_gradient,
    "cumsum": _along_axis("cumsum"),
    "cumprod": _along_axis("cumprod"),
    "flip": _along_axis("flip"),
    "sort": _along_axis("sort"),
    "argsort": _along_axis("argsort", DType.I32),
    "top_k": _top_k,
    "tril": _triangle("tril"),
    "triu": _triangle("triu"),
    "linspace": _linspace,
    "roll": _roll,
    "one_hot": _one_hot,
    "arange": _made("arange", 1, NumberKind.INTEGER),
    "eye": _made("eye", 2, NumberKind.FLOAT),
}
