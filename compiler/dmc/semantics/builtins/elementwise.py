"""Functions and operators that work element by element."""

from __future__ import annotations

import enum
import math as pymath
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dmc.dialects import arith, autodiff, math
from dmc.dialects.arith import Direction
from dmc.ir import Block, Builder, DType, Interpreter, TensorType, Value, dtype_of
from dmc.semantics.primitive import Primitive

Number = bool | int | float


class Operands(enum.Enum):
    """What elements a function takes."""

    FLOATS = "floats"
    NUMBERS = "numbers"
    BOOLS = "bools"
    ANY = "anything"


@dataclass(frozen=True, eq=False, kw_only=True)
class Elementwise(Primitive):
    """One element of the result for one element of each operand.

    `build` gives tensors from tensors of one shape. `exact` computes with whole numbers of any
    size; it raises OverflowError for those that fit no element type.
    """

    build: Callable[..., Value]
    exact: Callable[..., int | None] | None = None
    arity: int = 2
    operands: Operands = Operands.NUMBERS
    gives_bool: bool = False

    def folded(self, numbers: Sequence[Number], dtype: DType) -> Number | None:
        """The value at compile time of numbers that are of `dtype` where the program runs.

        None where the run must give it. Raises OverflowError for a whole number that is beyond
        every element type.
        """
        if self.exact is not None and dtype.is_integer:
            value = self.exact(*numbers)
            if value is not None:
                return value
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
_MOST_BITS = 1 << 12


class _Power(Elementwise):
    def with_number(self, builder: Builder, operands: Sequence[Value | Number]) -> Value | None:
        match operands:
            case [Value() as base, int() | float() as exponent] if exponent == int(exponent):
                whole, is_float = int(exponent), dtype_of(base.type).is_float
                if abs(whole) <= _LARGEST_EXPANDED_POWER if is_float else whole >= 0:
                    return _whole_power(builder, base, whole)
            case _:
                pass
        return None


def _whole_power(builder: Builder, base: Value, exponent: int) -> Value:
    """Repeated squaring; exact derivatives at 0.

    That of the reciprocal for negative exponents: its powers vanish where those of the base
    overflow, and so do their derivatives.
    """
    if exponent == 0:
        return arith.ones(builder, base.type)
    if exponent < 0:
        base = arith.divide(builder, arith.ones(builder, base.type), base)
    result: Value | None = None
    square, left = base, abs(exponent)
    while left:
        if left & 1:
            result = square if result is None else arith.multiply(builder, result, square)
        left >>= 1
        if left:
            square = arith.multiply(builder, square, square)
    assert result is not None
    return result


def _power(builder: Builder, base: Value, exponent: Value) -> Value:
    """Of integers of two widths in the wider one: that changes no bit of the narrower result."""
    dtype, given = dtype_of(base.type), dtype_of(exponent.type)
    if given is dtype:
        return math.power(builder, base, exponent)
    wide = dtype if dtype.is_float else DType.I64
    operands = (arith.convert(builder, operand, wide) for operand in (base, exponent))
    return arith.convert(builder, math.power(builder, *operands), dtype)


def _exact_negate(x: int) -> int:
    return -x


def _exact_power(base: int, exponent: int) -> int | None:
    if exponent < 0:
        return None
    if base.bit_length() * exponent > _MOST_BITS and abs(base) > 1:
        raise OverflowError("this fits no element type")
    return int(base) ** exponent


