"""Differentiation operators: what is differentiated, in what, and the type that comes out."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics import typed
from dmc.semantics.agreement import expect
from dmc.semantics.callees import check_lambda, resolve_function
from dmc.semantics.calls import call_handle
from dmc.semantics.context import Context
from dmc.semantics.handles import (
    DerivedHandle,
    Handle,
    LambdaHandle,
    PreludeHandle,
    TypedHandle,
    UserHandle,
)
from dmc.semantics.inference import is_float_like
from dmc.semantics.sizes import Size
from dmc.semantics.typed import Operator
from dmc.semantics.types import (
    FunctionType,
    RecordType,
    StackType,
    TensorType,
    TupleType,
    Type,
    children,
    gradient_type,
    leaves,
    pruned,
    resolved,
    stack,
)
from dmc.semantics.zero import DerivativeRequest
from dmc.syntax import ast

__all__ = ["call_derived", "derived_handle", "derived_value"]

Path = tuple[int, tuple[str, ...]]


def derived_handle(context: Context, operator: Operator, node: ast.Call) -> DerivedHandle:
    """`grad(f, wrt = w)`: the operator with its function, before the arguments are known."""
    function: ast.Expr | None = None
    wrt: ast.Expr | None = None
    along: ast.Expr | None = None
    for argument in node.arguments:
        name = argument.name.text if argument.name is not None else None
        match name:
            case None if function is None:
                function = argument.value
            case "wrt":
                wrt = argument.value
            case "along" if operator in (Operator.JVP, Operator.HVP):
                along = argument.value
            case "budget" if operator in (Operator.GRAD, Operator.VALUE_AND_GRAD, Operator.VJP):
                raise context.unsupported("`budget`", argument.span)
            case _:
                raise context.fail(
                    "call.keyword",
                    f"`{operator.value}` does not take this argument",
                    argument.span,
                    help=[f"as in `{operator.value}(f, wrt = w)(…)`"],
                )
    if function is None:
        raise context.fail("call.missing", f"`{operator.value}` needs a function", node.span)
    if along is None and operator in (Operator.JVP, Operator.HVP):
        raise context.fail(
            "call.missing", f"`{operator.value}` needs a direction", node.span,
            help=[f"`{operator.value}(f, along = dx)(x)`"],
        )  # fmt: skip
    inner = resolve_function(context, function)
    return DerivedHandle(operator, inner, wrt, along, node.span)


def derived_value(context: Context, node: ast.Call, expected: Type | None) -> typed.Node:
    """`grad(f)` without arguments: a function value, when context says what it takes."""
    assert isinstance(node.function, ast.Name)
    wanted = pruned(expected) if expected is not None else None
    if not isinstance(wanted, FunctionType):
        raise context.fail(
            "grad.uncalled",
            f"`{node.function.text}` gives a function, which is called at once",
            node.span,
            help=[f"`{context.quote(node)}(…)`, or wrap it: `fn(x) => {context.quote(node)}(x)`"],
        )
    # Passed on, it is the function of its arguments that calls it: `fn(x) => grad(f)(x)`.
    span, names = node.span, [f"argument_{i}" for i in range(1, len(wanted.parameters) + 1)]
    parameters = tuple(ast.LambdaParam(span, ast.Identifier(span, name), None) for name in names)
    arguments = tuple(ast.Argument(span, None, ast.Name(span, name)) for name in names)
    body = ast.Call(span, node, arguments)
    return check_lambda(context, ast.Lambda(span, parameters, body), wanted)


def call_derived(
    context: Context, handle: DerivedHandle, arguments: Sequence[ast.Argument], span: Span
) -> typed.Node:
    """`grad(f)(…)`: the call of `f`, then what the operator makes of its type."""
    call = _inner_call(context, handle.inner, arguments, span)
    paths, is_tuple = _paths(context, handle, call)
    targets = [_target(context, call, path, handle) for path in paths]
    target: Type = TupleType(tuple(targets)) if is_tuple else targets[0]
    result = pruned(call.type)
    output, rest = _split_result(result)
    operator = handle.operator
    along: tuple[typed.Node, ...] = ()
    if handle.along is not None:
        direction = context.check(handle.along, gradient_type(target))
        expect(context, direction, gradient_type(target), handle.along.span, "the direction")
        along = (direction,)
    if operator in _OF_SCALARS:
        _needs_scalar(context, handle, output)
    elif not _has_float(output):
        raise context.fail(
            "grad.integer", f"{output} carries no derivative", handle.span, "asked for here"
        )
    if isinstance(call.callee, typed.UserFunction) and operator is not Operator.HESSIAN:
        positions = tuple(index for index, _ in paths)
        request = DerivativeRequest(call.callee.declaration, positions, handle.span)
        context.requests.append(request)
    type_ = _result_type(context, handle, target, result, output, rest)
    callee = typed.Derived(operator, call.callee, tuple(paths), is_tuple, along)
    return typed.Call(type_, span, callee, call.arguments)


_OF_SCALARS = (Operator.GRAD, Operator.VALUE_AND_GRAD, Operator.HESSIAN, Operator.HVP)


def _inner_call(
    context: Context, handle: Handle, arguments: Sequence[ast.Argument], span: Span
) -> typed.Call:
    # Passing a key on for a derivative spends it exactly as the call itself does.
    node = call_handle(context, handle, arguments, span, None)
    if isinstance(node, typed.Call):
        if node.updates is not None:
            raise context.unsupported("differentiating a `mut fn` directly", handle.span)
        return node
    if isinstance(node, typed.Apply):
        return typed.Call(
            node.type, span, typed.PreludeFunction(node.function), tuple(node.operands)
        )
    raise context.fail("type.call", "this is not a function to differentiate", handle.span)


def _paths(context: Context, handle: DerivedHandle, call: typed.Call) -> tuple[list[Path], bool]:
    """What `wrt` names; by default the first parameter."""
    if handle.wrt is None:
        if not call.arguments or call.arguments[0] is None:
            raise context.fail("grad.wrt", "there is no parameter to differentiate in", handle.span)
        return [(0, ())], False
    names = _parameter_names(handle.inner)
    if isinstance(handle.wrt, ast.Tuple):
        return [_path(context, e, names, call) for e in handle.wrt.elements], True
    return [_path(context, handle.wrt, names, call)], False


def _parameter_names(handle: Handle) -> tuple[str, ...]:
    match handle:
        case UserHandle(declaration=declaration):
            return tuple(p.name for p in declaration.parameters)
        case TypedHandle(names=names):
            return names
        case PreludeHandle():
            return ()
        case LambdaHandle(node=node):
            return tuple(parameter.name.text for parameter in node.parameters)
        case DerivedHandle(inner=inner):
            return _parameter_names(inner)


def _path(context: Context, node: ast.Expr, names: tuple[str, ...], call: typed.Call) -> Path:
    match node:
        case ast.Name(text=text):
            if text not in names:
                raise context.fail(
                    "grad.wrt", f"`{text}` is not a parameter of the function", node.span,
                    help=context.suggestion(text, names),
                )  # fmt: skip
            index = names.index(text)
            if call.arguments[index] is None:
                raise context.fail(
                    "grad.wrt", f"`{text}` takes its default here", node.span,
                    help=["give it, to differentiate in it"],
                )  # fmt: skip
            return index, ()
        case ast.Member(base=base, name=name):
            index, fields = _path(context, base, names, call)
            return index, (*fields, name.text)
        case _:
            raise context.fail(
                "grad.wrt", "`wrt` names parameters or fields of them", node.span,
                help=["as in `wrt = w`, `wrt = net.head`, `wrt = (cam, w)`"],
            )  # fmt: skip


def _target(context: Context, call: typed.Call, path: Path, handle: DerivedHandle) -> Type:
    index, fields = path
    argument = call.arguments[index]
    assert argument is not None
    type_ = pruned(argument.type)
    place = handle.wrt.span if handle.wrt is not None else argument.span
    for name in fields:
        parts = {part: inner for part, inner, _ in children(type_)}
        if name not in parts:
            raise context.fail(
                "name.field", f"{type_} has no field `{name}`", place,
                help=context.suggestion(name, list(parts)),
            )  # fmt: skip
        type_ = pruned(parts[name])
    if not _has_float(type_):
        raise context.fail(
            "grad.integer",
            f"{type_} carries no derivative",
            place,
            "only floats do",
            [(handle.span, "asked for here")] if place != handle.span else (),
        )
    return gradient_type(type_)


def _has_float(type_: Type) -> bool:
    match pruned(type_):
        case TensorType(element):
            return is_float_like(element)
        case RecordType() | StackType() | TupleType() as inner:
            return any(leaf.is_trained for leaf in leaves(gradient_type(inner)))
        case FunctionType():
            return False
        case other:
            return not isinstance(other, DType)


def _split_result(result: Type) -> tuple[Type, Type | None]:
    """What is differentiated, and what rides along."""
    if isinstance(result, TupleType) and result.items:
        first, *rest = result.items
        if not rest:
            return pruned(first), None
        return pruned(first), rest[0] if len(rest) == 1 else TupleType(tuple(rest))
    return result, None


def _needs_scalar(context: Context, handle: DerivedHandle, output: Type) -> None:
    if isinstance(output, TensorType) and not output.shape:
        element = resolved(output.element)
        if is_float_like(element):
            return
    help_ = ["differentiate a sum of it, or use `jacobian`"]
    raise context.fail(
        "grad.scalar",
        f"`{handle.operator.value}` needs a function of one float, and this gives {output}",
        handle.span,
        "asked for here",
        help=help_,
    )


def _result_type(
    context: Context,
    handle: DerivedHandle,
    target: Type,
    result: Type,
    output: Type,
    rest: Type | None,
) -> Type:
    match handle.operator:
        case Operator.GRAD:
            return target if rest is None else TupleType((target, rest))
        case Operator.VALUE_AND_GRAD:
            return TupleType((result, target))
        case Operator.JVP:
            return TupleType((result, gradient_type(output)))
        case Operator.VJP:
            pull = FunctionType((gradient_type(output),), target, is_pull=True)
            return TupleType((result, pull))
        case Operator.JACOBIAN:
            if not isinstance(output, TensorType):
                raise context.unsupported("the Jacobian of a record", handle.span)
            jacobian = target
            for axis in reversed(output.shape):
                if not isinstance(axis, Size):
                    raise context.unsupported("the Jacobian over a pack", handle.span)
                jacobian = stack(axis, jacobian)
            return jacobian if rest is None else TupleType((jacobian, rest))
        case Operator.HESSIAN:
            if not isinstance(target, TensorType):
                raise context.unsupported("the Hessian in a record", handle.span)
            return TensorType(target.element, (*target.shape, *target.shape))
        case Operator.HVP:
            return target
