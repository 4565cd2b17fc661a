"""Elementwise operations: elements that mix, shapes that broadcast, records that lift."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.ir.location import Span
from dmc.ir.types import DType
from dmc.semantics import typed
from dmc.semantics.builtins.elementwise import DIVIDE, Elementwise, Operands
from dmc.semantics.context import Context
from dmc.semantics.inference import (
    is_leaf_element,
    join,
    leaf_element,
    require_float,
    same_axis,
    unify,
)
from dmc.semantics.primitive import Primitive
from dmc.semantics.types import (
    Axis,
    Element,
    Hole,
    KeyType,
    Number,
    NumberKind,
    RecordName,
    RecordType,
    Shape,
    StackType,
    Stretch,
    TensorType,
    TupleType,
    Type,
    element_text,
    gradient_type,
    leaves,
    pruned,
    resolved,
    shape_text,
)

__all__ = [
    "agreed_type", "apply", "broadcast_shapes", "is_record", "needs", "needs_bool", "needs_float",
    "needs_number", "record_element", "whole_division",
]  # fmt: skip


def is_record(type_: Type) -> bool:
    """Whether operators lift over the leaves of values of this type."""
    match pruned(type_):
        case RecordType() | RecordName() | StackType():
            return True
        case TupleType(items):
            return bool(items)
        case _:
            return False


def apply(
    context: Context,
    function: Elementwise,
    operands: Sequence[typed.Node],
    span: Span,
    spans: Sequence[Span] | None = None,
) -> typed.Node:
    """An elementwise operation on operands brought to one element type and one shape."""
    if function.gives_bool and any(is_record(operand.type) for operand in operands):
        raise context.fail("type.operand", "records are not compared as a whole", span)
    type_ = agreed_type(context, function, operands, span, spans)
    if function.gives_bool:
        match type_:
            case TensorType(_, shape):
                type_ = TensorType(DType.BOOL, shape)
            case Hole(element):
                type_.target = TensorType(element)
                type_ = TensorType(DType.BOOL)
            case _:
                pass
    return typed.Apply(type_, span, function, tuple(operands))


def agreed_type(
    context: Context,
    function: Primitive,
    operands: Sequence[typed.Node],
    span: Span,
    spans: Sequence[Span] | None = None,
) -> Type:
    """The type to which the operands of `function` are brought."""
    places = list(spans) if spans is not None else [operand.span for operand in operands]
    for operand, place in zip(operands, places, strict=True):
        if not isinstance(pruned(operand.type), TensorType | Hole) and not is_record(operand.type):
            raise context.fail(
                "type.operand", f"`{function}` does not take {operand.type}", place,
                str(operand.type),
            )  # fmt: skip
    if any(is_record(operand.type) for operand in operands):
        return _lift(context, operands, places)
    return _combine(context, operands, places, span)


def _combine(
    context: Context, operands: Sequence[typed.Node], places: Sequence[Span], span: Span
) -> Type:
    total, total_place = pruned(operands[0].type), places[0]
    for operand, place in zip(operands[1:], places[1:], strict=True):
        other = pruned(operand.type)
        element = join(_element(total), _element(other))
        if element is None:
            raise _mixed(context, total, total_place, other, place, operands)
        total = _combine_shapes(context, total, other, element, total_place, place, span)
        total_place = _cover(total_place, place)
    return total


def _element(type_: Type) -> Element:
    match type_:
        case TensorType(element) | Hole(element):
            return element
        case _:
            raise TypeError(f"{type_} has no elements")


def _combine_shapes(
    context: Context,
    left: Type,
    right: Type,
    element: Element,
    left_place: Span,
    right_place: Span,
    span: Span,
) -> Type:
    match left, right:
        case Hole(), Hole():
            unify(context.facts, left, right)
            return left
        case Hole(), TensorType(_, shape):
            return _meet_hole(left, right, shape)
        case TensorType(_, shape), Hole():
            return _meet_hole(right, left, shape)
        case TensorType(_, a), TensorType(_, b):
            shape = broadcast_shapes(context, a, b)
            if shape is None:
                raise _does_not_broadcast(context, left, right, left_place, right_place, span)
            return TensorType(element, shape)
        case _:
            raise TypeError(f"{left} and {right} are not tensors")


def _meet_hole(hole: Hole, other: Type, shape: Shape) -> Type:
    """A scalar leaves the shape of `zeros` open; anything else fixes it."""
    if not shape:
        return hole
    hole.target = other
    return other


def broadcast_shapes(context: Context, left: Shape, right: Shape) -> Shape | None:
    """Equal, a scalar, an exact suffix, or `_` axes that stretch; None otherwise."""
    result: list[Axis] = []
    longer, shorter = (left, right) if len(left) >= len(right) else (right, left)
    offset = len(longer) - len(shorter)
    for a, b in zip(longer[offset:], shorter, strict=True):
        if isinstance(a, Stretch):
            result.append(b)
        elif isinstance(b, Stretch) or same_axis(context.facts, a, b):
            result.append(a)
        else:
            return None
    return (*longer[:offset], *result)


def _cover(first: Span, second: Span) -> Span:
    if first.file != second.file:
        return second
    start = min((first.start_line, first.start_column), (second.start_line, second.start_column))
    end = max((first.end_line, first.end_column), (second.end_line, second.end_column))
    return Span(first.file, *start, *end)


# ---- records ----------------------------------------------------------------------------------


def _lift(context: Context, operands: Sequence[typed.Node], places: Sequence[Span]) -> Type:
    records = [
        (pruned(operand.type), place)
        for operand, place in zip(operands, places, strict=True)
        if is_record(operand.type)
    ]
    point, point_place = next(((t, p) for t, p in records if gradient_type(t) != t), records[0])
    moved = gradient_type(point)
    for type_, place in records:
        if not unify(context.facts, gradient_type(type_), moved):
            raise context.fail(
                "type.record",
                f"{point} and {type_} have different parts",
                place,
                str(type_),
                [(point_place, str(point))] if point_place != place else (),
            )
    for operand, place in zip(operands, places, strict=True):
        _check_factor(context, operand, place, point, point_place)
    return point


def _check_factor(
    context: Context, operand: typed.Node, place: Span, point: Type, point_place: Span
) -> None:
    """A scalar combined with every leaf of a record."""
    type_ = pruned(operand.type)
    match type_:
        case Hole():
            unify(context.facts, type_, gradient_type(point))
        case TensorType(element, shape):
            if shape:
                raise context.fail(
                    "type.record",
                    f"{type_} does not combine with {point}",
                    place,
                    "only scalars and records of the same parts do",
                    [(point_place, str(point))],
                )
            elements = {
                resolved(leaf.type.element)
                for leaf in leaves(gradient_type(point))
                if isinstance(leaf.type, TensorType)
            }
            if isinstance(resolved(element), Number) and len(elements) > 1:
                return
            for element_of_leaf in elements:
                if join(element, element_of_leaf) is None:
                    raise _mixed(context, TensorType(element_of_leaf), point_place, type_, place)
        case _:
            pass


def record_element(type_: Type) -> Element:
    """The element type of the trained leaves of a record, if they have one."""
    if isinstance(type_, RecordName):
        return leaf_element(type_.name)
    elements = {
        resolved(leaf.type.element)
        for leaf in leaves(gradient_type(type_))
        if isinstance(leaf.type, TensorType)
    }
    return elements.pop() if len(elements) == 1 else leaf_element("record")


# ---- requirements on operands -----------------------------------------------------------------


def needs(
    context: Context, function: Primitive, elements: Operands, operand: typed.Node, span: Span
) -> None:
    """Operands have the elements that a function takes."""
    match elements:
        case Operands.FLOATS:
            needs_float(context, function.name, operand, span)
        case Operands.NUMBERS:
            needs_number(context, function.name, operand, span)
        case Operands.BOOLS:
            needs_bool(context, f"`{function}`", operand, span)
        case Operands.ANY:
            pass


def needs_float(context: Context, function: str, operand: typed.Node, span: Span) -> None:
    """Operands of `exp`, `/` and their kin are floats; open literals become floats."""
    for element in _elements(operand.type):
        if require_float(element) is None:
            text = element_text(element)
            raise context.fail(
                "type.operand",
                f"`{function}` needs floats, not {text}",
                span,
                str(pruned(operand.type)),
                help=[f"convert: `f64({context.quote(span)})`"],
            )


def needs_number(context: Context, function: str, operand: typed.Node, span: Span) -> None:
    """Operands of arithmetic are not bool."""
    for element in _elements(operand.type):
        if resolved(element) is DType.BOOL:
            raise context.fail(
                "type.operand", f"`{function}` needs numbers, not bool", span,
                str(pruned(operand.type)),
            )  # fmt: skip


def needs_bool(context: Context, what: str, operand: typed.Node, span: Span) -> None:
    """Conditions and operands of `and`, `or`, `not` are bool."""
    type_ = pruned(operand.type)
    if not isinstance(type_, TensorType) or resolved(type_.element) is not DType.BOOL:
        raise context.fail("type.bool", f"{what} needs bool, not {type_}", span, str(type_))


def _elements(type_: Type) -> list[Element]:
    match pruned(type_):
        case TensorType(element) | Hole(element):
            return [element]
        case KeyType():
            return []
        case other:
            return [
                leaf.type.element
                for leaf in leaves(gradient_type(other))
                if isinstance(leaf.type, TensorType) and not is_leaf_element(leaf.type.element)
            ]


# ---- messages ---------------------------------------------------------------------------------


def _mixed(
    context: Context,
    left: Type,
    left_place: Span,
    right: Type,
    place: Span,
    operands: Sequence[typed.Node] = (),
) -> Exception:
    one, other, what = _element(left), _element(right), context.quote(place)
    is_literal = what[:1].isdigit() and ("." in what or "e" in what)
    divided = next(filter(None, (whole_division(context, operand) for operand in operands)), None)
    if _is_whole(one) != _is_whole(other) and divided is not None:
        help_ = f"`/` divides into a float; of whole numbers, write `{divided}`"
    elif _is_whole(one) != _is_whole(other):  # the whole number becomes the float
        whole, real = (left_place, other) if _is_whole(one) else (place, one)
        help_ = f"convert one side: `{_float_name(real)}({context.quote(whole)})`"
    elif _rank(left) < _rank(right):  # a number gives way to an array
        help_ = f"convert one side: `{element_text(other)}({context.quote(left_place)})`"
    else:
        help_ = f"convert one side: `{element_text(one)}({what})`"
    return context.fail(
        "type.mixed",
        f"{element_text(one)} and {element_text(other)} do not mix",
        place,
        f"{what} is a float literal" if is_literal else str(right),
        [(left_place, str(left))] if left_place != place else (),
        [help_ if divided is not None else f"{help_} (literals adapt; values never do)"],
    )


def _is_whole(element: Element) -> bool:
    element = resolved(element)
    if isinstance(element, Number):
        return element.kind is not NumberKind.FLOAT
    return isinstance(element, DType) and element.is_integer


def _float_name(element: Element) -> str:
    """A conversion to a float type that is open or known."""
    return "f64" if isinstance(resolved(element), Number) else element_text(element)


def whole_division(context: Context, node: typed.Node) -> str | None:
    """The `a // b` that was meant by an `a / b` of sizes and indexes, if the node is one."""
    if not isinstance(node, typed.Apply) or node.function is not DIVIDE:
        return None
    if not all(_is_size(operand) for operand in node.operands):
        return None
    return " // ".join(context.quote(operand.span) for operand in node.operands)


def _is_size(node: typed.Node) -> bool:
    first, applications = typed.chain(node)
    others = (operand for each in applications for operand in each.operands[1:])
    return _is_size_itself(first) and all(map(_is_size, others))


def _is_size_itself(node: typed.Node) -> bool:
    match node:
        case typed.SizeValue():
            return True
        case typed.Literal(value=value):
            return isinstance(value, int)
        case typed.Local(symbol=symbol):
            return symbol.kind is typed.SymbolKind.INDEX
        case _:
            return False


def _rank(type_: Type) -> int:
    return len(type_.shape) if isinstance(type_, TensorType) else 0


def _does_not_broadcast(
    context: Context,
    left: TensorType,
    right: TensorType,
    left_place: Span,
    right_place: Span,
    span: Span,
) -> Exception:
    long, short = (left, right) if len(left.shape) >= len(right.shape) else (right, left)
    short_place = right_place if short is right else left_place
    text = f"{shape_text(short.shape)} is not a suffix of {shape_text(long.shape)}"
    if len(long.shape) == len(short.shape):
        pairs = zip(left.shape, right.shape, strict=True)
        a, b = next((a, b) for a, b in pairs if not same_axis(context.facts, a, b))
        text = f"{a} is not {b}"
    spread = _spread(context, long.shape, short.shape)
    help_: list[str] = []
    if spread is not None:
        pattern, missing = spread
        old = context.quote(short_place)
        operand = old if _is_postfix(old) else f"({old})"
        whole = context.quote(span)
        if old in whole and left_place.start_line == right_place.end_line:
            start = short_place.start_column - span.start_column
            new = whole[:start] + operand + pattern + whole[start + len(old) :]
            what = _what(old)
            help_ = [f"spread {what} over {', '.join(map(str, missing))}: `{new}`"]
    return context.fail(
        "shape.broadcast", f"{left} and {right} do not broadcast", span, text, (), help_
    )


def _what(text: str) -> str:
    name = text.split("[")[0].split("(")[0]
    return f"the {name}" if name in ("mean", "sum", "max", "min", "logsumexp") else f"`{text}`"


def _is_postfix(text: str) -> bool:
    """Whether an index may follow without parentheses."""
    depth = 0
    for character in text:
        depth += character in "(["
        depth -= character in ")]"
        if depth == 0 and character in "+-*/%@ <>=|":
            return False
    return True


def _spread(context: Context, long: Shape, short: Shape) -> tuple[str, list[Axis]] | None:
    """The `[:, _]` that makes `short` stretch to `long`, and the axes it stretches over."""
    items: list[str] = []
    missing: list[Axis] = []
    rest = list(short)
    for axis in long:
        if rest and same_axis(context.facts, axis, rest[0]):
            rest.pop(0)
            items.append(":")
        else:
            items.append("_")
            missing.append(axis)
    if rest or not missing:
        return None
    while items and items[0] == "_":
        items.pop(0)
        missing.pop(0)
    return (f"[{', '.join(items)}]", missing) if missing else None
