"""Unification: literals, holes and whole types brought to agree."""

from __future__ import annotations

from collections.abc import Sequence

from dmc.ir.types import DType
from dmc.semantics.sizes import Facts, Size
from dmc.semantics.types import (
    Blocks,
    Element,
    ElementName,
    Form,
    FunctionType,
    GenericValue,
    Hole,
    KeyType,
    Number,
    NumberKind,
    Pack,
    PackValue,
    RecordName,
    RecordType,
    Shape,
    StackType,
    Stretch,
    TensorType,
    TupleType,
    Type,
    children,
    pruned,
    resolved,
)

__all__ = ["is_float_like", "is_leaf_element", "join", "leaf_element", "same_shape", "unify"]


def leaf_element(record: str) -> ElementName:
    """The element type of an unknown leaf of a record parameter: any float, known when used."""
    return ElementName(f"{record}.*")


def is_leaf_element(element: Element) -> bool:
    """Whether this is the element type of an unknown leaf."""
    element = resolved(element)
    return isinstance(element, ElementName) and element.name.endswith(".*")


def is_float_like(element: Element) -> bool:
    """Whether the element is, or may become, a float."""
    element = resolved(element)
    match element:
        case DType():
            return element.is_float
        case ElementName():
            return True
        case Number(kind):
            return kind is not NumberKind.INTEGER


def join(left: Element, right: Element) -> Element | None:
    """The common element type, fixing numbers; None when the two do not mix."""
    left, right = resolved(left), resolved(right)
    if left is right or left == right:
        return left
    if isinstance(left, Number) and isinstance(right, Number):
        kinds = {left.kind, right.kind}
        if kinds == {NumberKind.INTEGER, NumberKind.FLOAT}:
            return None
        loose, strict = (left, right) if left.kind is NumberKind.NUMBER else (right, left)
        loose.target = strict
        return strict
    if isinstance(right, Number):
        left, right = right, left
    if isinstance(left, Number):
        return _fix(left, right)
    if is_leaf_element(left) and is_float_like(right):
        return left
    if is_leaf_element(right) and is_float_like(left):
        return right
    return None


def _fix(number: Number, element: Element) -> Element | None:
    match element:
        case DType() if element is DType.BOOL:
            return None
        case DType() if not element.is_float and number.kind is NumberKind.FLOAT:
            return None
        case DType() | ElementName() if number.kind is NumberKind.INTEGER:
            if not isinstance(element, DType) or element.is_float:
                return None
        case _:
            pass
    number.target = element
    return element


def require_float(element: Element) -> Element | None:
    """The element as a float, turning open numbers into floats; None when it is not one."""
    element = resolved(element)
    match element:
        case Number(NumberKind.INTEGER):
            return None
        case Number():
            element.kind = NumberKind.FLOAT
            return element
        case DType() if not element.is_float:
            return None
        case _:
            return element


def same_shape(facts: Facts, left: Shape, right: Shape) -> bool:
    """Whether two shapes are equal, axis by axis."""
    if len(left) != len(right):
        return False
    return all(same_axis(facts, a, b) for a, b in zip(left, right, strict=True))


def same_axis(facts: Facts, left: object, right: object) -> bool:
    """Whether two axes are always of one size."""
    match left, right:
        case Size(), Size():
            return bool(facts.equal(left, right))
        case Pack(a), Pack(b):
            return a == b
        case Stretch(), Stretch():
            return True
        case _:
            return False


def unify(facts: Facts, left: Type, right: Type) -> bool:
    """Make two types equal, filling holes and fixing numbers; False when they cannot be."""
    left, right = pruned(left), pruned(right)
    if left is right:
        return True
    match left, right:
        case Hole(), _:
            return _fill(left, right)
        case _, Hole():
            return _fill(right, left)
        case TensorType(), TensorType():
            if not same_shape(facts, left.shape, right.shape):
                return False
            return join(left.element, right.element) is not None
        case KeyType(), KeyType():
            return True
        case TupleType(a), TupleType(b):
            return len(a) == len(b) and all(map(lambda x, y: unify(facts, x, y), a, b))
        case RecordType(), RecordType():
            return (
                left.declaration is right.declaration
                and left.is_grad == right.is_grad
                and _same_forms(facts, left.forms, right.forms)
                and all(map(lambda x, y: _same_value(facts, x, y), left.arguments, right.arguments))
            )
        case RecordName(), RecordName():
            same = left.name == right.name and left.is_grad == right.is_grad
            return same and _same_forms(facts, left.forms, right.forms)
        case StackType(), StackType():
            return bool(facts.equal(left.count, right.count)) and unify(
                facts, left.item, right.item
            )
        case FunctionType(), FunctionType():
            return (
                len(left.parameters) == len(right.parameters)
                and all(map(lambda x, y: unify(facts, x, y), left.parameters, right.parameters))
                and unify(facts, left.result, right.result)
            )
        case _:
            return False


def _same_forms(facts: Facts, left: Sequence[Form], right: Sequence[Form]) -> bool:
    if len(left) != len(right):
        return False
    for one, other in zip(left, right, strict=True):
        match one, other:
            case Blocks(a), Blocks(b):
                same = unify(facts, a, b)
            case _:
                same = one == other
        if not same:
            return False
    return True


def _same_value(facts: Facts, left: GenericValue, right: GenericValue) -> bool:
    match left, right:
        case Size(), Size():
            return bool(facts.equal(left, right))
        case PackValue(a), PackValue(b):
            return same_shape(facts, a, b)
        case ((DType() | ElementName() | Number()), (DType() | ElementName() | Number())):
            return join(left, right) is not None
        case ((Size() | PackValue() | DType() | ElementName() | Number()), _):
            return False
        case _, (Size() | PackValue() | DType() | ElementName() | Number()):
            return False
        case _:
            return unify(facts, left, right)


def _fill(hole: Hole, type_: Type) -> bool:
    """Give a hole its type; the elements met so far must fit every float leaf."""
    match type_:
        case Hole():
            if join(hole.element, type_.element) is None:
                return False
        case TensorType(element):
            if join(hole.element, element) is None:
                return False
        case RecordType() | StackType() | TupleType():
            if not all(
                _fill(Hole(Number(hole.element.kind)), part) for _, part, _ in children(type_)
            ):
                return False
        case RecordName():
            pass
        case KeyType() | FunctionType():
            return False
    hole.target = type_
    return True
