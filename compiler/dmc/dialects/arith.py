"""`arith`: constants, arithmetic, comparison, selection and conversion, element by element.

As in MLIR, the same operations work on scalars, vectors and tensors.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

import numpy as np

from dmc.dialects.elementwise import (
    OUT,
    Elementwise,
    Keep,
    Negated,
    Same,
    Scale,
    X,
    Y,
    call,
    splat_of,
)
from dmc.dialects.elementwise import (
    compare as compare_expr,
)
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


class Constant(Operation):
    """`arith.constant`: the attribute `value`.

    C1: `value` is dense elements of the result type for a tensor, else a number (a splat).
    """

    name = "arith.constant"
    traits = frozenset({Trait.CONSTANT})
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
            else isinstance(value, (bool, int, float))
        )
        self.require(1, ok, f"value does not fit {type_}")

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


class Add(Elementwise):
    """`arith.add`."""

    name = "arith.add"
    traits = frozenset({Trait.ELEMENTWISE, Trait.COMMUTATIVE})
    lhs = operand()
    rhs = operand()
    result = result()
    numpy = np.add
    terms = (Same(), Same())

    def fold(self) -> Sequence[Value | Attribute] | None:
        if splat_of(self.rhs) == 0:
            return (self.lhs,)
        if splat_of(self.lhs) == 0:
            return (self.rhs,)
        return super().fold()


class Subtract(Elementwise):
    """`arith.subtract`."""

    name = "arith.subtract"
    lhs = operand()
    rhs = operand()
    result = result()
    numpy = np.subtract
    terms = (Same(), Negated())

    def fold(self) -> Sequence[Value | Attribute] | None:
        if splat_of(self.rhs) == 0:
            return (self.lhs,)
        return super().fold()

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        if splat_of(self.lhs) == 0:
            return (negate(builder, self.rhs),)
        return None


class Multiply(Elementwise):
    """`arith.multiply`."""

    name = "arith.multiply"
    traits = frozenset({Trait.ELEMENTWISE, Trait.COMMUTATIVE})
    lhs = operand()
    rhs = operand()
    result = result()
    numpy = np.multiply
    terms = (Scale(Y), Scale(X))

    def fold(self) -> Sequence[Value | Attribute] | None:
        for one, other in ((self.lhs, self.rhs), (self.rhs, self.lhs)):
            splat = splat_of(one)
            if splat == 1:
                return (other,)
            # Only for integers: a float zero times inf or NaN is NaN.
            if splat == 0 and dtype_of(one.type).is_integer:
                return (one,)
        return super().fold()

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        for one, other in ((self.lhs, self.rhs), (self.rhs, self.lhs)):
            if splat_of(one) == -1:
                return (negate(builder, other),)
        return None


def _divide(x: Array, y: Array) -> Array:
    """Float division; integers truncate toward zero, by zero give 0."""
    if x.dtype.kind == "f":
        return np.divide(x, y)
    safe = np.where(y == 0, 1, y)
    quotient = np.floor_divide(x, safe)
    inexact = (quotient * safe != x) & ((x < 0) != (safe < 0))
    return np.where(y == 0, 0, quotient + inexact)


class Divide(Elementwise):
    """`arith.divide`: integers truncate toward zero (StableHLO); by zero they give 0."""

    name = "arith.divide"
    lhs = operand()
    rhs = operand()
    result = result()
    numpy = _divide
    terms = (Scale(1.0 / Y), Scale(-(OUT / Y)))
    flops = 4

    def fold(self) -> Sequence[Value | Attribute] | None:
        if splat_of(self.rhs) == 1:
            return (self.lhs,)
        return super().fold()


class FloorDivide(Elementwise):
    """`arith.floor_divide`: rounds down, as Python's `//`; integers by 0 give 0."""

    name = "arith.floor_divide"
    lhs = operand()
    rhs = operand()
    result = result()
    terms = (None, None)
    flops = 5

    @staticmethod
    def numpy(x: Array, y: Array) -> Array:
        if x.dtype.kind == "f":
            return np.floor(np.divide(x, y))
        return np.where(y == 0, 0, np.floor_divide(x, np.where(y == 0, 1, y)))


class Remainder(Elementwise):
    """`arith.remainder`: takes the sign of the divisor, as Python's `%`; integers by 0 give 0.

    For floats `x - floor(x / y) * y`, which is also how it is differentiated.
    """

    name = "arith.remainder"
    lhs = operand()
    rhs = operand()
    result = result()
    terms = (Same(), Scale(-call("math.floor", X / Y)))
    flops = 6

    @staticmethod
    def numpy(x: Array, y: Array) -> Array:
        if x.dtype.kind == "f":
            return x - np.floor(np.divide(x, y)) * y
        return np.where(y == 0, 0, np.remainder(x, np.where(y == 0, 1, y)))


class Negate(Elementwise):
    """`arith.negate`."""

    name = "arith.negate"
    operand = operand()
    result = result()
    numpy = np.negative
    terms = (Negated(),)

    def fold(self) -> Sequence[Value | Attribute] | None:
        inner = self.operand.defining_op
        if isinstance(inner, Negate):
            return (inner.operand,)
        return super().fold()


