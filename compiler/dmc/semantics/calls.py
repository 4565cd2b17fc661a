"""Calls: conversions, the prelude, records, functions, models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dmc.ir.location import Span
from dmc.semantics import typed
from dmc.semantics.agreement import expect
from dmc.semantics.builtins.call import Call, positional
from dmc.semantics.builtins.called import Called
from dmc.semantics.builtins.check import check_elementwise, check_reduction
from dmc.semantics.builtins.derivatives import DerivativeOperator
from dmc.semantics.builtins.elementwise import Elementwise
from dmc.semantics.builtins.reduction import Reduction
from dmc.semantics.callees import check_lambda, derived_value, resolve_function
from dmc.semantics.construct import construct, with_fields
from dmc.semantics.context import Context
from dmc.semantics.differentiation import call_derived, check_directions
from dmc.semantics.handles import (
    DerivedHandle,
    Handle,
    LambdaHandle,
    PreludeHandle,
    TypedHandle,
    UserHandle,
    taken_and_given,
)
from dmc.semantics.primitive import Primitive
from dmc.semantics.program import SourceModule, Use
from dmc.semantics.resolver import (
    element_named,
)
from dmc.semantics.typed import Symbol
from dmc.semantics.types import (
    UNIT,
    Element,
    FunctionType,
    Hole,
    RecordDeclaration,
    TensorType,
    Type,
    pruned,
    stack,
)
from dmc.semantics.user_calls import call_user
from dmc.syntax import ast

__all__ = ["call_handle", "check_call", "check_pipe"]


def check_pipe(context: Context, node: ast.Pipe, expected: Type | None) -> typed.Node:
    """`x |> f(a)` is `f(x, a)`."""
    first = ast.Argument(node.value.span, None, node.value)
    if isinstance(node.stage, ast.Call):
        call = ast.Call(node.span, node.stage.function, (first, *node.stage.arguments))
    else:
        call = ast.Call(node.span, node.stage, (first,))
    return check_call(context, call, expected)


def check_call(context: Context, node: ast.Call, expected: Type | None) -> typed.Node:
    """A call of anything: conversions, the prelude, records, functions, models."""
    function = node.function
    base, bracket = (
        (function.base, function.bracket) if isinstance(function, ast.Index) else (function, None)
    )
    entity: object = None
    if isinstance(base, ast.Name):
        entity = context.lookup(base.text)
        element = element_named(context, base) if bracket is None else None
        if element is not None:
            return _conversion(context, base, element, node)
        if entity is None:
            known = context.prelude.get(base.text)
            if known is not None and not (bracket is None and isinstance(known, Elementwise)):
                called = _call_known(context, known, bracket, node, expected)
                if called is not None:
                    return called
    elif isinstance(base, ast.Member):
        if isinstance(base.base, ast.Name):
            module = context.lookup(base.base.text)
            if isinstance(module, SourceModule):
                entity = module.names.get(base.name.text)
        if base.name.text == "with" and entity is None:
            return with_fields(context, base, node)
    if isinstance(entity, RecordDeclaration):
        return construct(context, entity, bracket, node, expected)
    if isinstance(entity, Symbol) and bracket is None:
        pulled = _pull(context, entity, node)
        if pulled is not None:
            return pulled
    handle = resolve_function(context, function, arguments=node.arguments)
    return call_handle(context, handle, node.arguments, node.span, expected)


def _call_known(
    context: Context,
    known: Primitive,
    bracket: ast.Bracket | None,
    node: ast.Call,
    expected: Type | None,
) -> typed.Node | None:
    """A call of what the prelude has under this name; None when it is not called in this way."""
    match known:
        case Called() | Reduction():
            arguments = positional(context, known, node.arguments)
            call = Call(context, known, bracket, arguments, node)
            return known.check(call) if isinstance(known, Called) else check_reduction(call, known)
        case DerivativeOperator():
            return derived_value(context, node, expected)
        case _:
            return None


def _conversion(context: Context, name: ast.Name, dtype: Element, node: ast.Call) -> typed.Node:
    if len(node.arguments) != 1 or node.arguments[0].name is not None:
        raise context.fail("call.count", f"`{name.text}` converts one value", node.span)
    operand = context.check(node.arguments[0].value)
    if isinstance(operand, typed.Literal):
        context.converted[operand] = dtype
    type_ = pruned(operand.type)
    match type_:
        case TensorType(_, shape):
            return typed.Convert(TensorType(dtype, shape), node.span, dtype, operand)
        case Hole():
            converted = context.hole()
            converted.element.target = dtype
            context.conversions.append((type_, converted, node.span))
            return typed.Convert(converted, node.span, dtype, operand)
        case _:
            raise context.fail(
                "type.operand", f"`{name.text}` does not convert {type_}", operand.span
            )


def _pull(context: Context, symbol: Symbol, node: ast.Call) -> typed.Node | None:
    type_ = pruned(symbol.type)
    if not isinstance(type_, FunctionType) or not type_.is_pull:
        return None
    if len(node.arguments) != 1:
        title, help_ = (
            f"`{symbol.name}` takes one cotangent",
            "several are stacked, as one argument",
        )
        raise context.fail("call.count", title, node.span, help=[help_])
    argument = node.arguments[0].value
    value, count = check_directions(context, argument, type_.parameters[0], "the cotangent")
    result = type_.result if count is None else stack(count, type_.result)
    return typed.Pull(result, node.span, symbol, value, count is not None)


def call_handle(
    context: Context,
    handle: Handle,
    arguments: Sequence[ast.Argument],
    span: Span,
    expected: Type | None,
) -> typed.Node:
    """A call of a resolved function."""
    match handle:
        case UserHandle():
            return call_user(context, handle, arguments, span, expected)
        case TypedHandle():
            return _call_typed(context, handle, arguments, span)
        case PreludeHandle(function=function):
            return check_elementwise(context, function, arguments, span)
        case LambdaHandle():
            return _call_lambda(context, handle, arguments, span)
        case DerivedHandle():
            before = 0 if context.function is None else len(context.function.uses)
            inner = _inner_call(context, handle, arguments, span)
            if context.function is not None:
                _differentiate(context.function.uses, before, handle)
            return call_derived(context, handle, inner)


def _differentiate(uses: list[Use], before: int, handle: DerivedHandle) -> None:
    """Note that a function is differentiated: the first one used, before its arguments.

    Of a function that is written here, any that it calls may be.
    """
    inner = handle.inner
    while isinstance(inner, DerivedHandle):
        inner = inner.inner
    past = before + 1 if isinstance(inner, UserHandle) else len(uses)
    uses[before:past] = [replace(use, as_value=True) for use in uses[before:past]]


def _inner_call(
    context: Context, handle: DerivedHandle, arguments: Sequence[ast.Argument], span: Span
) -> typed.Call:
    """The call that is differentiated."""
    node = call_handle(context, handle.inner, arguments, span, None)
    if isinstance(node, typed.Call):
        return node
    if isinstance(node, typed.Apply):
        return typed.Call(
            node.type, span, typed.PreludeFunction(node.function), tuple(node.operands)
        )
    raise context.fail("type.call", "this is not a function to differentiate", handle.span)


def _call_typed(
    context: Context, handle: TypedHandle, arguments: Sequence[ast.Argument], span: Span
) -> typed.Node:
    wanted = handle.type.parameters
    for argument in arguments:
        if argument.name is not None:
            raise context.fail(
                "call.keyword", "parameters of a function value have no names", argument.span
            )
    if len(arguments) != len(wanted):
        raise context.fail(
            "call.count",
            f"this function {taken_and_given(len(wanted), len(arguments))}",
            span,
            "",
            [(handle.span, str(handle.type))] if handle.span != span else (),
            context.with_fewer(span, arguments, len(wanted)) or _of_fewer(handle.type, arguments),
        )
    values: list[typed.Node] = []
    for argument, type_ in zip(arguments, wanted, strict=True):
        value = context.check(argument.value, type_)
        expect(context, value, type_, argument.value.span)
        values.append(value)
    return typed.Call(handle.type.result, span, handle.callee, tuple(values))


def _of_fewer(type_: FunctionType, arguments: Sequence[ast.Argument]) -> list[str]:
    """Help for a call with too few arguments: the type of a function that takes as many."""
    fewer = FunctionType(type_.parameters[: len(arguments)], type_.result)
    return [f"give it the others, or declare it as `{fewer}`"] if arguments else []


def _call_lambda(
    context: Context, handle: LambdaHandle, arguments: Sequence[ast.Argument], span: Span
) -> typed.Node:
    names = tuple(parameter.name.text for parameter in handle.node.parameters)
    values: list[typed.Node] = []
    for argument in arguments:
        if argument.name is not None:
            raise context.fail(
                "call.keyword", "parameters of a function value have no names", argument.span
            )
        value = context.check(argument.value)
        type_ = pruned(value.type)
        if isinstance(type_, Hole):
            type_.target = TensorType(type_.element)
        values.append(value)
    hint = FunctionType(tuple(value.type for value in values), UNIT)
    function = check_lambda(context, handle.node, hint)
    assert isinstance(function, typed.FunctionValue)
    type_ = pruned(function.type)
    assert isinstance(type_, FunctionType)
    assert len(names) == len(values)
    for value, wanted in zip(values, type_.parameters, strict=True):
        expect(context, value, wanted, value.span)
    return typed.Call(type_.result, span, function.callee, tuple(values))
