"""`@`: the contraction of the last axis of one operand with the first free axis of the other."""

from __future__ import annotations

from dmc.semantics import typed
from dmc.semantics.builtins.selection import MATMUL
from dmc.semantics.context import Context
from dmc.semantics.inference import join, same_axis, same_shape
from dmc.semantics.operators import agreed_type, needs_number
from dmc.semantics.types import Shape, TensorType, pruned
from dmc.syntax import ast

__all__ = ["check_matmul"]


def check_matmul(context: Context, node: ast.Binary) -> typed.Node:
    """`x @ w`: vectors, matrices, leading axes of `x` kept, equal batch axes of both."""
    left, right = context.check(node.left), context.check(node.right)
    a, b = pruned(left.type), pruned(right.type)
    for operand, type_, place in ((left, a, node.left), (right, b, node.right)):
        if not isinstance(type_, TensorType) or not type_.shape:
            raise context.fail(
                "shape.rank", f"`@` contracts arrays, not {type_}", place.span, str(type_),
                help=["scalars multiply with `*`"],
            )  # fmt: skip
        needs_number(context, "@", operand, place.span)
    assert isinstance(a, TensorType)
    assert isinstance(b, TensorType)
    element = join(a.element, b.element)
    if element is None:
        agreed_type(context, MATMUL, (left, right), node.span, (node.left.span, node.right.span))
        raise context.fail("type.mixed", f"{a} and {b} do not mix", node.span)
    shape = _contract(context, a.shape, b.shape)
    if shape is None:
        raise _no_contraction(context, node, a, b)
    return MATMUL.apply(TensorType(element, shape), node.span, (left, right))


def _contract(context: Context, left: Shape, right: Shape) -> Shape | None:
    if not same_shape(context.facts, left[-1:], right[-2:][:1]):
        return None
    if len(right) == 1:
        return left[:-1]
    batch = right[:-2]
    if not batch:
        return (*left[:-1], *right[-1:])
    if len(left) > 1 and same_shape(context.facts, left[:-2], batch):
        return (*left[:-1], *right[-1:])
    return None


def _no_contraction(context: Context, node: ast.Binary, a: TensorType, b: TensorType) -> Exception:
    (last,), (inner,) = a.shape[-1:], b.shape[-2:][:1]
    left, right = context.quote(node.left), context.quote(node.right)
    help_: list[str] = []
    if len(b.shape) > 1 and _fits(context, a, _transposed(b.shape)):
        help_ = [f"contract the {last} axes: `{left} @ {_grouped(right)}.T`"]
    elif len(a.shape) > 1 and _fits(context, TensorType(a.element, _transposed(a.shape)), b.shape):
        help_ = [f"contract the {a.shape[-2:][0]} axes: `{_grouped(left)}.T @ {right}`"]
    title = f"`@` contracts {last} with {inner}"
    if same_axis(context.facts, last, inner):
        title = "the leading axes of `@` differ"
    return context.fail(
        "shape.matmul", title, node.span, f"{left} is {a}, {right} is {b}", help=help_
    )


def _fits(context: Context, left: TensorType, right: Shape) -> bool:
    return _contract(context, left.shape, right) is not None


def _transposed(shape: Shape) -> Shape:
    return (*shape[:-2], *shape[-1:], *shape[-2:-1])


def _grouped(text: str) -> str:
    return text if all(c.isalnum() or c in "_.[](), " for c in text) else f"({text})"