class Maximum(Elementwise):
    """`arith.maximum`: NaN if either is; on a tie the derivative goes to the first operand."""

    name = "arith.maximum"
    lhs = operand()
    rhs = operand()
    result = result()
    numpy = np.maximum
    terms = (
        Keep(compare_expr("GE", X, Y)),
        Keep(compare_expr("GE", X, Y), negate=True),
    )


class Minimum(Elementwise):
    """`arith.minimum`: NaN if either is; on a tie the derivative goes to the first operand."""

    name = "arith.minimum"
    lhs = operand()
    rhs = operand()
    result = result()
    numpy = np.minimum
    terms = (
        Keep(compare_expr("LE", X, Y)),
        Keep(compare_expr("LE", X, Y), negate=True),
    )


class Relu(Elementwise):
    """`arith.relu`: `max(x, 0)` whose derivative at 0 is 0 (language.md 13.15); NaN stays NaN."""

    name = "arith.relu"
    operand = operand()
    result = result()
    terms = (Keep(compare_expr("GT", OUT, 0.0)),)

    @staticmethod
    def numpy(x: Array) -> Array:
        return np.maximum(x, np.zeros((), x.dtype))


class Abs(Elementwise):
    """`arith.abs`; the derivative at 0 is 0."""

    name = "arith.abs"
    operand = operand()
    result = result()
    numpy = np.abs
    terms = (Scale(call("arith.sign", X)),)


class Sign(Elementwise):
    """`arith.sign`: -1, 0 or 1; NaN stays NaN."""

    name = "arith.sign"
    operand = operand()
    result = result()
    numpy = np.sign
    terms = (None,)


class Direction(enum.Enum):
    """Comparisons, by StableHLO's names. All but `NE` are false when an operand is NaN."""

    EQ = "EQ"
    NE = "NE"
    LT = "LT"
    LE = "LE"
    GT = "GT"
    GE = "GE"


_COMPARE = {
    Direction.EQ: np.equal,
    Direction.NE: np.not_equal,
    Direction.LT: np.less,
    Direction.LE: np.less_equal,
    Direction.GT: np.greater,
    Direction.GE: np.greater_equal,
}


class Compare(Elementwise):
    """`arith.compare`: an `i1` for each pair of elements."""

    name = "arith.compare"
    traits = frozenset({Trait.ELEMENTWISE, Trait.INTEGER_VALUED})
    lhs = operand()
    rhs = operand()
    direction = attribute(Direction)
    result = result()
    terms = (None, None)

    def infer(self) -> Sequence[Type]:
        return (with_dtype(super().infer()[0], DType.BOOL),)

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        return (_COMPARE[self.direction](*operands),)


class Select(Elementwise):
    """`arith.select`: `on_true` where `predicate` holds, else `on_false`.

    C1: the predicate is `i1` of the operands' shape.
    """

    name = "arith.select"
    predicate = operand()
    on_true = operand()
    on_false = operand()
    result = result()
    numpy = np.where
    terms = (None, Keep(X), Keep(X, negate=True))

    def infer(self) -> Sequence[Type]:
        type_ = self.on_true.type
        self.require(0, self.on_false.type == type_, "the two values differ in type")
        self.require(1, self.predicate.type == with_dtype(type_, DType.BOOL), "predicate type")
        return (type_,)

    def fold(self) -> Sequence[Value | Attribute] | None:
        if self.on_true is self.on_false:
            return (self.on_true,)
        match splat_of(self.predicate):
            case True:
                return (self.on_true,)
            case False:
                return (self.on_false,)
            case _:
                return super().fold()


class Convert(Elementwise):
    """`arith.convert` to the element type of the result.

    Floats become integers by truncation (saturating; NaN gives 0), numbers become `i1` by `!= 0`.
    C1: shapes agree.
    """

    name = "arith.convert"
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

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        (x,) = operands
        target = dtype_of(self.result.type)
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
        return super().fold()

    def batch(self, builder: Builder, operands: Sequence[Batched]) -> Sequence[Batched]:
        value = operands[0].value
        type_ = with_dtype(value.type, dtype_of(self.result.type))
        new = Convert([value], result_types=[type_], location=self.location)
        return (Batched(builder.insert(new).result, operands[0].axes),)


class And(Elementwise):
    """`arith.and`: bitwise; logical on `i1`."""

    name = "arith.and"
    traits = frozenset({Trait.ELEMENTWISE, Trait.COMMUTATIVE, Trait.INTEGER_VALUED})
    lhs = operand()
    rhs = operand()
    result = result()
    numpy = np.bitwise_and
    terms = (None, None)

    def fold(self) -> Sequence[Value | Attribute] | None:
        for one, other in ((self.lhs, self.rhs), (self.rhs, self.lhs)):
            match splat_of(one):
                case True:
                    return (other,)
                case False:
                    return (one,)
                case _:
                    pass
        return super().fold()


