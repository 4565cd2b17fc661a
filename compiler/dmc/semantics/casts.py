"""Types with other elements: what `cast[bf16](net)` makes of the type of `net`."""

from __future__ import annotations

from dataclasses import replace

from dmc.ir.types import DType
from dmc.semantics.sizes import Size
from dmc.semantics.types import (
    Element,
    ElementName,
    GenericValue,
    Number,
    PackValue,
    RecordType,
    StackType,
    TensorType,
    TupleType,
    Type,
    pruned,
    resolved,
)

__all__ = ["cast_type"]


def cast_type(type_: Type, to: Element) -> Type | None:
    """The type with floats of the element type `to`; None where nothing leaves them open.

    Of a record these are its parameters `F: float`, and those of the records in it: fields that
    are declared of one element type stay what they are.
    """
    match pruned(type_):
        case TensorType(element, shape):
            element = resolved(element)
            fixed = isinstance(element, DType) and not element.is_float
            return None if fixed else TensorType(to, shape)
        case RecordType(arguments=arguments) as record:
            cast = [_cast_value(value, to) for value in arguments]
            if all(value is None for value in cast):
                return None
            pairs = zip(cast, arguments, strict=True)
            kept = tuple(old if new is None else new for new, old in pairs)
            return replace(record, arguments=kept)
        case StackType(count, item):
            inner = cast_type(item, to)
            return None if inner is None else StackType(count, inner)
        case TupleType(items):
            parts = [cast_type(item, to) for item in items]
            if all(part is None for part in parts):
                return None
            return TupleType(tuple(new or old for new, old in zip(parts, items, strict=True)))
        case _:
            return None


def _cast_value(value: GenericValue, to: Element) -> GenericValue | None:
    match value:
        case Size() | PackValue():
            return None
        case DType() | ElementName() | Number():
            return to
        case _:
            return cast_type(value, to)
