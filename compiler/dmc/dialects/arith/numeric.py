"""Arithmetic on numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from dmc.dialects import ranges
from dmc.dialects.elementwise import (
    OUT,
    Binary,
    Keep,
    Negated,
    Same,
    Scale,
    Unary,
    X,
    Y,
    call,
    elements_of,
    splat_of,
)
from dmc.dialects.elementwise import (
    compare as compare_expr,
)
from dmc.dialects.flow import Adding
from dmc.dialects.ranges import ANY, Range
from dmc.ir import Array, Attribute, Builder, Trait, Value, dtype_of


def _is_zero(value: Value, negative: bool) -> bool:
    """Whether `value` is an integer 0 or the float zero of that sign.

    `x + -0.0`, `x - 0.0` and `-0.0 - x` are x and -x; with the other zero they are not where x is
    a zero.
    """
    splat = splat_of(value)
    if splat != 0:
        return False
    return not isinstance(splat, float) or (math.copysign(1.0, splat) < 0) == negative


class Add(Binary, Adding):
    """`arith.add`."""

    name = "arith.add"
    traits = frozenset({Trait.ELEMENTWISE, Trait.COMMUTATIVE})
    numpy = np.add
    terms = (Same(), Same())

    @property
    def grows(self) -> Sequence[Value]:
        return self.operands

    def fold(self) -> Sequence[Value | Attribute] | None:
        for one, other in ((self.lhs, self.rhs), (self.rhs, self.lhs)):
            if _is_zero(other, negative=True):
                return (one,)
        return super().fold()

    def range_of(self, operands: Sequence[Range]) -> Range:
        return ranges.add(*operands)


class Subtract(Binary):
    """`arith.subtract`."""

    name = "arith.subtract"
    numpy = np.subtract
    terms = (Same(), Negated())

    def fold(self) -> Sequence[Value | Attribute] | None:
        if _is_zero(self.rhs, negative=False):
            return (self.lhs,)
        return super().fold()

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        if _is_zero(self.lhs, negative=True):
            return (negate(builder, self.rhs),)
        return None

    def range_of(self, operands: Sequence[Range]) -> Range:
        lhs, rhs = operands
        return ranges.add(lhs, ranges.negate(rhs))


class Product(Binary):
    """Base of products: `lhs_absorbs` if a zero of `lhs` makes 0 of an infinity or NaN in `rhs`."""

    lhs_absorbs: ClassVar[bool] = False
    rhs_absorbs: ClassVar[bool] = False

    def range_of(self, operands: Sequence[Range]) -> Range:
        """Squares of floats are not negative; integers without known ends may wrap around."""
        lhs, rhs = operands
        if not self.is_float and not (lhs.is_finite and rhs.is_finite):
            return ANY
        if self.lhs is self.rhs:
            lhs = rhs = ranges.absolute(lhs)
        return ranges.multiply(lhs, rhs)


class Multiply(Product):
    """`arith.multiply`."""

    name = "arith.multiply"
    traits = frozenset({Trait.ELEMENTWISE, Trait.COMMUTATIVE})
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


def multiplied(x: Array, y: Array, x_absorbs: bool, y_absorbs: bool) -> Array:
    """`x * y`, but +0 where a zero that absorbs meets an infinity or NaN."""
    product = np.multiply(x, y)
    for absorbs, zero, other in ((x_absorbs, x, y), (y_absorbs, y, x)):
        if absorbs:
            absorbed = (zero == 0) & ~np.isfinite(other)
            product = np.where(absorbed, np.zeros((), product.dtype), product)
    return product


class GuardedMultiply(Product):
    """`arith.guarded_multiply`: `lhs * rhs`, but +0 where `lhs` is 0 and `rhs` infinite or NaN.

    It scales a tangent or cotangent (`lhs`) by a partial derivative (`rhs`): what an untaken
    branch contributes is exactly zero, even if its derivative is not finite. Elsewhere it is the
    product in every bit. `lhs` being linear in what is differentiated along, both zeros absorb in
    the derivative by `rhs`.
    """

    name = "arith.guarded_multiply"
    terms = (Scale(Y), Scale(X, absorbs=True))
    lhs_absorbs = True

    @staticmethod
    def numpy(x: Array, y: Array) -> Array:
        return multiplied(x, y, True, False)

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        return _unguarded(builder, self)


class DoublyGuardedMultiply(Product):
    """`arith.doubly_guarded_multiply`: `lhs * rhs`, but +0 where one is 0 and the other not finite.

    The product of two tangents or cotangents, in derivatives of second and higher order.
    """

    name = "arith.doubly_guarded_multiply"
    traits = frozenset({Trait.ELEMENTWISE, Trait.COMMUTATIVE})
    terms = (Scale(Y, absorbs=True), Scale(X, absorbs=True))
    lhs_absorbs = True
    rhs_absorbs = True

    @staticmethod
    def numpy(x: Array, y: Array) -> Array:
        return multiplied(x, y, True, True)

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        return _unguarded(builder, self)


def _unguarded(builder: Builder, op: Product) -> Sequence[Value] | None:
    """`op` with no guard against what constants show cannot happen; None if that is nothing."""
    lhs = op.lhs_absorbs and _may_be_zero(op.lhs) and _may_be_infinite(op.rhs)
    rhs = op.rhs_absorbs and _may_be_zero(op.rhs) and _may_be_infinite(op.lhs)
    if (lhs, rhs) == (op.lhs_absorbs, op.rhs_absorbs):
        return None
    return (product(builder, op.lhs, op.rhs, lhs, rhs),)


def _may_be_zero(value: Value) -> bool:
    array = elements_of(value)
    return array is None or bool(np.any(array == 0))


def _may_be_infinite(value: Value) -> bool:
    """Whether `value` may hold an infinity or NaN."""
    array = elements_of(value)
    return array is None or not bool(np.all(np.isfinite(array)))


def _divide(x: Array, y: Array) -> Array:
    """Float division; integers truncate toward zero, by zero give 0."""
    if x.dtype.kind == "f":
        return np.divide(x, y)
    safe = np.where(y == 0, 1, y)
    quotient = np.floor_divide(x, safe)
    inexact = (quotient * safe != x) & ((x < 0) != (safe < 0))
    return np.where(y == 0, 0, quotient + inexact)


class Divide(Binary):
    """`arith.divide`: integers truncate toward zero (StableHLO); by zero they give 0."""

    name = "arith.divide"
    numpy = _divide
    terms = (Scale(1.0 / Y), Scale(-(OUT / Y)))
    flops = 4

    def fold(self) -> Sequence[Value | Attribute] | None:
        if splat_of(self.rhs) == 1:
            return (self.lhs,)
        return super().fold()

    def range_of(self, operands: Sequence[Range]) -> Range:
        return ranges.divide(*operands) if self.is_float else ANY


class FloorDivide(Binary):
    """`arith.floor_divide`: rounds down, as Python's and NumPy's `//`; integers by 0 give 0."""

    name = "arith.floor_divide"
    terms = (None, None)
    flops = 5

    @staticmethod
    def numpy(x: Array, y: Array) -> Array:
        if x.dtype.kind == "f":
            return np.floor_divide(x, y)
        return np.where(y == 0, 0, np.floor_divide(x, np.where(y == 0, 1, y)))

    def range_of(self, operands: Sequence[Range]) -> Range:
        lhs, rhs = operands
        if self.is_float or rhs.low != rhs.high or rhs.low <= 0:
            return ANY
        return Range(*(n // rhs.low if math.isfinite(n) else n for n in (lhs.low, lhs.high)))


class Remainder(Binary):
    """`arith.remainder`: takes the sign of the divisor, as Python's `%`; integers by 0 give 0.

    For floats what `x // y` times `y` leave of x, without rounding unless signs differ.
    """

    name = "arith.remainder"
    terms = (Same(), Scale(-call("arith.floor_divide", X, Y)))
    flops = 6

    @staticmethod
    def numpy(x: Array, y: Array) -> Array:
        if x.dtype.kind == "f":
            return np.remainder(x, y)
        return np.where(y == 0, 0, np.remainder(x, np.where(y == 0, 1, y)))

    def range_of(self, operands: Sequence[Range]) -> Range:
        _, by = operands
        return Range(0, by.high if self.is_float else by.high - 1) if by.low > 0 else ANY


class Negate(Unary):
    """`arith.negate`."""

    name = "arith.negate"
    numpy = np.negative
    terms = (Negated(),)

    def fold(self) -> Sequence[Value | Attribute] | None:
        inner = self.operand.defining_op
        if isinstance(inner, Negate):
            return (inner.operand,)
        return super().fold()

    def range_of(self, operands: Sequence[Range]) -> Range:
        return ranges.negate(*operands)


class Maximum(Binary):
    """`arith.maximum`: NaN if either is; on a tie the derivative goes to the first operand.

    Of zeros of either sign the value is the second operand.
    """

    name = "arith.maximum"
    terms = (
        Keep(compare_expr("GE", X, Y)),
        Keep(compare_expr("GE", X, Y), negate=True),
    )

    @staticmethod
    def numpy(x: Array, y: Array) -> Array:
        return np.where(np.isnan(x), x, np.where(x > y, x, y))

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        """The rectifier, which has the same derivative at 0."""
        if dtype_of(self.lhs.type).is_float and _is_zero(self.lhs, negative=False):
            return (builder.insert(Relu([self.rhs])).result,)
        return None

    def range_of(self, operands: Sequence[Range]) -> Range:
        lhs, rhs = operands
        return Range(max(lhs.low, rhs.low), max(lhs.high, rhs.high))


class Minimum(Binary):
    """`arith.minimum`: NaN if either is; on a tie the derivative goes to the first operand.

    Of zeros of either sign the value is the second operand.
    """

    name = "arith.minimum"
    terms = (
        Keep(compare_expr("LE", X, Y)),
        Keep(compare_expr("LE", X, Y), negate=True),
    )

    @staticmethod
    def numpy(x: Array, y: Array) -> Array:
        return np.where(np.isnan(x), x, np.where(x < y, x, y))

    def range_of(self, operands: Sequence[Range]) -> Range:
        lhs, rhs = operands
        return Range(min(lhs.low, rhs.low), min(lhs.high, rhs.high))


class Relu(Unary):
    """`arith.relu`: 0 for negative x, else x; the derivative at 0 is 0; NaN stays NaN."""

    name = "arith.relu"
    terms = (Keep(compare_expr("GT", OUT, 0.0)),)

    @staticmethod
    def numpy(x: Array) -> Array:
        return np.where(x < 0, np.zeros((), x.dtype), x)

    def range_of(self, operands: Sequence[Range]) -> Range:
        (of,) = operands
        return Range(max(of.low, 0.0), max(of.high, 0.0))


class Abs(Unary):
    """`arith.abs`; the derivative at 0 is 0."""

    name = "arith.abs"
    numpy = np.abs
    terms = (Scale(call("arith.sign", X)),)

    def range_of(self, operands: Sequence[Range]) -> Range:
        return ranges.absolute(*operands) if self.is_float else ANY


class Sign(Unary):
    """`arith.sign`: -1 or 1; zeros of either sign and NaN stay what they are."""

    name = "arith.sign"
    terms = (None,)

    @staticmethod
    def numpy(x: Array) -> Array:
        return np.where(x == 0, x, np.sign(x))

    def range_of(self, operands: Sequence[Range]) -> Range:
        (of,) = operands
        return Range(_sign(of.low), _sign(of.high))


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def add(builder: Builder, x: Value, y: Value) -> Value:
    return builder.insert(Add([x, y])).result


def subtract(builder: Builder, x: Value, y: Value) -> Value:
    return builder.insert(Subtract([x, y])).result


def multiply(builder: Builder, x: Value, y: Value) -> Value:
    return builder.insert(Multiply([x, y])).result


def guarded_multiply(builder: Builder, x: Value, y: Value) -> Value:
    return builder.insert(GuardedMultiply([x, y])).result


def product(
    builder: Builder, x: Value, y: Value, x_absorbs: bool = False, y_absorbs: bool = False
) -> Value:
    """`x * y`, guarded where a zero of one absorbs what the other is."""
    if x_absorbs and y_absorbs:
        return builder.insert(DoublyGuardedMultiply([x, y])).result
    if x_absorbs:
        return guarded_multiply(builder, x, y)
    return guarded_multiply(builder, y, x) if y_absorbs else multiply(builder, x, y)


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
