"""`math`: elementary and special functions, element by element.

The reference semantics is computed in double precision or better and rounded once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Protocol, Self, TypeVar

import numpy as np

from dmc.dialects import arith, ranges, reference
from dmc.dialects.elementwise import (
    OUT,
    Binary,
    Expr,
    Scale,
    Unary,
    X,
    Y,
    call,
    compare,
    splat_of,
)
from dmc.dialects.ranges import ANY, POSITIVE, TINY, Range
from dmc.ir import Array, Builder, Interpreter, Operation, Value, attribute, dtype_of


class _Unary(Unary):
    """One operand, and a polynomial to evaluate.

    `grows` is the function of one number, if it never decreases, and `image` what it can give,
    rounded.
    """

    flops = 10
    grows: ClassVar[Callable[[float], float] | None] = None
    image: ClassVar[Range] = ANY

    def range_of(self, operands: Sequence[Range]) -> Range:
        (of,) = operands
        grows, image = type(self).grows, self.image
        return image if grows is None else ranges.clip(ranges.monotone(grows, of), image)


class Exp(_Unary):
    """`math.exp`."""

    name = "math.exp"
    numpy = np.exp
    terms = (Scale(OUT),)
    grows = math.exp
    image = Range(TINY, math.inf)


class Expm1(_Unary):
    """`math.expm1`: `exp(x) - 1`, accurate near 0."""

    name = "math.expm1"
    numpy = np.expm1
    terms = (Scale(call("math.exp", X)),)
    grows = math.expm1


class Log(_Unary):
    """`math.log`: natural logarithm."""

    name = "math.log"
    numpy = np.log
    terms = (Scale(1.0 / X),)
    grows = math.log


class Log1p(_Unary):
    """`math.log1p`: `log(1 + x)`, accurate near 0."""

    name = "math.log1p"
    numpy = np.log1p
    terms = (Scale(1.0 / (X + 1.0)),)
    grows = math.log1p


class Sqrt(_Unary):
    """`math.sqrt`."""

    name = "math.sqrt"
    numpy = np.sqrt
    terms = (Scale(0.5 / OUT),)

    def range_of(self, operands: Sequence[Range]) -> Range:
        (of,) = operands
        low, high = (math.sqrt(max(end, 0.0)) for end in (of.low, of.high))
        return Range(POSITIVE if of.low < 0 < of.high else low, high)

    flops = 4


class Rsqrt(_Unary):
    """`math.rsqrt`: `1 / sqrt(x)`."""

    name = "math.rsqrt"
    terms = (Scale(-0.5 * (OUT / X)),)
    image = Range(POSITIVE, math.inf)
    flops = 6

    @staticmethod
    def numpy(x: Array) -> Array:
        return 1 / np.sqrt(x)


class Sin(_Unary):
    """`math.sin`."""

    name = "math.sin"
    numpy = np.sin
    terms = (Scale(call("math.cos", X)),)
    image = Range(-1.0, 1.0)


class Cos(_Unary):
    """`math.cos`."""

    name = "math.cos"
    numpy = np.cos
    terms = (Scale(-call("math.sin", X)),)
    image = Range(-1.0, 1.0)


class Tan(_Unary):
    """`math.tan`."""

    name = "math.tan"
    numpy = np.tan
    terms = (Scale(OUT * OUT + 1.0),)


# 1 - x²; where that cancels, by its factors, whose slopes cancel near 0.
_SQUARED_COSINE = call(
    "arith.select",
    compare("LE", call("arith.abs", X), 0.5),
    1.0 - X * X,
    (1.0 - X) * (X + 1.0),
)


class Asin(_Unary):
    """`math.asin`."""

    name = "math.asin"
    numpy = np.arcsin
    terms = (Scale(call("math.rsqrt", _SQUARED_COSINE)),)


class Acos(_Unary):
    """`math.acos`."""

    name = "math.acos"
    numpy = np.arccos
    terms = (Scale(-call("math.rsqrt", _SQUARED_COSINE)),)


# 1 / (1 + x²), by the reciprocal where x² may overflow.
_WITCH = call(
    "arith.select",
    compare("LE", call("arith.abs", X), 1.0),
    1.0 / (X * X + 1.0),
    (1.0 / X) * (1.0 / X) / ((1.0 / X) * (1.0 / X) + 1.0),
)


class Atan(_Unary):
    """`math.atan`."""

    name = "math.atan"
    numpy = np.arctan
    terms = (Scale(_WITCH),)
    grows = math.atan


class Sinh(_Unary):
    """`math.sinh`."""

    name = "math.sinh"
    numpy = np.sinh
    terms = (Scale(call("math.cosh", X)),)
    grows = math.sinh


class Cosh(_Unary):
    """`math.cosh`."""

    name = "math.cosh"
    numpy = np.cosh
    terms = (Scale(call("math.sinh", X)),)
    image = Range(1.0, math.inf)


class Tanh(_Unary):
    """`math.tanh`."""

    name = "math.tanh"
    numpy = np.tanh
    terms = (Scale(1.0 - OUT * OUT),)
    grows = math.tanh


class Logistic(_Unary):
    """`math.logistic`: `1 / (1 + exp(-x))`, without overflow (StableHLO's name of the sigmoid)."""

    name = "math.logistic"
    terms = (Scale(OUT * (1.0 - OUT)),)
    image = Range(0.0, 1.0)

    @staticmethod
    def numpy(x: Array) -> Array:
        e = np.exp(-np.abs(x))
        return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


# From 30 on exp(-x²) is 0, also where x² overflows. Derivatives pass x second, so also NaN.
_NEAR = call("arith.minimum", 30.0, call("arith.maximum", -30.0, X))


class Erf(_Unary):
    """`math.erf`: the error function; its derivative is `2/sqrt(pi) exp(-x^2)`."""

    name = "math.erf"
    numpy = reference.elementwise(math.erf)
    terms = (Scale(2.0 / math.sqrt(math.pi) * call("math.exp", -(_NEAR * _NEAR))),)
    grows = math.erf


class Erfc(_Unary):
    """`math.erfc`: `1 - erf(x)`, to full precision where that cancels."""

    name = "math.erfc"
    numpy = reference.elementwise(math.erfc)
    terms = (Scale(-2.0 / math.sqrt(math.pi) * call("math.exp", -(_NEAR * _NEAR))),)
    image = Range(0.0, 2.0)


def _erfinv_of_clamped(x: float) -> float:
    return reference.erfinv(min(max(x, -1.0), 1.0))


class Erfinv(_Unary):
    """`math.erfinv`: the inverse of erf: infinite at -1 and 1, NaN beyond.

    Its derivative is `sqrt(pi)/2 exp(erfinv(x)^2)`.
    """

    name = "math.erfinv"
    numpy = reference.elementwise(reference.erfinv)
    terms = (Scale(math.sqrt(math.pi) / 2.0 * call("math.exp", OUT * OUT)),)
    grows = _erfinv_of_clamped
    flops = 30


class Lgamma(_Unary):
    """`math.lgamma`: the logarithm of |gamma|; its derivative is digamma."""

    name = "math.lgamma"
    numpy = reference.elementwise(reference.lgamma)
    terms = (Scale(call("math.digamma", X)),)
    flops = 30


class Digamma(_Unary):
    """`math.digamma`: the derivative of lgamma; NaN at its poles."""

    name = "math.digamma"
    numpy = reference.elementwise(reference.digamma)
    terms = (Scale(call("math.trigamma", X)),)
    flops = 30


def _trigamma(x: float) -> float:
    return reference.polygamma(1, x)


class Trigamma(_Unary):
    """`math.trigamma`: the derivative of digamma; infinite at its poles."""

    name = "math.trigamma"
    numpy = reference.elementwise(_trigamma)
    terms = (Scale(call("math.polygamma", X, order=2)),)
    flops = 30


class Polygamma(_Unary):
    """`math.polygamma`: the derivative of digamma, `order` times.

    At poles it is NaN if the order is even, and infinite if it is odd, as on either side.
    C1: the order is 2 or more: those below have operations of their own.
    """

    name = "math.polygamma"
    order = attribute(int)
    flops = 100

    @property
    def terms(self) -> tuple[Scale]:  # type: ignore[override]
        return (Scale(call(self.name, X, order=self.order + 1)),)

    def verify_(self) -> None:
        self.require(1, self.order >= 2, f"the order is {self.order}")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        out = reference.elementwise(partial(reference.polygamma, self.order))(operands[0])
        return (out.astype(dtype_of(self.result.type).wide.numpy),)


class Floor(_Unary):
    """`math.floor`."""

    name = "math.floor"
    numpy = np.floor
    terms = (None,)
    grows = math.floor
    flops = 1


class Ceil(_Unary):
    """`math.ceil`."""

    name = "math.ceil"
    numpy = np.ceil
    terms = (None,)
    grows = math.ceil
    flops = 1


class Round(_Unary):
    """`math.round`: to the nearest integer, halves to even (as NumPy)."""

    name = "math.round"
    numpy = np.round
    terms = (None,)
    grows = round
    flops = 1


class _Binary(Binary):
    """Two operands, and polynomials to evaluate."""

    flops = 20


class Power(_Binary):
    """`math.power`: `x ** y`, with `0 ** 0 = 1`; its derivatives are `math.power_partial`.

    Of integers it is the product, modulo 2 to their number of bits. For an exponent below 0 it is
    the whole part of the quotient: that of 1 and -1 by themselves, 0 for all others.
    """

    name = "math.power"
    terms = (
        Scale(call("math.power_partial", X, Y, base_order=1, exponent_order=0)),
        Scale(call("math.power_partial", X, Y, base_order=0, exponent_order=1)),
    )

    @staticmethod
    def numpy(x: Array, y: Array) -> Array:
        if np.issubdtype(x.dtype, np.integer):
            return _integer_power(x, y)
        # NumPy takes the square root where every exponent is 0.5, of -0.0 and -inf as well.
        edge = (y == 0.5) & ((x == 0) | (x == -math.inf))
        return np.where(edge, np.abs(x), np.power(x, y))

    def canonicalize(self, builder: Builder) -> list[Value] | None:
        """Small constant exponents become multiplications and roots."""
        x, exponent = self.lhs, splat_of(self.rhs)
        match exponent:
            case 0.0:
                return [arith.ones(builder, x.type)]
            case 1.0:
                return [x]
            case 2.0:
                return [arith.multiply(builder, x, x)]
            case 3.0:
                return [arith.multiply(builder, arith.multiply(builder, x, x), x)]
            case 4.0:
                square = arith.multiply(builder, x, x)
                return [arith.multiply(builder, square, square)]
            case -1.0:
                return [arith.divide(builder, arith.ones(builder, x.type), x)]
            case 0.5:
                return [_root(builder, x, sqrt(builder, _unsigned(builder, x)), math.inf)]
            case -0.5:
                root = builder.insert(Rsqrt([_unsigned(builder, x)])).result
                return [_root(builder, x, root, 0.0)]
            case _:
                return None

    def range_of(self, operands: Sequence[Range]) -> Range:
        """Of what is not negative, or by an even number, it is not negative."""
        base, exponent = operands
        even = exponent.low == exponent.high and exponent.low % 2 == 0
        if not self.is_float or not (base.low >= 0 or even):
            return ANY
        return Range(0.0 if base.low == 0 or base.high == 0 else POSITIVE, math.inf)


def _integer_power(x: Array, y: Array) -> Array:
    result, square, left = np.ones_like(x), x, np.where(y < 0, 0, y)
    with np.errstate(over="ignore"):
        while left.any():
            result = np.where(left & 1, result * square, result)
            square, left = square * square, left >> 1
    sign = np.where(y & 1, -1, 1)
    reciprocal = np.where(x == 1, 1, np.where(x == -1, sign, 0))
    return np.where(y < 0, reciprocal, result)


def _unsigned(builder: Builder, x: Value) -> Value:
    """`x`, but 0.0 for -0.0: a power of either zero is the same, its root is not."""
    return arith.add(builder, x, arith.zeros(builder, x.type))


def _root(builder: Builder, x: Value, root: Value, at_minus_infinity: float) -> Value:
    """`root`, a root of `x`, but what the power of -inf is where that is no root."""
    infinite = arith.constant(builder, -math.inf, x.type)
    below = arith.compare(builder, arith.Direction.EQ, x, infinite)
    other = arith.constant(builder, at_minus_infinity, x.type)
    return arith.select(builder, below, other, root)


class PowerPartial(_Binary):
    """`math.power_partial`: the derivative of `x ** y`, some times in x and some times in y.

    For orders m in x (`base_order`) and k in y (`exponent_order`) it is

        x ** (y - m) * P(y, log x),

    where P is the k-th derivative in y of `y (y - 1) … (y - m + 1) * x ** y`, over `x ** y`. The
    derivatives of this are others of the kind. Where one factor is 0 so is the product, whatever
    the other: a polynomial written with powers has its ordinary derivatives at 0. `log x` counts
    as 0 for x below 0, and at 0 where `x ** (y - m)` is finite.
    C1: both orders are 0 or more.
    """

    name = "math.power_partial"
    base_order = attribute(int)
    exponent_order = attribute(int)
    flops = 30

    @property
    def terms(self) -> tuple[Scale, Scale]:  # type: ignore[override]
        return self._partial(1, 0), self._partial(0, 1)

    def _partial(self, base: int, exponent: int) -> Scale:
        m, k = self.base_order + base, self.exponent_order + exponent
        return Scale(call(self.name, X, Y, base_order=m, exponent_order=k))

    def verify_(self) -> None:
        self.require(1, min(self.base_order, self.exponent_order) >= 0, "an order below 0")

    def evaluate(self, operands: Sequence[Array], interpreter: Interpreter) -> Sequence[Array]:
        x, y = (np.asarray(operand, np.float64) for operand in operands)
        m, k = self.base_order, self.exponent_order
        power = np.power(x, y - m)
        finite = (x < 0) | ((x == 0) & (y >= m))
        log = np.where(finite, 0.0, np.log(np.where(finite, 1.0, x)))
        total = np.zeros_like(x)
        for factor in power_factors(y, np.ones_like(y), m, k):
            total = np.where(total == 0, 0.0, total * log) + factor
        out = np.where((total == 0) | (power == 0), 0.0, total * power)
        return (out.astype(dtype_of(self.result.type).wide.numpy),)

    def canonicalize(self, builder: Builder) -> list[Value] | None:
        """A constant exponent leaves a multiple of a power."""
        exponent = splat_of(self.rhs)
        if exponent is None or self.exponent_order or not math.isfinite(exponent):
            return None
        type_ = self.lhs.type
        factor = math.prod(exponent - i for i in range(self.base_order))
        if factor == 0:
            return [arith.zeros(builder, type_)]
        lower = arith.constant(builder, exponent - self.base_order, type_)
        multiple = arith.constant(builder, factor, type_)
        return [arith.multiply(builder, multiple, power(builder, self.lhs, lower))]


class _Arithmetic(Protocol):
    """Numbers that add and multiply, wherever they are."""

    def __add__(self, other: Self | float, /) -> Self: ...
    def __sub__(self, other: float, /) -> Self: ...
    def __mul__(self, other: Self | float, /) -> Self: ...


_Number = TypeVar("_Number", bound=_Arithmetic)


def power_factors(y: _Number, one: _Number, base_order: int, exponent_order: int) -> list[_Number]:
    """The polynomial in `log x` of `math.power_partial`, highest degree first.

    With `y (y - 1) … (y - m + 1)` at y + t as `e[0] + e[1] t + …`, the factor of the (k - j)-th
    power of the logarithm is `k! / (k - j)! * e[j]` (Leibniz's rule).
    """
    m, k = base_order, exponent_order
    series = [one]
    for i in range(m):
        at = y - float(i)
        # Of zeros that are there whatever y is, nothing is multiplied by y, which may be infinite.
        middle = [high * at + low for low, high in itertools.pairwise(series)]
        series = [series[0] * at, *middle, series[-1]][: k + 1]
    zeros = [one * 0.0] * (k + 1 - len(series))
    return [e * float(math.perm(k, j)) for j, e in enumerate([*series, *zeros])]


_LENGTH = call("math.hypot", X, Y)


def _share(side: Expr) -> Expr:
    """`side / OUT`, 0 where both are 0."""
    return call("arith.select", compare("EQ", OUT, 0.0), 0.0, _ratio(side, OUT))


def _ratio(side: Expr, length: Expr) -> Expr:
    """`side / length`, the length of a vector with this side; also of an infinite one."""
    is_infinite = compare("EQ", call("arith.abs", side), math.inf)
    return call("arith.select", is_infinite, call("arith.sign", side), side / length)


class Hypot(_Binary):
    """`math.hypot`: `sqrt(x * x + y * y)` without overflow; its derivative at 0 is 0."""

    name = "math.hypot"
    numpy = np.hypot
    terms = (Scale(_share(X)), Scale(_share(Y)))

    def range_of(self, operands: Sequence[Range]) -> Range:
        lhs, rhs = map(ranges.absolute, operands)
        return Range(max(lhs.low, rhs.low), math.inf)


class Atan2(_Binary):
    """`math.atan2`: the angle of the point (x, y) = (rhs, lhs)."""

    name = "math.atan2"
    numpy = np.arctan2
    terms = (Scale(_ratio(Y, _LENGTH) / _LENGTH), Scale(-(_ratio(X, _LENGTH) / _LENGTH)))


def unary(builder: Builder, name: str, x: Value) -> Value:
    """The operation `math.<name>` (or `arith.<name>`) of one operand."""
    cls = Operation.registry.get(f"math.{name}") or Operation.registry[f"arith.{name}"]
    return builder.insert(cls([x])).results[0]


def exp(builder: Builder, x: Value) -> Value:
    return builder.insert(Exp([x])).result


def log(builder: Builder, x: Value) -> Value:
    return builder.insert(Log([x])).result


def sqrt(builder: Builder, x: Value) -> Value:
    return builder.insert(Sqrt([x])).result


def sin(builder: Builder, x: Value) -> Value:
    return builder.insert(Sin([x])).result


def cos(builder: Builder, x: Value) -> Value:
    return builder.insert(Cos([x])).result


def tanh(builder: Builder, x: Value) -> Value:
    return builder.insert(Tanh([x])).result


def hypot(builder: Builder, x: Value, y: Value) -> Value:
    return builder.insert(Hypot([x, y])).result


def power(builder: Builder, x: Value, y: Value) -> Value:
    return builder.insert(Power([x, y])).result
