"""Elementwise functions: numbers at compile time, tensors broadcast, records leaf by leaf."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.diagnostics.errors import CompilerBug
from dmc.dialects import arith, autodiff, tensor
from dmc.ir import Builder, DType, Value, dtype_of, shape_of
from dmc.semantics import typed
from dmc.semantics.builtins.elementwise import Elementwise, Number, run
from dmc.semantics.inference import is_leaf_element
from dmc.semantics.lower.body import Body, register
from dmc.semantics.lower.values import Array, Lowered, Record, Static, Tuple, flatten, rebuild
from dmc.semantics.ranges import converts
from dmc.semantics.types import (
    KeyType,
    RecordType,
    StackType,
    Type,
    children,
    gradient_type,
    leaves,
    pruned,
    resolved,
)
from dmc.semantics.types import TensorType as Tensor

__all__ = ["apply", "broadcast", "combine", "convert", "stop_gradient"]


def apply(
    body: Body, function: Elementwise, operands: Sequence[Lowered], node: typed.Node | None = None
) -> Lowered:
    """An elementwise function on lowered operands."""
    if any(isinstance(operand, Record | Tuple) for operand in operands):
        return _lift(body, function, operands)
    if all(isinstance(operand, Static) for operand in operands):
        numbers = [operand.value for operand in operands if isinstance(operand, Static)]
        dtype = _static_dtype(body, numbers, node)
        try:
            folded = function.folded(numbers, dtype)
        except OverflowError:
            raise body.not_fitting(dtype) from None
        if folded is not None:
            return Static(folded, body.builder.location.span)
    plain = [operand.value for operand in operands if isinstance(operand, Static | Array)]
    special = function.with_number(body.builder, plain)
    if special is not None:
        stretches = (operand.stretch for operand in operands if isinstance(operand, Array))
        return Array(special, frozenset[int]().union(*stretches))
    operands = _as_leaves(body, operands, node)
    wanted = _common_dtype(body, operands, node)
    arrays, stretch = broadcast(body, operands, wanted)
    return Array(function.build(body.builder, *arrays), stretch)


def _as_leaves(
    body: Body, operands: Sequence[Lowered], node: typed.Node | None
) -> Sequence[Lowered]:
    """Floats that meet a leaf of a record become what the leaf is.

    Only in code over records whose elements it does not know is that another type.
    """
    if not isinstance(node, typed.Apply):
        return operands
    pairs = zip(operands, node.operands, strict=True)
    return _matched(body, operands, [o for o, source in pairs if _is_leaf(pruned(source.type))])


def _is_leaf(type_: Type) -> bool:
    return isinstance(type_, Tensor) and is_leaf_element(type_.element)


def _matched(
    body: Body, operands: Sequence[Lowered], leaves: Sequence[Lowered]
) -> Sequence[Lowered]:
    """Float operands in the element type of `leaves`."""
    dtype = next((dtype_of(leaf.value.type) for leaf in leaves if isinstance(leaf, Array)), None)
    if dtype is None or not dtype.is_float:
        return operands
    return [
        convert(body, o, dtype) if isinstance(o, Array) and dtype_of(o.value.type).is_float else o
        for o in operands
    ]


def _common_dtype(body: Body, operands: Sequence[Lowered], node: typed.Node | None) -> DType:
    """That of the first operand: a power has an exponent of another.

    A number takes the type it was given, or in code over the leaves of a record that of the leaf.
    """
    if isinstance(node, typed.Apply) and not isinstance(operands[0], Array):
        type_ = body.type(node.operands[0])
        if isinstance(type_, Tensor) and not is_leaf_element(type_.element):
            return body.dtype(type_.element)
    for operand in operands:
        if isinstance(operand, Array):
            return dtype_of(operand.value.type)
    return DType.F64


def _static_dtype(body: Body, numbers: Sequence[Number], node: typed.Node | None) -> DType:
    """The element type that numbers have where the program computes with them."""
    operands = node.operands if isinstance(node, typed.Apply) else ()
    types = [body.type(operand) for operand in operands]
    # That of a leaf which differs from leaf to leaf is not known here.
    elements = [t.element for t in types if isinstance(t, Tensor)]
    dtypes = [body.dtype(element) for element in elements if not is_leaf_element(element)]
    dtype = next((d for d in dtypes if d.is_float), next(iter(dtypes), None))
    if any(isinstance(number, float) for number in numbers):
        return dtype if dtype is not None and dtype.is_float else DType.F64
    if dtype is not None:
        return dtype
    return DType.BOOL if all(isinstance(number, bool) for number in numbers) else DType.I64


def broadcast(
    body: Body, operands: Sequence[Lowered], dtype: DType | None
) -> tuple[list[Value], frozenset[int]]:
    """Operands brought to one shape; numbers become constants of `dtype`."""
    shapes = [shape_of(o.value.type) if isinstance(o, Array) else () for o in operands]
    rank = max(map(len, shapes))
    out = [1] * rank
    fixed = [False] * rank
    for operand, shape in zip(operands, shapes, strict=True):
        stretch = operand.stretch if isinstance(operand, Array) else frozenset[int]()
        for axis, size in enumerate(shape):
            if axis not in stretch:
                out[rank - len(shape) + axis] = size
                fixed[rank - len(shape) + axis] = True
    arrays: list[Value] = []
    for operand, shape in zip(operands, shapes, strict=True):
        match operand:
            case Static(number):
                assert dtype is not None
                arrays.append(body.constant(number, dtype, *out))
            case Array(value):
                places = range(rank - len(shape), rank)
                arrays.append(tensor.broadcast_in_dim(body.builder, value, out, places))
            case _:
                raise CompilerBug("only tensors broadcast")
    return arrays, frozenset(axis for axis in range(rank) if not fixed[axis])


def combine(body: Body, function: Elementwise, *operands: Value) -> Value:
    """An elementwise function on tensors that broadcast."""
    result = apply(body, function, [Array(operand) for operand in operands])
    assert isinstance(result, Array)
    return result.value


# ---- records ----------------------------------------------------------------------------------


def _lift(body: Body, function: Elementwise, operands: Sequence[Lowered]) -> Lowered:
    structures = [o for o in operands if isinstance(o, Record | Tuple)]
    point = next((o for o in structures if _has_more(o)), structures[0])
    match point:
        case Tuple(items):
            return Tuple(
                tuple(
                    _lift_part(body, function, operands, [_item(o, index) for o in operands])
                    for index in range(len(items))
                )
            )
        case Record(type_, fields):
            trained = {name for name, _, _ in children(gradient_type(type_))}
            result = dict(fields)
            for name in fields:
                if name in trained:
                    parts = [o.fields[name] if isinstance(o, Record) else o for o in operands]
                    result[name] = _lift_part(body, function, operands, parts)
            return Record(type_, result)


def _lift_part(
    body: Body, function: Elementwise, operands: Sequence[Lowered], parts: Sequence[Lowered]
) -> Lowered:
    pairs = zip(operands, parts, strict=True)
    leaves = [part for whole, part in pairs if isinstance(whole, Record | Tuple)]
    return apply(body, function, _matched(body, parts, leaves))


def _item(operand: Lowered, index: int) -> Lowered:
    return operand.items[index] if isinstance(operand, Tuple) else operand


def _has_more(value: Record | Tuple) -> bool:
    """Whether a value holds more than its trained part, and so is the point that moves."""
    match value:
        case Tuple(items):
            return any(_has_more(i) for i in items if isinstance(i, Record | Tuple))
        case Record(type_):
            inner = type_
            while isinstance(inner, StackType):
                assert isinstance(inner.item, RecordType | StackType)
                inner = inner.item
            return not inner.is_grad


# ---- conversion -------------------------------------------------------------------------------


def _convert(body: Body, node: typed.Convert) -> Lowered:
    value = body.lower(node.operand)
    if isinstance(value, Record | Tuple):
        return _cast(value, body.type(node), body.builder)
    dtype = body.dtype(node.element)
    if isinstance(value, Static) and not converts(value.value, dtype):
        raise body.not_fitting(dtype, node.operand.span)
    return convert(body, value, dtype)


def _cast(value: Lowered, type_: Type, builder: Builder) -> Lowered:
    """Every leaf in the element type that it has in `type_`."""

    def leaf(x: Value, wanted: Tensor | KeyType) -> Value:
        element = resolved(wanted.element) if isinstance(wanted, Tensor) else None
        return arith.convert(builder, x, element) if isinstance(element, DType) else x

    pairs = zip(flatten(value), leaves(type_), strict=True)
    return rebuild(type_, iter([leaf(x, each.type) for x, each in pairs]))


def convert(body: Body, value: Lowered, dtype: DType) -> Lowered:
    """Every leaf in another element type."""
    match value:
        case Static(number):

            def build(builder: Builder, x: Value) -> Value:
                return arith.convert(builder, x, dtype)

            converted = run(build, [number], _static_dtype(body, [number], None))
            return Static(number if converted is None else converted)
        case Array(inner, stretch):
            return Array(arith.convert(body.builder, inner, dtype), stretch)
        case _:
            raise CompilerBug("only tensors are converted")


def stop_gradient(body: Body, value: Lowered) -> Lowered:
    """Every leaf as a constant for derivatives."""
    match value:
        case Array(inner, stretch):
            return Array(body.builder.insert(autodiff.StopGradient([inner])).result, stretch)
        case Tuple(items):
            return Tuple(tuple(stop_gradient(body, item) for item in items))
        case Record(type_, fields):
            return Record(type_, {n: stop_gradient(body, v) for n, v in fields.items()})
        case _:
            return value


register(typed.Convert, _convert)
