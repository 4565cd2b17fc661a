"""Differentiation operators: what is differentiated, in what, and the type that comes out."""

from __future__ import annotations

from dmc.ir.types import DType
from dmc.semantics import typed
from dmc.semantics.agreement import expect
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
    Blocks,
    FunctionType,
    Leaf,
    Pack,
    RecordType,
    Shape,
    StackType,
    TensorType,
    TupleType,
    Type,
    children,
    element_text,
    formed,
    gradient_type,
    leaves,
    pruned,
    resolved,
    stack,
)
from dmc.semantics.zero import DerivativeRequest
from dmc.syntax import ast
from dmc_runtime.spelling import one_of

__all__ = ["call_derived", "check_directions"]

Path = tuple[int, tuple[str, ...]]


def call_derived(context: Context, handle: DerivedHandle, call: typed.Call) -> typed.Node:
    """`grad(f)(…)`: from the call of `f`, what the operator makes of its type."""
    span = call.span
    paths, is_tuple = _paths(context, handle, call)
    targets = [_target(context, call, path, handle) for path in paths]
    target: Type = TupleType(tuple(targets)) if is_tuple else targets[0]
    result = pruned(call.type)
    output, rest = _split_result(result)
    operator = handle.operator
    along: tuple[typed.Node, ...] = ()
    count: Size | None = None
    if handle.along is not None:
        direction, count = check_directions(context, handle.along, target, "the direction")
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
    entries = None
    if handle.sparse:
        entries = f"entries@{handle.span.start_line}:{handle.span.start_column}"
        moved = target if operator is Operator.HESSIAN else output
        type_: Type = _sparse_type(context, handle, (target, moved), Size.named(entries))
        if operator is Operator.JACOBIAN and rest is not None:
            type_ = TupleType((type_, rest))
    else:
        type_ = _result_type(context, handle, target, result, output, rest, count)
    callee = typed.Derived(
        operator, call.callee, tuple(paths), is_tuple, output, along, handle.budget,
        count is not None, entries,
    )  # fmt: skip
    return typed.Call(type_, span, callee, call.arguments, call.updates)


def check_directions(
    context: Context, node: ast.Expr, wanted: Type, what: str
) -> tuple[typed.Node, Size | None]:
    """A vector of type `wanted`, or several with a leading axis, whose size is then returned."""
    value = context.check(node, wanted)
    count = _stacked(pruned(value.type), pruned(wanted))
    expect(context, value, wanted if count is None else stack(count, wanted), node.span, what)
    return value, count


def _stacked(type_: Type, item: Type) -> Size | None:
    """How many values of a type are stacked in another; None where that is no stack of them."""
    match type_, item:
        case TensorType(shape=shape), TensorType(shape=inner) if len(shape) == len(inner) + 1:
            return shape[0] if isinstance(shape[0], Size) else None
        case StackType(count, inner), _ if _depth(inner) == _depth(item):
            return count
        case TupleType(items), TupleType(parts) if items and len(items) == len(parts):
            return _stacked(pruned(items[0]), pruned(parts[0]))
        case _:
            return None


def _depth(type_: Type) -> int:
    """How many stacks are in one another."""
    inner = pruned(type_)
    return 1 + _depth(inner.item) if isinstance(inner, StackType) else 0


_OF_SCALARS = (Operator.GRAD, Operator.VALUE_AND_GRAD, Operator.HESSIAN, Operator.HVP)


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
                    help=one_of(text, names),
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
                help=one_of(name, parts),
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
    count: Size | None,
) -> Type:
    match handle.operator:
        case Operator.GRAD:
            return target if rest is None else TupleType((target, rest))
        case Operator.VALUE_AND_GRAD:
            return TupleType((result, target))
        case Operator.JVP:
            return TupleType((result, _repeated(count, gradient_type(output))))
        case Operator.VJP:
            pull = FunctionType((gradient_type(output),), target, is_pull=True)
            return TupleType((result, pull))
        case Operator.JACOBIAN:
            jacobian = _blocks(context, handle, output, target)
            return jacobian if rest is None else TupleType((jacobian, rest))
        case Operator.HESSIAN:
            return _blocks(context, handle, target, target)
        case Operator.HVP:
            return _repeated(count, target)


def _sparse_type(
    context: Context, handle: DerivedHandle, types: tuple[Type, ...], entries: Size
) -> Type:
    """`(values, rows, columns)` of the entries, in a matrix of all parts with those of others."""
    parts = [leaf for type_ in types for leaf in leaves(gradient_type(type_)) if leaf.is_trained]
    elements = [resolved(leaf.type.element) for leaf in parts if isinstance(leaf.type, TensorType)]
    if any(element != elements[0] for element in elements):
        kinds = ", ".join(sorted({element_text(element) for element in elements}))
        title = f"one matrix has one element type, and this is of {kinds}"
        raise context.fail(
            "type.mismatch", title, handle.span,
            help=["leave `sparse` out, or differentiate parts of one type"],
        )  # fmt: skip
    axis = (entries,)
    places = TensorType(DType.I32, axis)
    return TupleType((TensorType(elements[0], axis), places, places))


def _repeated(count: Size | None, type_: Type) -> Type:
    return type_ if count is None else stack(count, type_)


def _blocks(context: Context, handle: DerivedHandle, output: Type, target: Type) -> Type:
    """A gradient in the place of each element of what is differentiated."""
    packs = any(isinstance(axis, Pack) for leaf in leaves(output) for axis in _axes(leaf))
    if packs and not isinstance(target, TensorType):
        title = f"each element of {output} has a gradient, and `*` of records is no type"
        help_ = ["give the function an array of so many axes, or differentiate in one array"]
        raise context.fail("shape.axis", title, handle.span, help=help_)
    return formed(Blocks(target), gradient_type(output))


def _axes(leaf: Leaf) -> Shape:
    return leaf.type.shape if isinstance(leaf.type, TensorType) else ()
