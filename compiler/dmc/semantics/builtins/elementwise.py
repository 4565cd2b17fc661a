"""Functions and operators that work element by element."""

from __future__ import annotations

import enum
import math as pymath
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dmc.dialects import arith, math
from dmc.dialects.arith import Direction
from dmc.ir import Builder, Value, dtype_of
from dmc.semantics.primitive import Primitive

Number = bool | int | float


class Operands(enum.Enum):
    """What elements a function takes."""

    FLOATS = "floats"
    NUMBERS = "numbers"
    ANY = "anything"


@dataclass(frozen=True, eq=False, kw_only=True)
class Elementwise(Primitive):
    """One element of the result for one element of each operand.

    `build` gives tensors from tensors of one shape, `fold` numbers from numbers at compile time.
    """

    build: Callable[..., Value]
    fold: Callable[..., Number] | None = None
    arity: int = 2
    operands: Operands = Operands.NUMBERS
    gives_bool: bool = False

    def folded(self, numbers: Sequence[Number]) -> Number | None:
        """The value at compile time; None where the run must give it (1 / 0, log of -1)."""
        if self.fold is None:
            return None
        try:
            return self.fold(*numbers)
        except (ArithmeticError, ValueError):
            return None

    def with_number(self, builder: Builder, operands: Sequence[Value | Number]) -> Value | None:
        """What is better built from a number than from a constant tensor, or None."""
        return None


# ---- operators --------------------------------------------------------------------------------


def _compare(name: str, direction: Direction, fold: Callable[..., bool]) -> Elementwise:
    def build(builder: Builder, x: Value, y: Value) -> Value:
        return arith.compare(builder, direction, x, y)

    return Elementwise(
        name, is_step=True, build=build, fold=fold, operands=Operands.ANY, gives_bool=True
    )


_LARGEST_EXPANDED_POWER = 8


class _Power(Elementwise):
    def with_number(self, builder: Builder, operands: Sequence[Value | Number]) -> Value | None:
        match operands:
            case [Value() as base, int() | float() as exponent]:
                whole = int(exponent)
                fits = exponent == whole and abs(whole) <= _LARGEST_EXPANDED_POWER
                if fits and (whole >= 0 or dtype_of(base.type).is_float):
                    return _whole_power(builder, base, whole)
            case _:
                pass
        return None


def _whole_power(builder: Builder, base: Value, exponent: int) -> Value:
    """Repeated squaring; exact derivatives at 0."""
    if exponent == 0:
        return arith.ones(builder, base.type)
    result: Value | None = None
    square, left = base, abs(exponent)
    while left:
        if left & 1:
            result = square if result is None else arith.multiply(builder, result, square)
        left >>= 1
        if left:
            square = arith.multiply(builder, square, square)
    assert result is not None
    if exponent < 0:
        return arith.divide(builder, arith.ones(builder, base.type), result)
    return result


def _power(builder: Builder, base: Value, exponent: Value) -> Value:
    dtype = dtype_of(base.type)
    if dtype_of(exponent.type) is not dtype:
        exponent = arith.convert(builder, exponent, dtype)
    return math.power(builder, base, exponent)


def _fold_power(x: Number, y: Number) -> Number:
    if x < 0 and not isinstance(y, int):
        raise ValueError("not a real number")
    return pymath.pow(x, y) if isinstance(x, float) or y < 0 else x**y


def _fold_divide(x: Number, y: Number) -> Number:
    return x / y


def _fold_floor(x: Number, y: Number) -> Number:
    return x // y


def _fold_negate(x: Number) -> Number:
    return -x


def _fold_and(x: Number, y: Number) -> bool:
    return bool(x) and bool(y)


def _fold_or(x: Number, y: Number) -> bool:
    return bool(x) or bool(y)


ADD = Elementwise("+", build=arith.add, fold=operator.add)
SUBTRACT = Elementwise("-", build=arith.subtract, fold=operator.sub)
MULTIPLY = Elementwise("*", build=arith.multiply, fold=operator.mul)
DIVIDE = Elementwise("/", build=arith.divide, fold=_fold_divide, operands=Operands.FLOATS)
FLOOR_DIVIDE = Elementwise("//", build=arith.floor_divide, fold=_fold_floor)
REMAINDER = Elementwise("%", build=arith.remainder, fold=operator.mod)
POWER = _Power("**", build=_power, fold=_fold_power)
NEGATE = Elementwise("negate", build=arith.negate, fold=_fold_negate, arity=1)
EQUAL = _compare("==", Direction.EQ, operator.eq)
NOT_EQUAL = _compare("!=", Direction.NE, operator.ne)
LESS = _compare("<", Direction.LT, operator.lt)
LESS_EQUAL = _compare("<=", Direction.LE, operator.le)
GREATER = _compare(">", Direction.GT, operator.gt)
GREATER_EQUAL = _compare(">=", Direction.GE, operator.ge)
AND = Elementwise("and", build=arith.logical_and, fold=_fold_and, operands=Operands.ANY)
OR = Elementwise("or", build=arith.logical_or, fold=_fold_or, operands=Operands.ANY)
NOT = Elementwise(
    "not", build=arith.logical_not, fold=operator.not_, arity=1, operands=Operands.ANY
)