ADD = Elementwise("+", build=arith.add, exact=operator.add)
SUBTRACT = Elementwise("-", build=arith.subtract, exact=operator.sub)
MULTIPLY = Elementwise("*", build=arith.multiply, exact=operator.mul)
DIVIDE = Elementwise("/", build=arith.divide, operands=Operands.FLOATS)
FLOOR_DIVIDE = Elementwise("//", build=arith.floor_divide)
REMAINDER = Elementwise("%", build=arith.remainder)
POWER = _Power("**", build=_power, exact=_exact_power)
NEGATE = Elementwise("negate", build=arith.negate, exact=_exact_negate, arity=1)
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
    """The tanh form of Hendrycks and Gimpel, arXiv:1606.08415.

    Its gate `(1 + tanh(y)) / 2` is `sigmoid(2 y)`, which has its digits where it is small. It is 0
    or 1 for |x| from 22 on, in every element type: there nothing may overflow.
    """

    def number(value: float) -> Value:
        return arith.constant(builder, value, x.type)

    above = arith.maximum(builder, number(-22.0), x)
    near = arith.minimum(builder, number(22.0), above)
    cube = arith.multiply(builder, arith.multiply(builder, near, near), near)
    inner = arith.add(builder, near, arith.multiply(builder, number(0.044715), cube))
    scaled = arith.multiply(builder, number(2.0 * pymath.sqrt(2.0 / pymath.pi)), inner)
    return arith.multiply(builder, above, math.unary(builder, "logistic", scaled))


def _silu(builder: Builder, x: Value) -> Value:
    """The gate is 0 or 1 for |x| from 1000 on: there it is that of infinities, too.

    Bounds come first, so that derivatives pass NaN, which is on neither side of them.
    """
    above = arith.maximum(builder, arith.constant(builder, -1000.0, x.type), x)
    below = arith.minimum(builder, arith.constant(builder, 1000.0, x.type), x)
    return arith.multiply(builder, above, math.unary(builder, "logistic", below))


_EPSILON = {DType.F32: 2.0**-23, DType.F64: 2.0**-52}
"""From 1 to the next number."""


def _log_of_base(base: float) -> Callable[[Builder, Value], Value]:
    """The quotient of two logarithms; a whole number where that is the nearest there is."""

    def build(builder: Builder, x: Value) -> Value:
        scale = arith.constant(builder, pymath.log(base), x.type)
        near = arith.divide(builder, math.unary(builder, "log", x), scale)
        whole = math.unary(builder, "round", near)
        power = math.power(builder, arith.constant(builder, base, x.type), whole)
        gap = math.unary(builder, "abs", arith.subtract(builder, power, x))
        # A relative error of x is one of the logarithm that is less by a factor of `whole`.
        precision = arith.constant(builder, _EPSILON[dtype_of(x.type)] / 4, x.type)
        # As a quotient, since no product of x is in range everywhere.
        relative = math.unary(builder, "abs", arith.divide(builder, gap, x))
        allowed = arith.multiply(builder, math.unary(builder, "abs", whole), precision)
        hit = arith.compare(builder, Direction.LE, relative, allowed)
        error = arith.subtract(builder, whole, near)
        error = arith.select(builder, hit, error, arith.zeros(builder, x.type))
        settled = builder.insert(autodiff.StopGradient([error])).results[0]
        return arith.add(builder, near, settled)

    return build


def _isnan(builder: Builder, x: Value) -> Value:
    return arith.compare(builder, Direction.NE, x, x)


def _against_infinity(direction: Direction) -> Callable[[Builder, Value], Value]:
    def build(builder: Builder, x: Value) -> Value:
        infinity = arith.constant(builder, pymath.inf, x.type)
        return arith.compare(builder, direction, math.unary(builder, "abs", x), infinity)

    return build


def _question(name: str, build: Callable[[Builder, Value], Value]) -> Elementwise:
    """A property of a float."""
    return Elementwise(
        name, is_step=True, build=build, arity=1, operands=Operands.FLOATS, gives_bool=True
    )


OF_ONE = (
    _float("exp"),
    _float("expm1"),
    _float("log"),
    _float("log1p"),
    _float("log2", build=_log_of_base(2.0)),
    _float("log10", build=_log_of_base(10.0)),
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
    _float("erfc"),
    _float("erfinv"),
    _float("lgamma"),
    _float("digamma"),
    _float("floor", is_step=True),
    _float("ceil", is_step=True),
    _float("round", is_step=True),
    Elementwise("abs", build=_unary("abs"), arity=1),
    Elementwise("sign", is_step=True, build=_unary("sign"), arity=1),
    _question("isnan", _isnan),
    _question("isinf", _against_infinity(Direction.EQ)),
    _question("isfinite", _against_infinity(Direction.LT)),
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
