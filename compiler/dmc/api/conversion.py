"""Python values to arrays in the order that compiled functions take them, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

from dmc.api.records import declaration_of, record_class
from dmc.ir.location import Span
from dmc.ir.types import Array, DType
from dmc.semantics.signature import (
    FunctionReference,
    Given,
    GivenArray,
    GivenFunction,
    GivenNumber,
    GivenRecord,
    GivenTuple,
    NumberClass,
)
from dmc.semantics.sizes import Size
from dmc.semantics.types import (
    KeyType,
    RecordName,
    RecordType,
    Role,
    StackType,
    TensorType,
    TupleType,
    Type,
    children,
    resolved,
)
from dmc.syntax.diagnostics import Diagnostic, Label
from dmc.syntax.errors import Error, error
from dmc_runtime.records import (
    Constant,
    Record,
    Tree,
    build,
    constants_of,
    spec_of,
    stack_of,
    values_of,
)

PythonValue = Any
"""What users pass and get: arrays, numbers, records, tuples and functions."""


def refuse(code: str, message: str, span: Span, help_: str = "") -> Error:
    """The error for a value that does not fit; `span` is the declaration that was not met."""
    notes = (help_,) if help_ else ()
    return error(Diagnostic(code, message, Label(span), help=notes, at_call=True))


def give(value: PythonValue, declared: Type, where: str, span: Span) -> Given:
    """Describe a Python value for `Signature.bind`.

    `declared` tells a gradient from a whole record. Raises dmc.Error for values of no known kind.
    """
    reference = getattr(value, "reference", None)
    if isinstance(reference, FunctionReference):
        return GivenFunction(reference)
    if isinstance(value, np.ndarray | np.generic):
        return _give_array(np.asarray(cast("Array", value)), where, span)
    if isinstance(value, bool):
        return GivenNumber(NumberClass.BOOL)
    if isinstance(value, int):
        return GivenNumber(NumberClass.INT)
    if isinstance(value, float):
        return GivenNumber(NumberClass.FLOAT)
    if isinstance(value, Record):
        return _give_record(value, declared, where, span)
    if isinstance(value, tuple):
        items = cast("Sequence[PythonValue]", value)
        types = declared.items if isinstance(declared, TupleType) else (declared,) * len(items)
        return GivenTuple(
            tuple(
                give(item, type_, f"{where}[{i}]", span)
                for i, (item, type_) in enumerate(zip(items, types, strict=False))
            )
        )
    kind = type(value).__name__
    hint = "wrap it: `np.asarray(…)`" if isinstance(value, list) else "pass a NumPy array"
    raise refuse("call.value", f"{where} is a {kind}, not {declared}", span, hint)


def _give_array(value: Array, where: str, span: Span) -> Given:
    dtype: np.dtype[Any] = value.dtype
    if not dtype.isnative:
        native = dtype.newbyteorder("=").name
        hint = f"convert it: `{where}.astype(np.{native})`"
        raise refuse("call.byteorder", f"{where} is byte-swapped", span, hint)
    try:
        return GivenArray(DType.of(dtype), value.shape)
    except KeyError:
        hint = "the element types are f16, f32, f64, i32, i64 and bool"
        raise refuse("call.dtype", f"{where} has dtype {dtype}", span, hint) from None


def _give_record(value: Record, declared: Type, where: str, span: Span) -> Given:
    declaration = declaration_of(type(value))
    if declaration is None:
        raise refuse("call.value", f"{where} is a record made by hand", span, "load its module")
    is_grad = isinstance(declared, RecordType | RecordName) and declared.is_grad
    constants = constants_of(value)
    fields = dict(zip(spec_of(value).names, values_of(value), strict=True))
    entries: list[tuple[str, Given]] = []
    for entry in declaration.fields:
        item: PythonValue = fields.get(entry.name)
        if entry.role is Role.HYPER:
            item = constants.get(entry.name)
        if item is None:
            is_grad = True
            continue
        if is_grad and not entry.role.is_trained:
            continue
        inner = entry.type
        if is_grad and isinstance(inner, RecordType):
            inner = RecordType(inner.declaration, inner.arguments, is_grad=True)
        entries.append((entry.name, give(item, inner, f"{where}.{entry.name}", span)))
    if stack_of(value):
        # Sizes and hyperparameters of a stack are those of each of its records.
        count = stack_of(value)
        entries = [(name, _stacked(item, count)) for name, item in entries]
    return GivenRecord(declaration, tuple(entries), is_grad)


def _stacked(given: Given, count: tuple[int, ...]) -> Given:
    if isinstance(given, GivenNumber):
        dtype = DType.F32 if given.number is NumberClass.FLOAT else DType.I64
        return GivenArray(dtype, count)
    return given


def flatten(value: PythonValue, type_: Type) -> Iterator[Array]:
    """The leaves of a value of concrete type `type_`, contiguous and of the declared dtype.

    An array that fits already is passed on as it is; the caller has matched shapes and dtypes.
    """
    match type_:
        case TensorType(element, shape):
            dtype = resolved(element)
            assert isinstance(dtype, DType)
            array = np.ascontiguousarray(value, dtype.numpy)
            yield array.reshape(_extents(shape)) if array.shape != _extents(shape) else array
        case KeyType():
            yield np.asarray(value, np.int64)
        case TupleType(items):
            for item, part in zip(value, items, strict=True):
                yield from flatten(item, part)
        case RecordType() | StackType():
            yield from _flatten_record(value, type_)
        case _:
            return


def _flatten_record(value: Record, type_: Type) -> Iterator[Array]:
    fields: dict[str, PythonValue] = dict(constants_of(value))
    fields.update(zip(spec_of(value).names, values_of(value), strict=True))
    for name, part, _ in children(type_):
        item = fields[name]
        if isinstance(part, TensorType) and np.ndim(item) < len(part.shape):
            # A hyperparameter of a stack: one number for all of its records.
            item = np.broadcast_to(item, _extents(part.shape))
        yield from flatten(item, part)


def _extents(shape: Sequence[object]) -> tuple[int, ...]:
    extents: list[int] = []
    for axis in shape:
        assert isinstance(axis, Size)
        assert axis.constant is not None
        extents.append(axis.constant)
    return tuple(extents)


def rebuild(type_: Type, arrays: Iterator[Array]) -> PythonValue:
    """A Python value of concrete type `type_` from its leaves; 0-d ones become NumPy scalars."""
    match type_:
        case TensorType(_, ()) | KeyType():
            return next(arrays)[()]
        case TensorType():
            return next(arrays)
        case TupleType(items):
            return tuple(rebuild(item, arrays) for item in items)
        case RecordType():
            return _rebuild_record(type_, type_, (), arrays)
        case StackType():
            item, counts = _unstacked(type_)
            return _rebuild_record(item, type_, counts, arrays)
        case _:
            raise TypeError(f"{type_} does not come back from a call")


def _unstacked(type_: Type) -> tuple[RecordType, tuple[int, ...]]:
    counts: list[Size] = []
    while isinstance(type_, StackType):
        counts.append(type_.count)
        type_ = type_.item
    assert isinstance(type_, RecordType)
    return type_, _extents(counts)


def _rebuild_record(
    record: RecordType, whole: Type, stack: tuple[int, ...], arrays: Iterator[Array]
) -> Record:
    cls = record_class(record.declaration)
    values: dict[str, Tree] = {}
    constants: dict[str, Constant] = dict(sizes_of(record))
    for name, part, role in children(whole):
        value = rebuild(part, arrays)
        if role is Role.HYPER:
            constants[name] = np.asarray(value).reshape(-1)[0].item()
        else:
            values[name] = value
    return build(cls, [values.get(name) for name in spec_of(cls).names], constants, stack)


def sizes_of(record: RecordType) -> Mapping[str, int]:
    """The sizes that a concrete record carries, derived ones (`dim K = D / H`) included."""
    generics = record.generics()
    return {
        name: size.constant for name, size in generics.sizes.items() if size.constant is not None
    }
