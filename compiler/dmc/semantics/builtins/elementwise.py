"""Functions and operators that work element by element."""

from __future__ import annotations

import enum
import math as pymath
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dmc.dialects import arith, math
from dmc.dialects.arith import Direction
from dmc.ir import Block, Builder, DType, Interpreter, TensorType, Value, dtype_of
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

    `build` gives tensors from tensors of one shape.
    """

    build: Callable[..., Value]
    arity: int = 2
    operands: Operands = Operands.NUMBERS
    gives_bool: bool = False

    def folded(self, numbers: Sequence[Number], dtype: DType) -> Number | None:
        """The value at compile time of numbers that are of `dtype` where the program runs.

        None where the run must give it.
        """
        return run(self.build, numbers, dtype)

    def with_number(self, builder: Builder, operands: Sequence[Value | Number]) -> Value | None:
        """What is better built from a number than from a constant tensor, or None."""
        return None


def run(build: Callable[..., Value], numbers: Sequence[Number], dtype: DType) -> Number | None:
    """What the operations of `build` make of numbers, by their reference: as when they run.

    None for whole numbers beyond their element type.
    """
    block = Block([TensorType((), dtype)] * len(numbers))
    result = build(Builder(block), *block.args)
    interpreter = Interpreter()
    with np.errstate(all="ignore"):
        try:
            for argument, number in zip(block.args, numbers, strict=True):
                interpreter.values[argument] = np.asarray(number, dtype.numpy)
        except OverflowError:
            return None
        for op in block:
            interpreter.run(op)
    return interpreter.values[result].item()


# ---- operators --------------------------------------------------------------------------------


def _compare(name: str, direction: Direction) -> Elementwise:
    def build(builder: Builder, x: Value, y: Value) -> Value:
        return arith.compare(builder, direction, x, y)

    return Elementwise(name, is_step=True, build=build, operands=Operands.ANY, gives_bool=True)


_LARGEST_EXPANDED_POWER = 8


class _Power(Elementwise):
    def folded(self, numbers: Sequence[Number], dtype: DType) -> Number | None:
        if dtype.is_float:
            return super().folded(numbers, dtype)
        base, exponent = numbers
        return base**exponent if exponent >= 0 else None

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


ADD = Elementwise("+", build=arith.add)
SUBTRACT = Elementwise("-", build=arith.subtract)
MULTIPLY = Elementwise("*", build=arith.multiply)
DIVIDE = Elementwise("/", build=arith.divide, operands=Operands.FLOATS)
FLOOR_DIVIDE = Elementwise("//", build=arith.floor_divide)
REMAINDER = Elementwise("%", build=arith.remainder)
POWER = _Power("**", build=_power)
NEGATE = Elementwise("negate", build=arith.negate, arity=1)
EQUAL = _compare("==", Direction.EQ)
NOT_EQUAL = _compare("!=", Direction.NE)
LESS = _compare("<", Direction.LT)
LESS_EQUAL = _compare("<=", Direction.LE)
GREATER = _compare(">", Direction.GT)
GREATER_EQUAL = _compare(">=", Direction.GE)
AND = Elementwise("and", build=arith.logical_and, operands=Operands.ANY)
OR = Elementwise("or", build=arith.logical_or, operands=Operands.ANY)
NOT = Elementwise("not", build=arith.logical_not, arity=1, operands=Operands.ANY)


# ---- functions of one operand -----------------------------------------------------------------


def _unary(name: str) -> Callable[[Builder, Value], Value]:
    """That of `math`."""
    return lambda builder, x: math.unary(builder, name, x)


def _float(
    name: str,
    build: Callable[[Builder, Value], Value] | None = None,
    is_step: bool = False,
) -> Elementwise:
    """A function of one float; `build` is that of `math` unless given."""
    return Elementwise(
        name,
        is_step=is_step,
        build=build or _unary(name),
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
    _float("exp"),
    _float("expm1"),
    _float("log"),
    _float("log1p"),
    _float("sqrt"),
    _float("rsqrt"),
    _float("sin"),
    _float("cos"),
    _float("tan"),
    _float("asin"),
    _float("acos"),
    _float("atan"),
    _float("sinh"),
    _float("cosh"),
    _float("tanh"),
    _float("sigmoid", build=_unary("logistic")),
    _float("softplus", build=_softplus),
    _float("gelu", build=_gelu),
    _float("silu", build=_silu),
    _float("erf"),
    _float("lgamma"),
    _float("digamma"),
    _float("floor", is_step=True),
    _float("ceil", is_step=True),
    _float("round", is_step=True),
    Elementwise("abs", build=_unary("abs"), arity=1),
    Elementwise("sign", is_step=True, build=_unary("sign"), arity=1),
)


# ---- functions of more ------------------------------------------------------------------------


class _Extreme(Elementwise):
    """On a tie the derivative goes to the second operand, or to a number beside a tensor.

    The operation passes it to its first. So that of `maximum(x, 0.0)` is 0 at 0.
    """

    def with_number(self, builder: Builder, operands: Sequence[Value | Number]) -> Value | None:
        for one, other in (operands, reversed(operands)):
            if isinstance(one, Value) and not isinstance(other, Value):
                return self.build(builder, one, arith.constant(builder, other, one.type))
        return None


def _maximum(builder: Builder, x: Value, y: Value) -> Value:
    return arith.maximum(builder, y, x)


def _minimum(builder: Builder, x: Value, y: Value) -> Value:
    return arith.minimum(builder, y, x)


def _clamp(builder: Builder, x: Value, low: Value, high: Value) -> Value:
    return arith.minimum(builder, arith.maximum(builder, x, low), high)


def _atan2(builder: Builder, y: Value, x: Value) -> Value:
    return builder.insert(math.Atan2([y, x])).results[0]


MAXIMUM = _Extreme("maximum", build=_maximum)
MINIMUM = _Extreme("minimum", build=_minimum)

FUNCTIONS: tuple[Elementwise, ...] = (
    *OF_ONE,
    MAXIMUM,
    MINIMUM,
    Elementwise("atan2", build=_atan2, operands=Operands.FLOATS),
    Elementwise("hypot", build=math.hypot, operands=Operands.FLOATS),
    Elementwise("clamp", build=_clamp, arity=3),
)
"""Those of the prelude, in the order of the documentation."""
