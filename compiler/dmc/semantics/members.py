"""`base.name`: fields of records; what arrays and tuples have instead."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.semantics import elsewhere, typed
from dmc.semantics.builtins.reduction import Reduction
from dmc.semantics.context import Context, Stop
from dmc.semantics.library import module_with
from dmc.semantics.types import (
    RecordName,
    RecordType,
    StackType,
    TensorType,
    TupleType,
    children,
    gradient_type,
    pruned,
)
from dmc.syntax import ast
from dmc_runtime.spelling import one_of

__all__ = ["field", "no_fields"]


def field(context: Context, base: typed.Node, node: ast.Member) -> typed.Node:
    """`base.name` of a record: a field, or `.params`."""
    name, type_ = node.name.text, pruned(base.type)
    if name == "params" and isinstance(type_, RecordType | RecordName | StackType):
        return typed.ParamsOf(gradient_type(type_), node.span, base)
    parts = {part: inner for part, inner, _ in children(type_)}
    if isinstance(type_, TupleType) or not parts:
        raise no_fields(context, base, node.name)
    if name not in parts:
        raise context.fail(
            "name.field",
            f"{type_} has no field `{name}`",
            node.name.span,
            "",
            [(base.span, str(type_))],
            one_of(name, parts),
        )
    return typed.FieldOf(parts[name], node.span, base, name)


def no_fields(
    context: Context,
    base: typed.Node,
    name: ast.Identifier,
    arguments: Sequence[ast.Argument] = (),
) -> Stop:
    """The error for `base.name`, called with `arguments` if with any, where nothing has fields."""
    type_, quoted = pruned(base.type), context.quote(base.span)
    help_: str | None = None
    if isinstance(type_, TupleType):
        names = ", ".join(f"part_{i}" for i in range(1, len(type_.items) + 1))
        help_ = f"take it apart: `let ({names}) = {quoted}`"
    elif isinstance(type_, TensorType):
        help_ = _of_array(context, type_, quoted, name.text, arguments)
    return context.fail(
        "type.field",
        f"{type_} has no fields",
        name.span,
        "",
        [(base.span, str(type_))],
        [help_] if help_ else (),
    )


def _of_array(
    context: Context,
    type_: TensorType,
    quoted: str,
    name: str,
    arguments: Sequence[ast.Argument],
) -> str | None:
    """What is written for an attribute or a method that arrays have elsewhere."""
    given = [quoted, *(context.quote(a.value) for a in arguments if a.name is None)]
    axes = [str(axis) for axis in type_.shape]
    if name == "shape" and axes:
        return f"sizes have names: {', '.join(f'`{axis}`' for axis in axes)}"
    if name in ("reshape", "view") and given[1:] and "-1" not in given:
        return f"it is a function: `reshape[{', '.join(given[1:]).strip('()')}]({quoted})`"
    if name in ("flatten", "ravel", "reshape", "view") and axes:
        factors = [axis if axis.isalnum() else f"({axis})" for axis in axes]
        return f"it is a function: `reshape[{' * '.join(factors)}]({quoted})`"
    known = context.prelude.get(name)
    if known is not None and context.is_prelude_function(name):
        if isinstance(known, Reduction):
            return f"it is a function: `{_reduction(known, given, arguments)}`"
        form = known.doc.split("`")[1] if known.doc else f"{name}(x)"
        return f"it is a function: `{elsewhere.filled(form, ('x', 'n'), given)}`"
    advice = elsewhere.method_advice(name, given)
    module = module_with(name)
    if advice is None and module is not None:
        return f"it is in the library: `from {module} import {name}`"
    return advice


def _reduction(known: Reduction, given: Sequence[str], arguments: Sequence[ast.Argument]) -> str:
    """`x.sum(axis = 0)` as a call: the axis stands in brackets."""
    axis = given[1] if len(given) > 1 else "-1" if known.keeps_shape else ""
    for argument in arguments:
        if isinstance(argument.value, ast.IntLit):
            axis = str(argument.value.value)
    return f"{known}[{axis}]({given[0]})" if axis else f"{known}({given[0]})"
