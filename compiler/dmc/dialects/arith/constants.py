"""Constants and conversion between element types."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dmc.dialects.elementwise import Elementwise, Same
from dmc.dialects.ranges import ANY, Range
from dmc.ir import (
    Array,
    Attribute,
    Batched,
    Builder,
    Cost,
    DenseElements,
    DType,
    Interpreter,
    Operation,
    TensorType,
    Trait,
    Type,
    Value,
    attribute,
    dtype_of,
    operand,
    result,
    shape_of,
    with_dtype,
)
from dmc.ir.halves import array_of, rounded, widened


def holds(dtype: DType, value: float) -> bool:
    """Whether a number is one of an element type; any number rounds to a float."""
    if dtype is DType.BOOL:
        return value in (0, 1)
    if dtype.is_float:
        return isinstance(value, float) or abs(value) < 1 << 1024
    half = 1 << (8 * dtype.bytes - 1)
    return not isinstance(value, float) and -half <= value < half


class Constant(Operation):
    """`arith.constant`: the attribute `value`.

    C1: `value` is dense elements of the result type for a tensor, else a number (a splat) that the
    element type holds.
    """

    name = "arith.constant"
    traits = frozenset({Trait.CONSTANT})
    value = attribute[object](object)
    result = result()

    def infer(self) -> Sequence[Type]:
        value = self.attributes["value"]
        self.require(1, isinstance(value, DenseElements), "a number needs a result type")
        return (value.type,) if isinstance(value, DenseElements) else ()

    def verify_(self) -> None:
        value = self.attributes.get("value")
        type_ = self.result.type
        ok = (
            isinstance(value, DenseElements) and value.type == type_
            if isinstance(type_, TensorType)
            else isinstance(value, bool | int | float) and holds(dtype_of(type_), value)
        )
        self.require(1, ok, "value does not fit {}", type_)

    def verify_types(self) -> None:
        pass  # a number has the type that is given; that of elements is checked above

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        value = self.attributes["value"]
        if isinstance(value, DenseElements):
            return (value.array,)
        type_ = self.result.type
        return (np.full(shape_of(type_), value, dtype_of(type_).numpy),)

    def tangent(self, builder: Builder, tangents: Sequence[Value | None]) -> Sequence[Value | None]:
        return (None,)

    def adjoint(
        self, builder: Builder, cotangents: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        return ()

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        return (Batched(builder.insert(self.clone({})).results[0]),)

    def cost(self) -> Cost:
        return Cost()


class Convert(Elementwise):
    """`arith.convert` to the element type of the result.

    Floats become integers by truncation (saturating; NaN gives 0), numbers become `i1` by `!= 0`.
    What becomes `f16` or `bf16` is rounded once, to nearest, ties to even.
    C1: shapes agree.
    """

    name = "arith.convert"
    computes = False
    operand = operand()
    result = result()

    @property
    def terms(self) -> tuple[Same | None]:  # type: ignore[override]
        types = (self.operand.type, self.result.type)
        return (Same() if all(dtype_of(type_).is_float for type_ in types) else None,)

    def infer(self) -> Sequence[Type]:
        self.require(1, False, "the result type must be given")
        return ()

    def verify_(self) -> None:
        same = shape_of(self.operand.type) == shape_of(self.result.type)
        self.require(1, same, "operand and result differ in shape")

    def verify_types(self) -> None:
        pass  # the result type is given

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        x = widened(operands[0])
        target = dtype_of(self.result.type)
        if target.is_half:
            return (rounded(x, target),)
        if x.dtype.kind == "f" and target.is_integer:
            info = np.iinfo(target.value.replace("i", "int"))
            # The largest float below 2^63 is the last one that converts without overflow.
            out = np.where(np.isnan(x), 0, np.trunc(x))
            low, high = out <= info.min, out >= float(info.max)
            whole = np.where(low | high, 0, out).astype(target.numpy)
            return (np.where(low, info.min, np.where(high, info.max, whole)).astype(target.numpy),)
        return (x.astype(target.numpy),)

    def fold(self) -> Sequence[Value | Attribute] | None:
        if self.operand.type == self.result.type:
            return (self.operand,)
        inner = self.operand.defining_op
        if isinstance(inner, Convert) and self.result.type == inner.operand.type:
            # f32 holds f16 and bf16, and f64 all three: back again nothing is lost.
            narrow, wide = dtype_of(self.result.type), dtype_of(self.operand.type)
            if narrow.is_float and wide.is_float and wide.bytes > narrow.bytes:
                return (inner.operand,)
        return super().fold()

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        value = operands[0].value
        type_ = with_dtype(value.type, dtype_of(self.result.type))
        new = Convert([value], result_types=[type_], location=self.location)
        return (Batched(builder.insert(new).result, operands[0].axes),)

    def range_of(self, operands: Sequence[Range]) -> Range:
        """Nothing is known of floats as integers, nor of what wraps; truth values are 0 and 1."""
        (of,) = operands
        before, after = dtype_of(self.operand.type), dtype_of(self.result.type)
        if before is DType.BOOL:
            return Range(0, 1)
        if after.is_float:
            return of
        beyond = 2 ** (8 * after.numpy.itemsize - 1)
        fits = before.is_integer and after.is_integer and -beyond <= of.low and of.high < beyond
        return of if fits else ANY


def constant(builder: Builder, value: Array | float | int | bool, type_: Type) -> Value:
    """A constant of `type_`: a number is repeated, an array must have the type's shape."""
    data: Attribute
    if isinstance(type_, TensorType):
        array = array_of(value, type_.dtype)
        data = DenseElements(np.broadcast_to(array, type_.shape), type_)
    else:
        data = array_of(value, dtype_of(type_)).item()
    return builder.insert(Constant([], {"value": data}, result_types=[type_])).result


def scalar(builder: Builder, value: float | int | bool, dtype: DType) -> Value:
    """A 0-d tensor constant."""
    return constant(builder, value, TensorType((), dtype))


def index(builder: Builder, value: int) -> Value:
    """A 0-d `i64` tensor constant."""
    return scalar(builder, value, DType.I64)


def zeros(builder: Builder, type_: Type) -> Value:
    """A zero of `type_`; false for `i1`."""
    return constant(builder, 0, type_)


def ones(builder: Builder, type_: Type) -> Value:
    """A one of `type_`; true for `i1`."""
    return constant(builder, 1, type_)


def convert(builder: Builder, x: Value, dtype: DType) -> Value:
    """`x` itself when it has that element type already."""
    if dtype_of(x.type) is dtype:
        return x
    return builder.insert(Convert([x], result_types=[with_dtype(x.type, dtype)])).result