# ---- functions of one operand -----------------------------------------------------------------


def _unary(name: str) -> Callable[[Builder, Value], Value]:
    """That of `math`."""
    return lambda builder, x: math.unary(builder, name, x)


def _fold_abs(x: Number) -> Number:
    return abs(x)


def _float(
    name: str,
    fold: Callable[[float], float] | None = None,
    build: Callable[[Builder, Value], Value] | None = None,
    is_step: bool = False,
) -> Elementwise:
    """A function of one float; `build` is that of `math` unless given."""
    return Elementwise(
        name,
        is_step=is_step,
        build=build or _unary(name),
        fold=fold,
        arity=1,
        operands=Operands.FLOATS,
    )


def _softplus(builder: Builder, x: Value) -> Value:
    """`log(1 + exp(x))` without overflow, smooth on either side to every order."""
    zero = arith.zeros(builder, x.type)
    positive = arith.compare(builder, Direction.GT, x, zero)
    tail = arith.select(builder, positive, arith.negate(builder, x), x)
    small = math.unary(builder, "log1p", math.exp(builder, tail))
    return arith.select(builder, positive, arith.add(builder, x, small), small)


def _gelu(builder: Builder, x: Value) -> Value:
    """The tanh form of Hendrycks and Gimpel, arXiv:1606.08415."""

    def number(value: float) -> Value:
        return arith.constant(builder, value, x.type)

    cube = arith.multiply(builder, arith.multiply(builder, x, x), x)
    inner = arith.add(builder, x, arith.multiply(builder, number(0.044715), cube))
    scaled = arith.multiply(builder, number(pymath.sqrt(2.0 / pymath.pi)), inner)
    gate = arith.add(builder, number(1.0), math.tanh(builder, scaled))
    return arith.multiply(builder, arith.multiply(builder, number(0.5), x), gate)


def _silu(builder: Builder, x: Value) -> Value:
    return arith.multiply(builder, x, math.unary(builder, "logistic", x))


OF_ONE = (
    _float("exp", pymath.exp),
    _float("expm1", pymath.expm1),
    _float("log", pymath.log),
    _float("log1p", pymath.log1p),
    _float("sqrt", pymath.sqrt),
    _float("rsqrt"),
    _float("sin", pymath.sin),
    _float("cos", pymath.cos),
    _float("tan", pymath.tan),
    _float("asin"),
    _float("acos"),
    _float("atan"),
    _float("sinh"),
    _float("cosh"),
    _float("tanh", pymath.tanh),
    _float("sigmoid", build=_unary("logistic")),
    _float("softplus", build=_softplus),
    _float("gelu", build=_gelu),
    _float("silu", build=_silu),
    _float("erf", pymath.erf),
    _float("lgamma", pymath.lgamma),
    _float("digamma"),
    _float("floor", is_step=True),
    _float("ceil", is_step=True),
    _float("round", is_step=True),
    Elementwise("abs", build=_unary("abs"), fold=_fold_abs, arity=1),
    Elementwise("sign", is_step=True, build=_unary("sign"), arity=1),
)


# ---- functions of more ------------------------------------------------------------------------


class _Maximum(Elementwise):
    """`maximum(x, 0.0)` is the rectifier, whose derivative at 0 is 0."""

    def with_number(self, builder: Builder, operands: Sequence[Value | Number]) -> Value | None:
        for one, other in (operands, reversed(operands)):
            if isinstance(one, Value) and not isinstance(other, Value) and other == 0:
                return math.unary(builder, "relu", one) if dtype_of(one.type).is_float else None
        return None


def _hypot(builder: Builder, x: Value, y: Value) -> Value:
    squares = arith.add(builder, arith.multiply(builder, x, x), arith.multiply(builder, y, y))
    return math.sqrt(builder, squares)


def _clamp(builder: Builder, x: Value, low: Value, high: Value) -> Value:
    return arith.minimum(builder, arith.maximum(builder, x, low), high)


def _atan2(builder: Builder, y: Value, x: Value) -> Value:
    return builder.insert(math.Atan2([y, x])).results[0]


MAXIMUM = _Maximum("maximum", build=arith.maximum, fold=max)
MINIMUM = Elementwise("minimum", build=arith.minimum, fold=min)

FUNCTIONS: tuple[Elementwise, ...] = (
    *OF_ONE,
    MAXIMUM,
    MINIMUM,
    Elementwise("atan2", build=_atan2, operands=Operands.FLOATS),
    Elementwise("hypot", build=_hypot, operands=Operands.FLOATS),
    Elementwise("clamp", build=_clamp, arity=3),
)
"""Those of the prelude, in the order of the documentation."""
