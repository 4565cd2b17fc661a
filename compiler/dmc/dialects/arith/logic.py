"""Comparison, selection and operations on bits."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import numpy as np

from dmc.dialects.elementwise import Binary, Elementwise, Keep, Unary, X, splat_of
from dmc.dialects.ranges import Range
from dmc.ir import (
    Array,
    Attribute,
    Builder,
    DType,
    Interpreter,
    Trait,
    Type,
    Value,
    attribute,
    operand,
    result,
    with_dtype,
)


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


class Compare(Binary):
    """`arith.compare`: an `i1` for each pair of elements."""

    name = "arith.compare"
    traits = frozenset({Trait.ELEMENTWISE, Trait.INTEGER_VALUED})
    direction = attribute(Direction)
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
    computes = False
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

    def canonicalize(self, builder: Builder) -> Sequence[Value] | None:
        """Of truth values, one of which is known, it is `and` or `or`."""
        for known, other, when in (
            (self.on_true, self.on_false, True),
            (self.on_false, self.on_true, False),
        ):
            decided = splat_of(known)
            if not isinstance(decided, bool):
                continue
            asked = self.predicate if decided is when else logical_not(builder, self.predicate)
            join = logical_or if decided else logical_and
            return (join(builder, asked, other),)
        return None

    def range_of(self, operands: Sequence[Range]) -> Range:
        _, on_true, on_false = operands
        return on_true.union(on_false)


class Weight(Elementwise):
    """`arith.weight`: `value`, of which zeros are meant: a product with one of them is 0.

    Where `absent` holds, `value` is such a zero, as who makes it promises, and has no derivative.
    See `settle-weights`, which guards the products.

    C1: `absent` is `i1` of the shape of `value`.
    """

    name = "arith.weight"
    computes = False
    absent = operand()
    value = operand()
    result = result()
    terms = (None, Keep(X, negate=True))
    flops = 0

    @staticmethod
    def numpy(absent: Array, value: Array) -> Array:
        return value

    def infer(self) -> Sequence[Type]:
        type_ = self.value.type
        self.require(1, self.absent.type == with_dtype(type_, DType.BOOL), "type of `absent`")
        return (type_,)

    def range_of(self, operands: Sequence[Range]) -> Range:
        _, value = operands
        return value


def _absorbed(op: Binary, absorbing: bool) -> Sequence[Value] | None:
    """One operand if the other is known: `absorbing` decides the result, its opposite nothing."""
    for one, other in ((op.lhs, op.rhs), (op.rhs, op.lhs)):
        known = splat_of(one)
        if isinstance(known, bool):
            return (one,) if known is absorbing else (other,)
    return None


class And(Binary):
    """`arith.and`: bitwise; logical on `i1`."""

    name = "arith.and"
    traits = frozenset({Trait.ELEMENTWISE, Trait.COMMUTATIVE, Trait.INTEGER_VALUED})
    numpy = np.bitwise_and
    terms = (None, None)

    def fold(self) -> Sequence[Value | Attribute] | None:
        return _absorbed(self, absorbing=False) or super().fold()


class Or(Binary):
    """`arith.or`: bitwise; logical on `i1`."""

    name = "arith.or"
    traits = frozenset({Trait.ELEMENTWISE, Trait.COMMUTATIVE, Trait.INTEGER_VALUED})
    numpy = np.bitwise_or
    terms = (None, None)

    def fold(self) -> Sequence[Value | Attribute] | None:
        return _absorbed(self, absorbing=True) or super().fold()


class Xor(Binary):
    """`arith.xor`: bitwise."""

    name = "arith.xor"
    traits = frozenset({Trait.ELEMENTWISE, Trait.COMMUTATIVE, Trait.INTEGER_VALUED})
    numpy = np.bitwise_xor
    terms = (None, None)


class Not(Unary):
    """`arith.not`: bitwise; logical on `i1`."""

    name = "arith.not"
    traits = frozenset({Trait.ELEMENTWISE, Trait.INTEGER_VALUED})
    numpy = np.invert
    terms = (None,)


class ShiftLeft(Binary):
    """`arith.shift_left`: zeros come in; shifting by the width or more gives 0."""

    name = "arith.shift_left"
    traits = frozenset({Trait.ELEMENTWISE, Trait.INTEGER_VALUED})
    terms = (None, None)

    @staticmethod
    def numpy(x: Array, y: Array) -> Array:
        bits = x.dtype.itemsize * 8
        inside = (y >= 0) & (y < bits)
        return np.where(inside, np.left_shift(x, np.where(inside, y, 0)), 0)


class ShiftRightLogical(Binary):
    """`arith.shift_right_logical`: zeros come in; shifting by the width or more gives 0."""

    name = "arith.shift_right_logical"
    traits = frozenset({Trait.ELEMENTWISE, Trait.INTEGER_VALUED})
    terms = (None, None)

    @staticmethod
    def numpy(x: Array, y: Array) -> Array:
        bits = x.dtype.itemsize * 8
        unsigned = x.view(np.dtype(f"u{x.dtype.itemsize}"))
        inside = (y >= 0) & (y < bits)
        shift = np.where(inside, y, 0).astype(unsigned.dtype)
        shifted = np.right_shift(unsigned, shift)
        return np.where(inside, shifted, 0).astype(unsigned.dtype).view(x.dtype)


def compare(builder: Builder, direction: Direction, x: Value, y: Value) -> Value:
    return builder.insert(Compare([x, y], {"direction": direction.value})).result


def weight(builder: Builder, absent: Value, x: Value) -> Value:
    return builder.insert(Weight([absent, x])).result


def select(builder: Builder, predicate: Value, on_true: Value, on_false: Value) -> Value:
    return builder.insert(Select([predicate, on_true, on_false])).result


def logical_and(builder: Builder, x: Value, y: Value) -> Value:
    return builder.insert(And([x, y])).result


def logical_or(builder: Builder, x: Value, y: Value) -> Value:
    return builder.insert(Or([x, y])).result


def logical_not(builder: Builder, x: Value) -> Value:
    return builder.insert(Not([x])).result
