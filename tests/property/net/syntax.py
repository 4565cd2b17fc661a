"""Types, and expressions on scalars and elementwise on arrays: their text and their meaning."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np

from tests.property.net import taylor
from tests.property.net.taylor import Jet

Scalar: TypeAlias = "Jet | int | bool"
Data: TypeAlias = "Any"
"""What an expression means: a Scalar, an array of these, or a tuple or dict of Data."""


class Elem(StrEnum):
    F64 = "f64"
    F32 = "f32"
    I64 = "i64"
    I32 = "i32"
    BOOL = "bool"

    @property
    def is_float(self) -> bool:
        return self in (Elem.F64, Elem.F32)

    @property
    def is_integer(self) -> bool:
        return self in (Elem.I64, Elem.I32)


@dataclass(frozen=True)
class Size:
    """A sum of size parameters and a number."""

    names: tuple[str, ...] = ()
    offset: int = 0

    def __str__(self) -> str:
        terms = list(self.names)
        if self.offset or not terms:
            terms.append(str(abs(self.offset)))
        sign = " - " if self.offset < 0 else " + "
        return sign.join([" + ".join(terms[:-1]), terms[-1]]) if len(terms) > 1 else terms[0]

    def __add__(self, other: Size | int) -> Size:
        if isinstance(other, int):
            return Size(self.names, self.offset + other)
        return Size(tuple(sorted(self.names + other.names)), self.offset + other.offset)

    def value(self, sizes: Mapping[str, int]) -> int:
        return sum(sizes[name] for name in self.names) + self.offset


@dataclass(frozen=True)
class Type:
    elem: Elem
    shape: tuple[Size, ...] = ()

    def __str__(self) -> str:
        inside = ", ".join(map(str, self.shape))
        return f"{self.elem}[{inside}]" if self.shape else str(self.elem)

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def scalar(self) -> Type:
        return Type(self.elem)


@dataclass(frozen=True)
class RecordType:
    name: str
    sizes: tuple[str, ...]
    fields: tuple[tuple[str, Type], ...]

    def __str__(self) -> str:
        return f"{self.name}[{', '.join(self.sizes)}]" if self.sizes else self.name

    @property
    def declaration(self) -> str:
        return f"struct {self} {{\n" + "".join(f"    {n}: {t}\n" for n, t in self.fields) + "}"


F64, F32, I64, I32, BOOL = (Type(elem) for elem in Elem)


class TooLong(Exception):
    """The meaning takes too many steps to find."""


class Empty(Exception):
    """An element of an axis that has none is used."""


def spoiled(x: Data) -> Data:
    """Something else of the same kind."""
    match x:
        case np.ndarray():
            return np.frompyfunc(spoiled, 1, 1)(x)
        case bool():
            return not x
        case Jet():
            return taylor.add(x, taylor.constant(1.75))
        case _:
            return x + 1


@dataclass
class Trace:
    """What happened on the way to a meaning."""

    tolerance: float = 1e-9
    steps: int = 0
    outcomes: list[int] = field(default_factory=lambda: [])
    fragile: int = 0
    """Comparisons that rounding could decide."""
    kinks: int = 0
    """Places where the derivative is a convention about which the oracles may differ."""
    outside: list[tuple[int, int]] = field(default_factory=lambda: [])
    """Indexes that were outside of their axis, with its size."""
    spoils: bool = False
    """Whether what is read outside is something else than the nearest element."""

    def step(self, count: int = 1) -> None:
        self.steps += count
        if self.steps > 60_000:
            raise TooLong

    def nearest(self, index: int, size: int) -> int:
        """The index, or the nearest one that is inside. Raises Empty where there is none."""
        if 0 <= index < size:
            return index
        self.outside.append((index, size))
        if size == 0:
            raise Empty
        return min(max(index, 0), size - 1)

    def read(self, array: Data, point: Sequence[int]) -> Data:
        """An element or a row."""
        known = len(self.outside)
        pairs = zip(point, array.shape, strict=False)
        found = array[tuple(self.nearest(i, n) for i, n in pairs)]
        return spoiled(found) if self.spoils and len(self.outside) > known else found

    def decide(self, outcome: bool | int, a: Jet, b: Jet) -> None:
        """Note the outcome of comparing `a` and `b`."""
        self.outcomes.append(int(outcome))
        near = abs(a.value - b.value) <= self.tolerance * (abs(a.value) + abs(b.value))
        if near and not (a.exact and b.exact):
            self.fragile += 1


@dataclass
class Env:
    """Names that have a value; every name stands for one thing in a function."""

    sizes: Mapping[str, int]
    functions: Mapping[str, Any]
    trace: Trace
    names: dict[str, Data]


class Node:
    """Part of a program. Dataclass fields that are nodes, or tuples of nodes, are its parts."""

    def parts(self) -> Iterator[Node]:
        assert is_dataclass(self)
        for entry in fields(self):
            value = getattr(self, entry.name)
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, Node):
                    yield item

    def walk(self) -> Iterator[Node]:
        yield self
        for part in self.parts():
            yield from part.walk()


class Expr(Node):
    @property
    def type(self) -> Type:
        raise NotImplementedError

    def text(self) -> str:
        raise NotImplementedError

    def arm(self) -> str:
        """In braces."""
        return f"{{ {self.text()} }}"

    def value(self, env: Env) -> Data:
        raise NotImplementedError


class Typed(Expr):
    """An expression that is told its type."""

    holds: Type

    @property
    def type(self) -> Type:
        return self.holds


def lift(env: Env, function: Callable[..., Scalar], *operands: Data) -> Data:
    """Apply a function of scalars to elements, repeating along leading axes."""
    shapes = [x.shape for x in operands if isinstance(x, np.ndarray)]
    if not shapes:
        env.trace.step()
        return function(*operands)
    shape = np.broadcast_shapes(*shapes)
    env.trace.step(math.prod(shape))
    if 0 in shape:
        return np.empty(shape, object)
    return np.frompyfunc(function, len(operands), 1)(*operands)


def whole(x: Scalar) -> int:
    assert not isinstance(x, Jet)
    return int(x)


def rounded(elem: Elem, x: Scalar) -> Scalar:
    """As the type of the element holds it."""
    if elem is Elem.F32 and isinstance(x, Jet):
        with np.errstate(over="ignore"):
            value = float(np.float32(x.value))
        return Jet((value, *x.c[1:]), x.exact and value == x.value)
    return x


@dataclass(frozen=True)
class Literal(Typed):
    number: float | int | bool
    holds: Type

    def text(self) -> str:
        elem = self.type.elem
        if elem is Elem.BOOL:
            return "true" if self.number else "false"
        if math.isinf(self.number):
            return "inf" if self.number > 0 else "(-inf)"
        if elem is Elem.F64 or elem is Elem.I64:
            made = repr(float(self.number) if elem is Elem.F64 else int(self.number))
            return f"({made})" if made.startswith("-") else made
        return f"{elem}({float(self.number) if elem is Elem.F32 else int(self.number)})"

    def value(self, env: Env) -> Data:
        if self.type.elem.is_float:
            return rounded(self.type.elem, taylor.constant(float(self.number)))
        return bool(self.number) if self.type.elem is Elem.BOOL else int(self.number)


@dataclass(frozen=True)
class Name(Typed):
    name: str
    holds: Type

    def text(self) -> str:
        return self.name

    def value(self, env: Env) -> Data:
        return env.names[self.name]


@dataclass(frozen=True)
class SizeValue(Typed):
    """A size used as a number."""

    size: Size
    holds: Type = I64

    def text(self) -> str:
        return f"({self.size})"

    def value(self, env: Env) -> Data:
        return self.size.value(env.sizes)


@dataclass(frozen=True)
class Field(Typed):
    record: str
    name: str
    holds: Type

    def text(self) -> str:
        return f"{self.record}.{self.name}"

    def value(self, env: Env) -> Data:
        return env.names[self.record][self.name]


@dataclass(frozen=True)
class Unary(Expr):
    function: str
    operand: Expr

    @property
    def type(self) -> Type:
        return self.operand.type

    def text(self) -> str:
        inside = self.operand.text()
        if self.function in ("-", "not"):
            return f"({self.function} {inside})"
        return f"{self.function}({inside})"

    def value(self, env: Env) -> Data:
        def apply(x: Scalar) -> Scalar:
            match self.function:
                case "not":
                    return not x
                case "-":
                    return taylor.negate(x) if isinstance(x, Jet) else -x
                case "stop_gradient":
                    return Jet(x.c[:1], x.exact) if isinstance(x, Jet) else x
                case "abs" if isinstance(x, Jet):
                    env.trace.decide(x.value > 0, x, taylor.constant(0.0))
                    sign = 0.0 if x.value == 0 else math.copysign(1.0, x.value)
                    return taylor.scale(x, sign)
                case "abs":
                    return abs(whole(x))
                case name:
                    assert isinstance(x, Jet)
                    return rounded(self.type.elem, taylor.smooth(name, x))

        return lift(env, apply, self.operand.value(env))


@dataclass(frozen=True)
class Binary(Expr):
    """Arithmetic between operands of one type; an array also takes a suffix of its shape."""

    function: str
    left: Expr
    right: Expr

    @property
    def type(self) -> Type:
        return max(self.left.type, self.right.type, key=lambda t: t.rank)

    def text(self) -> str:
        a, b = self.left.text(), self.right.text()
        if self.function.isalnum():
            return f"{self.function}({a}, {b})"
        return f"({a} {self.function} {b})"

    def value(self, env: Env) -> Data:
        elem = self.type.elem

        def apply(a: Scalar, b: Scalar) -> Scalar:
            if isinstance(a, Jet):
                return rounded(elem, real(env, self.function, a, b))
            return integer(self.function, int(a), int(b if not isinstance(b, Jet) else 0))

        return lift(env, apply, self.left.value(env), self.right.value(env))


def real(env: Env, function: str, a: Jet, b: Scalar) -> Jet:
    if function == "**":
        return taylor.power(a, int(b)) if not isinstance(b, Jet) else taylor.power(a, int(b.value))
    assert isinstance(b, Jet)
    match function:
        case "+":
            return taylor.add(a, b)
        case "-":
            return taylor.subtract(a, b)
        case "*":
            return taylor.multiply(a, b)
        case "/":
            return taylor.divide(a, b)
        case "hypot":
            return taylor.smooth("sqrt", taylor.add(taylor.multiply(a, a), taylor.multiply(b, b)))
        case "atan2":
            return taylor.atan2(a, b)
        case "maximum" | "minimum":
            first = a.value >= b.value if function == "maximum" else a.value <= b.value
            env.trace.decide(first, a, b)
            env.trace.kinks += a.value == b.value
            return a if first else b
    raise AssertionError(function)


def integer(function: str, a: int, b: int) -> int:
    match function:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "//":
            return a // b
        case "%":
            return a % b
        case "maximum":
            return max(a, b)
        case "minimum":
            return min(a, b)
    raise AssertionError(function)


@dataclass(frozen=True)
class Compare(Expr):
    function: str
    left: Expr
    right: Expr

    @property
    def type(self) -> Type:
        return Type(Elem.BOOL, max(self.left.type, self.right.type, key=lambda t: t.rank).shape)

    def text(self) -> str:
        return f"({self.left.text()} {self.function} {self.right.text()})"

    def value(self, env: Env) -> Data:
        def apply(a: Scalar, b: Scalar) -> bool:
            x = a.value if isinstance(a, Jet) else a
            y = b.value if isinstance(b, Jet) else b
            made = {
                "<": x < y,
                "<=": x <= y,
                ">": x > y,
                ">=": x >= y,
                "==": x == y,
                "!=": x != y,
                "and": bool(x and y),
                "or": bool(x or y),
            }[self.function]
            if isinstance(a, Jet) and isinstance(b, Jet):
                env.trace.decide(made, a, b)
            return made

        left = self.left.value(env)
        decided = {"and": False, "or": True}.get(self.function)
        if decided is not None and not self.type.shape and left is decided:
            return left  # the right side is not asked
        return lift(env, apply, left, self.right.value(env))


@dataclass(frozen=True)
class Where(Expr):
    condition: Expr
    left: Expr
    right: Expr

    @property
    def type(self) -> Type:
        return self.left.type

    def text(self) -> str:
        return f"where({self.condition.text()}, {self.left.text()}, {self.right.text()})"

    def value(self, env: Env) -> Data:
        operands = (part.value(env) for part in (self.condition, self.left, self.right))
        return lift(env, lambda c, a, b: a if c else b, *operands)


@dataclass(frozen=True)
class If(Expr):
    """Control flow as an expression."""

    condition: Expr
    left: Expr
    right: Expr

    @property
    def type(self) -> Type:
        return self.left.type

    def text(self) -> str:
        left, right = self.left.arm(), self.right.arm()
        return f"(if {self.condition.text()} {left} else {right})"

    def value(self, env: Env) -> Data:
        return (self.left if self.condition.value(env) else self.right).value(env)


@dataclass(frozen=True)
class Convert(Expr):
    elem: Elem
    operand: Expr

    @property
    def type(self) -> Type:
        return Type(self.elem, self.operand.type.shape)

    def text(self) -> str:
        return f"{self.elem}({self.operand.text()})"

    def value(self, env: Env) -> Data:
        return lift(env, lambda x: convert(env, self.elem, x), self.operand.value(env))


def convert(env: Env, elem: Elem, x: Scalar) -> Scalar:
    if elem.is_float:
        return rounded(elem, x if isinstance(x, Jet) else taylor.constant(float(x)))
    if isinstance(x, Jet):
        if not math.isfinite(x.value):
            env.trace.fragile += 1
            return 0
        env.trace.decide(math.trunc(x.value), x, taylor.constant(float(round(x.value))))
        return math.trunc(x.value)
    return int(x)
