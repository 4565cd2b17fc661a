"""Python values to the arrays that compiled functions take, and back.

What depends on types alone is worked out once, when a function is compiled: the methods of
`Marshal` give functions that are then called for every value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from dmc.api.conversion import PythonValue, is_array, plain, refuse, refuse_kind
from dmc.api.records import Classes, has_hidden_sizes
from dmc.ir.halves import array_of
from dmc.ir.location import Span
from dmc.ir.types import Array, DType
from dmc.jit.shapes import Kind, Shape
from dmc.semantics.sizes import Size
from dmc.semantics.types import (
    KeyType,
    RecordType,
    Role,
    StackType,
    TensorType,
    TupleType,
    Type,
    children,
    resolved,
)
from dmc_runtime.records import Constant, Tree, build, constants_of, spec_of, values_of

Take = Callable[[PythonValue, list[Array]], None]
"""Appends the leaves of a value."""
Make = Callable[[Iterator[Array]], PythonValue]
"""Puts a value together from its leaves."""


@dataclass(frozen=True)
class Marshal:
    """How values of the concrete types of one program are taken apart and put together."""

    classes: Classes

    def taker(self, type_: Type, where: str, span: Span) -> Take:
        """Takes values apart in the order of `leaves(type_)`.

        Arrays are passed on as they are: compiled functions check dtype and shape. What is
        returned raises dmc.Error for a value of another kind; `where` names it, `span` declares it.
        """
        match type_:
            case TensorType(element):
                dtype = resolved(element)
                assert isinstance(dtype, DType)
                return _array_taker(dtype, type_, where, span)
            case KeyType():
                return _array_taker(DType.I64, type_, where, span)
            case TupleType(items):
                return _tuple_taker(
                    [self.taker(item, f"{where}[{i}]", span) for i, item in enumerate(items)],
                    type_,
                    where,
                    span,
                )
            case RecordType() | StackType():
                return self._record_taker(type_, where, span)
            case _:
                return _take_nothing

    def _record_taker(self, type_: RecordType | StackType, where: str, span: Span) -> Take:
        cls = self.classes[_unstacked(type_)[0].declaration]
        names = spec_of(cls).names
        fields: list[tuple[int, Take]] = []
        hypers: list[tuple[str, Take]] = []
        for name, part, role in children(type_):
            take = self.taker(part, f"{where}.{name}", span)
            if role is Role.HYPER:
                hypers.append((name, _spread(take, part)))
            else:
                fields.append((names.index(name), take))

        def take_record(value: PythonValue, out: list[Array]) -> None:
            if type(value) is not cls:
                raise refuse_kind(value, type_, where, span)
            if hypers:
                constants = constants_of(value)
                for name, part in hypers:
                    part(constants[name], out)
            values = values_of(value)
            for index, part in fields:
                part(values[index], out)

        return take_record

    def shape(self, type_: Type) -> Shape | None:
        """How values of an argument's type are put together.

        None for those that native code does not take apart: functions, and hyperparameters, which
        records carry as numbers of Python.
        """
        return self._shape(type_, Kind.ARRAY)

    def result_shape(self, type_: Type) -> Shape | None:
        """As `shape`, of what comes back: arrays without axes as scalars."""
        return self._shape(type_, Kind.NUMBER)

    def _shape(self, type_: Type, scalar: Kind) -> Shape | None:
        match type_:
            case TensorType(_, ()) | KeyType():
                return Shape(scalar)
            case TensorType():
                return Shape(Kind.ARRAY)
            case TupleType(items):
                parts = [self._shape(item, scalar) for item in items]
                return None if None in parts else Shape(Kind.TUPLE, tuple(filter(None, parts)))
            case RecordType() | StackType():
                return self._record_shape(type_, scalar)
            case _:
                return None

    def _record_shape(self, type_: RecordType | StackType, scalar: Kind) -> Shape | None:
        record, stack = _unstacked(type_)
        cls = self.classes[record.declaration]
        parts: dict[str, Shape] = {}
        for name, part, role in children(type_):
            shape = None if role is Role.HYPER else self._shape(part, scalar)
            if shape is None:
                return None
            parts[name] = shape
        fields = tuple(parts.get(name, Shape(Kind.NOTHING)) for name in spec_of(cls).names)
        is_seen = scalar is Kind.ARRAY and not has_hidden_sizes(cls)
        return Shape(Kind.RECORD, fields, cls, stack, None if is_seen else sizes_of(record))

    def maker(self, type_: Type) -> Make:
        """Puts values together; 0-d leaves become NumPy scalars."""
        match type_:
            case TensorType(_, ()) | KeyType():
                return _make_scalar
            case TensorType():
                return next
            case TupleType(items):
                return _tuple_maker([self.maker(item) for item in items])
            case RecordType() | StackType():
                return self._record_maker(type_)
            case _:
                raise TypeError(f"{type_} does not come back from a call")

    def _record_maker(self, type_: RecordType | StackType) -> Make:
        record, stack = _unstacked(type_)
        cls = self.classes[record.declaration]
        names = spec_of(cls).names
        sizes = sizes_of(record)
        parts = [
            (None if role is Role.HYPER else names.index(name), name, self.maker(part))
            for name, part, role in children(type_)
        ]

        def make(arrays: Iterator[Array]) -> PythonValue:
            values: list[Tree] = [None] * len(names)
            constants: dict[str, Constant] = dict(sizes)
            for index, name, part in parts:
                value = part(arrays)
                if index is None:
                    constants[name] = as_python(np.asarray(value))
                else:
                    values[index] = value
            return build(cls, values, constants, stack)

        return make


def _take_nothing(value: PythonValue, out: list[Array]) -> None:
    """Functions are part of the compiled code, not arguments."""


def _array_taker(dtype: DType, type_: Type, where: str, span: Span) -> Take:
    def take(value: PythonValue, out: list[Array]) -> None:
        if type(value) is np.ndarray:
            out.append(value)
        elif is_array(value):
            out.append(plain(value, where, span))
        elif isinstance(value, int | float):
            try:
                with np.errstate(over="raise"):
                    out.append(array_of(value, dtype))
            except ArithmeticError:
                message = f"{where} is {_shortened(value)}, which {type_} does not hold"
                raise refuse("call.value", message, span) from None
        else:
            raise refuse_kind(value, type_, where, span)

    return take


def _shortened(value: float) -> str:
    try:
        text = str(value)
    except ValueError:  # too many digits for Python to write
        return "an integer of thousands of digits"
    return text if len(text) <= 24 else f"{text[:8]}… ({len(text)} digits)"


def _tuple_taker(parts: Sequence[Take], type_: Type, where: str, span: Span) -> Take:
    def take(value: PythonValue, out: list[Array]) -> None:
        if not isinstance(value, tuple):
            raise refuse_kind(value, type_, where, span)
        items = cast("tuple[PythonValue, ...]", value)
        if len(items) != len(parts):
            message = f"{where} has {len(items)} parts, not {len(parts)}: {type_}"
            raise refuse("call.value", message, span)
        for part, item in zip(parts, items, strict=True):
            part(item, out)

    return take


def _spread(take: Take, type_: Type) -> Take:
    """For a hyperparameter: one number stands for all records of a stack."""
    assert isinstance(type_, TensorType)
    extents = _extents(type_.shape)
    if not extents:
        return take

    def spread(value: PythonValue, out: list[Array]) -> None:
        take(value, out)
        out[-1] = np.broadcast_to(out[-1], extents)

    return spread


def as_python(value: Array) -> Constant:
    """As Python writes it: 0.1 for the f32 next to 0.1, which that becomes again."""
    number = value.reshape(-1)[0]
    return float(str(number)) if value.dtype.kind == "f" else number.item()


def _make_scalar(arrays: Iterator[Array]) -> PythonValue:
    return next(arrays)[()]


def _tuple_maker(parts: Sequence[Make]) -> Make:
    def make(arrays: Iterator[Array]) -> PythonValue:
        return tuple([part(arrays) for part in parts])

    return make


def _unstacked(type_: Type) -> tuple[RecordType, tuple[int, ...]]:
    counts: list[Size] = []
    while isinstance(type_, StackType):
        counts.append(type_.count)
        type_ = type_.item
    assert isinstance(type_, RecordType)
    return type_, _extents(counts)


def _extents(shape: Sequence[object]) -> tuple[int, ...]:
    extents: list[int] = []
    for axis in shape:
        assert isinstance(axis, Size)
        assert axis.constant is not None
        extents.append(axis.constant)
    return tuple(extents)


def sizes_of(record: RecordType) -> Mapping[str, int]:
    """The sizes that a concrete record carries, derived ones (`dim K = D / H`) included."""
    generics = record.generics()
    return {
        name: size.constant for name, size in generics.sizes.items() if size.constant is not None
    }