class Or(Elementwise):
    """`arith.or`: bitwise; logical on `i1`."""

    name = "arith.or"
    traits = frozenset({Trait.ELEMENTWISE, Trait.COMMUTATIVE, Trait.INTEGER_VALUED})
    lhs = operand()
    rhs = operand()
    result = result()
    numpy = np.bitwise_or
    terms = (None, None)

    def fold(self) -> Sequence[Value | Attribute] | None:
        for one, other in ((self.lhs, self.rhs), (self.rhs, self.lhs)):
            match splat_of(one):
                case False:
                    return (other,)
                case True:
                    return (one,)
                case _:
                    pass
        return super().fold()


class Xor(Elementwise):
    """`arith.xor`: bitwise."""

    name = "arith.xor"
    traits = frozenset({Trait.ELEMENTWISE, Trait.COMMUTATIVE, Trait.INTEGER_VALUED})
    lhs = operand()
    rhs = operand()
    result = result()
    numpy = np.bitwise_xor
    terms = (None, None)


class Not(Elementwise):
    """`arith.not`: bitwise; logical on `i1`."""

    name = "arith.not"
    traits = frozenset({Trait.ELEMENTWISE, Trait.INTEGER_VALUED})
    operand = operand()
    result = result()
    numpy = np.invert
    terms = (None,)


class ShiftLeft(Elementwise):
    """`arith.shift_left`: zeros come in; shifting by the width or more gives 0."""

    name = "arith.shift_left"
    traits = frozenset({Trait.ELEMENTWISE, Trait.INTEGER_VALUED})
    lhs = operand()
    rhs = operand()
    result = result()
    terms = (None, None)

    @staticmethod
    def numpy(x: Array, y: Array) -> Array:
        bits = x.dtype.itemsize * 8
        inside = (y >= 0) & (y < bits)
        return np.where(inside, np.left_shift(x, np.where(inside, y, 0)), 0)


class ShiftRightLogical(Elementwise):
    """`arith.shift_right_logical`: zeros come in; shifting by the width or more gives 0."""

    name = "arith.shift_right_logical"
    traits = frozenset({Trait.ELEMENTWISE, Trait.INTEGER_VALUED})
    lhs = operand()
    rhs = operand()
    result = result()
    terms = (None, None)

    @staticmethod
    def numpy(x: Array, y: Array) -> Array:
        bits = x.dtype.itemsize * 8
        unsigned = x.view(np.dtype(f"u{x.dtype.itemsize}"))
        inside = (y >= 0) & (y < bits)
        shift = np.where(inside, y, 0).astype(unsigned.dtype)
        shifted = np.right_shift(unsigned, shift)
        return np.where(inside, shifted, 0).astype(unsigned.dtype).view(x.dtype)


# Builder functions


def constant(builder: Builder, value: Array | float | int | bool, type_: Type) -> Value:
    """A constant of `type_`: a number is repeated, an array must have the type's shape."""
    data: Attribute
    if isinstance(type_, TensorType):
        array = np.asarray(value, dtype=type_.dtype.numpy)
        data = DenseElements(np.broadcast_to(array, type_.shape), type_)
    else:
        data = np.asarray(value, dtype=dtype_of(type_).numpy).item()
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


def add(builder: Builder, x: Value, y: Value) -> Value:
    return builder.insert(Add([x, y])).result


def subtract(builder: Builder, x: Value, y: Value) -> Value:
    return builder.insert(Subtract([x, y])).result


def multiply(builder: Builder, x: Value, y: Value) -> Value:
    return builder.insert(Multiply([x, y])).result


def divide(builder: Builder, x: Value, y: Value) -> Value:
    return builder.insert(Divide([x, y])).result


def floor_divide(builder: Builder, x: Value, y: Value) -> Value:
    return builder.insert(FloorDivide([x, y])).result


def remainder(builder: Builder, x: Value, y: Value) -> Value:
    return builder.insert(Remainder([x, y])).result


def negate(builder: Builder, x: Value) -> Value:
    return builder.insert(Negate([x])).result


def maximum(builder: Builder, x: Value, y: Value) -> Value:
    return builder.insert(Maximum([x, y])).result


def minimum(builder: Builder, x: Value, y: Value) -> Value:
    return builder.insert(Minimum([x, y])).result


def compare(builder: Builder, direction: Direction, x: Value, y: Value) -> Value:
    return builder.insert(Compare([x, y], {"direction": direction.value})).result


def select(builder: Builder, predicate: Value, on_true: Value, on_false: Value) -> Value:
    return builder.insert(Select([predicate, on_true, on_false])).result


def convert(builder: Builder, x: Value, dtype: DType) -> Value:
    """`x` itself when it has that element type already."""
    if dtype_of(x.type) is dtype:
        return x
    return builder.insert(Convert([x], result_types=[with_dtype(x.type, dtype)])).result


def logical_and(builder: Builder, x: Value, y: Value) -> Value:
    return builder.insert(And([x, y])).result


def logical_or(builder: Builder, x: Value, y: Value) -> Value:
    return builder.insert(Or([x, y])).result


def logical_not(builder: Builder, x: Value) -> Value:
    return builder.insert(Not([x])).result
