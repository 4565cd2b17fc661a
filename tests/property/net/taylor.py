"""Truncated Taylor series: derivatives of every order along a direction, by plain arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import zip_longest

NAN = math.nan


class Jet:
    """`c[0] + c[1] t + c[2] t² + …`; a constant has one coefficient.

    `exact` says that rounding had no part in `c[0]`, so that comparing it is safe.
    """

    __slots__ = ("c", "exact")

    def __init__(self, c: Sequence[float], exact: bool = False) -> None:
        self.c = tuple(c)
        self.exact = exact

    @property
    def value(self) -> float:
        return self.c[0]

    def __repr__(self) -> str:
        return f"Jet{self.c}"


def constant(value: float) -> Jet:
    return Jet((value,), is_short(value))


def is_short(value: float) -> bool:
    """Whether arithmetic on such values is exact: few bits, or infinite."""
    return math.isinf(value) or (abs(value) < 2**24 and (value * 2**16).is_integer())


def _made(c: Sequence[float], *operands: Jet) -> Jet:
    return Jet(c, all(x.exact for x in operands) and not math.isnan(c[0]) and is_short(c[0]))


def add(a: Jet, b: Jet) -> Jet:
    return _made([x + y for x, y in zip_longest(a.c, b.c, fillvalue=0.0)], a, b)


def negate(a: Jet) -> Jet:
    return Jet([-x for x in a.c], a.exact)


def subtract(a: Jet, b: Jet) -> Jet:
    return _made([x - y for x, y in zip_longest(a.c, b.c, fillvalue=0.0)], a, b)


def multiply(a: Jet, b: Jet) -> Jet:
    if len(a.c) == 1:
        return _made([a.c[0] * y for y in b.c], a, b)
    if len(b.c) == 1:
        return _made([x * b.c[0] for x in a.c], a, b)
    return _made(_product(a.c, b.c), a, b)


def _product(a: Sequence[float], b: Sequence[float]) -> list[float]:
    length = max(len(a), len(b))
    made = [0.0] * length
    for i, x in enumerate(a):
        for j, y in enumerate(b[: length - i]):
            made[i + j] += x * y
    return made


def quotient(x: float, y: float) -> float:
    if y == 0.0:
        return (
            NAN if x == 0.0 or math.isnan(x) else math.copysign(math.inf, x) * math.copysign(1, y)
        )
    return x / y


def divide(a: Jet, b: Jet) -> Jet:
    if len(b.c) == 1:
        return _made([quotient(x, b.c[0]) for x in a.c], a, b)
    length = max(len(a.c), len(b.c))
    made: list[float] = []
    for n in range(length):
        left = a.c[n] if n < len(a.c) else 0.0
        for k in range(1, min(n, len(b.c) - 1) + 1):
            left -= b.c[k] * made[n - k]
        made.append(quotient(left, b.c[0]))
    exact = a.exact and b.exact and made[0] * b.c[0] == a.c[0]
    return Jet(made, exact and is_short(made[0]))


def power(a: Jet, n: int) -> Jet:
    made = constant(1.0)
    for _ in range(n):
        made = multiply(made, a)
    return made


def scale(a: Jet, factor: float) -> Jet:
    return multiply(a, constant(factor))


def compose(a: Jet, derivatives: Sequence[float]) -> Jet:
    """`f(a)`, given the derivatives of `f` at `a.value`."""
    made = [derivatives[0]] + [0.0] * (len(a.c) - 1)
    delta = [0.0, *a.c[1:]]
    power_ = list(delta)
    for order in range(1, len(a.c)):
        factor = derivatives[order] / math.factorial(order)
        made = [x + factor * y for x, y in zip(made, power_, strict=True)]
        power_ = _product(power_, delta)
    return Jet(made, a.exact and a.value == 0.0 and is_short(made[0]))


def atan2(a: Jet, b: Jet) -> Jet:
    """By integrating `(b a' - a b') / (a² + b²)`."""
    length = max(len(a.c), len(b.c))
    a = Jet([*a.c, *[0.0] * (length - len(a.c))])
    b = Jet([*b.c, *[0.0] * (length - len(b.c))])
    square = add(multiply(a, a), multiply(b, b))
    slope = divide(subtract(multiply(b, _slope(a)), multiply(a, _slope(b))), square)
    return Jet([math.atan2(a.value, b.value), *(slope.c[n] / (n + 1) for n in range(length - 1))])


def _slope(a: Jet) -> Jet:
    return Jet([*(n * x for n, x in enumerate(a.c) if n), 0.0])


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def _logistic(x: float) -> list[float]:
    s = _sigmoid(x)
    d = s * (1 - s)
    e = d * (1 - 2 * s)
    return [s, d, e, e * (1 - 2 * s) - 2 * d * d]


def _softplus(x: float) -> list[float]:
    return [max(x, 0.0) + math.log1p(math.exp(-abs(x))), *_logistic(x)[:3]]


def _tanh(x: float) -> list[float]:
    y = math.tanh(x)
    d = 1 - y * y
    return [y, d, -2 * y * d, 4 * y * y * d - 2 * d * d]


def _exp(x: float) -> list[float]:
    y = math.exp(x) if x < 700 else math.inf
    return [y] * 4


def _log(x: float) -> list[float]:
    if x <= 0:
        return [-math.inf if x == 0 else NAN, NAN, NAN, NAN]
    return [math.log(x), 1 / x, -1 / x**2, 2 / x**3]


def _sqrt(x: float) -> list[float]:
    if x <= 0:
        return [x if x == 0 else NAN, NAN, NAN, NAN]
    return [math.sqrt(x), 0.5 * x**-0.5, -0.25 * x**-1.5, 0.375 * x**-2.5]


def _atan(x: float) -> list[float]:
    s = 1 + x * x
    return [math.atan(x), 1 / s, -2 * x / s**2, (6 * x * x - 2) / s**3]


def _erf(x: float) -> list[float]:
    g = 2 / math.sqrt(math.pi) * math.exp(-x * x)
    return [math.erf(x), g, -2 * x * g, (4 * x * x - 2) * g]


def _sin(x: float) -> list[float]:
    return [NAN] * 4 if math.isinf(x) else [math.sin(x), math.cos(x), -math.sin(x), -math.cos(x)]


def _cos(x: float) -> list[float]:
    return [NAN] * 4 if math.isinf(x) else [math.cos(x), -math.sin(x), -math.cos(x), math.sin(x)]


def _log1p(x: float) -> list[float]:
    return [math.log1p(x) if x > -1 else NAN, *_log(1 + x)[1:]]


def _expm1(x: float) -> list[float]:
    return [math.expm1(x) if x < 700 else math.inf, *_exp(x)[1:]]


SMOOTH: dict[str, Callable[[float], list[float]]] = {
    "sin": _sin,
    "cos": _cos,
    "tanh": _tanh,
    "sigmoid": _logistic,
    "softplus": _softplus,
    "exp": _exp,
    "expm1": _expm1,
    "log": _log,
    "log1p": _log1p,
    "sqrt": _sqrt,
    "atan": _atan,
    "erf": _erf,
}


def smooth(name: str, a: Jet) -> Jet:
    if math.isnan(a.value):
        return Jet([NAN] * len(a.c))
    return compose(a, SMOOTH[name](a.value))
