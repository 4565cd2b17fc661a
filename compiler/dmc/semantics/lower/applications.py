"""Chains of elementwise functions; `and` and `or` may leave their right side out."""

from __future__ import annotations

from dmc.ir import Location, shape_of
from dmc.semantics import typed
from dmc.semantics.builtins.elementwise import AND, OR
from dmc.semantics.lower.body import Body, register
from dmc.semantics.lower.elementwise import apply
from dmc.semantics.lower.loops import branch
from dmc.semantics.lower.values import Array, Lowered, Static
from dmc.semantics.types import TensorType

_MAY_FAIL = (typed.Access, typed.Call, typed.Builtin, typed.While)
"""What may use an index that is outside, or go on for ever."""


def _apply(body: Body, node: typed.Apply) -> Lowered:
    first, applications = typed.chain(node)
    value = body.lower(first)
    for each in applications:
        if _is_guard(body, value, each):
            value = _guarded(body, value, each)
            continue
        operands = [value, *(body.lower(operand) for operand in each.operands[1:])]
        body.builder.location = Location(each.span)
        value = apply(body, each.function, operands, each)
    return value


def _is_guard(body: Body, left: Lowered, node: typed.Apply) -> bool:
    """Whether `left` decides if the right side may be evaluated: both are single values.

    Where the right side cannot fail it makes no difference, and a plain `and` tells more.
    """
    if node.function not in (AND, OR) or not isinstance(left, Array | Static):
        return False
    if isinstance(left, Array) and shape_of(left.value.type):
        return False
    right = node.operands[1]
    type_ = body.type(right)
    single = isinstance(type_, TensorType) and not type_.shape
    return single and any(isinstance(inner, _MAY_FAIL) for inner in typed.walk(right))


def _guarded(body: Body, left: Lowered, node: typed.Apply) -> Lowered:
    """`if left { right } else { false }`, or for `or`, `if left { true } else { right }`."""
    right = node.operands[1]
    decided = node.function is OR
    if isinstance(left, Static):
        return left if left.value is decided else body.lower(right)
    assert isinstance(left, Array)
    body.builder.location = Location(node.span)
    known = typed.Literal(right.type, right.span, decided)
    then, otherwise = (known, right) if decided else (right, known)
    return branch(body, left, then, otherwise, body.type(right))


register(typed.Apply, _apply)
