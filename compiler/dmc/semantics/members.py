"""`base.name`: fields of records; what arrays and tuples have instead."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.semantics import elsewhere, typed
from dmc.semantics.builtins.reduction import Reduction
from dmc.semantics.context import Context, Stop
from dmc.semantics.library import import_help, modules_with
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
    text = _in_prelude(context, name, given, arguments)
    if text is not None:
        return f"it is a function: `{text}`"
    return elsewhere.method_advice(name, given) or import_help(name)


def _in_prelude(
    context: Context, name: str, given: Sequence[str], arguments: Sequence[ast.Argument]
) -> str | None:
    """A call of a function of the prelude, if that is what is named."""
    known = context.prelude.get(name)
    if known is None or not context.is_prelude_function(name):
        return None
    if isinstance(known, Reduction):
        return _reduction(known, given, arguments)
    form = known.doc.split("`")[1] if known.doc else f"{name}(x)"
    return elsewhere.filled(form, ("x", "n"), given)


def of_package(
    context: Context, package: ast.Name, name: ast.Identifier, arguments: Sequence[ast.Argument]
) -> Exception | None:
    """The error for `np.sum(x)`: a name of a library of Python's that dm has without it, if any."""
    is_density = name.text in ("logpdf", "logpmf", "pdf", "pmf", "log_prob")
    if package.text not in elsewhere.PACKAGES and not is_density:
        return None
    given = [context.quote(argument.value) for argument in arguments if argument.name is None]
    modules = modules_with(name.text)
    if is_density:
        help_ = "log densities are in the module random, as in `from random import normal_logpdf`"
    elif package.text in modules:
        help_ = f"load the module first: `import {package.text}`"
    else:
        text = _in_prelude(context, name.text, given, arguments) if given else None
        alone = f"functions of arrays stand alone: `{text}`" if text is not None else None
        help_ = alone or elsewhere.advice(name.text, given) or import_help(name.text)
    if help_ is None:
        return None
    title = f"unknown name `{package.text}`"
    return context.fail("name.unknown", title, package.span, "", (), [help_])


def _reduction(known: Reduction, given: Sequence[str], arguments: Sequence[ast.Argument]) -> str:
    """`x.sum(axis = 0)` as a call: the axis stands in brackets."""
    axis = given[1] if len(given) > 1 else "-1" if known.keeps_shape else ""
    for argument in arguments:
        if isinstance(argument.value, ast.IntLit):
            axis = str(argument.value.value)
    return f"{known}[{axis}]({given[0]})" if axis else f"{known}({given[0]})"
