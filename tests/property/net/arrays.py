"""Expressions that make, read and reduce arrays."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tests.property.net import taylor
from tests.property.net.syntax import (
    Data,
    Elem,
    Env,
    Expr,
    Node,
    Scalar,
    Size,
    Trace,
    Type,
    Typed,
    integer,
    real,
    rounded,
    whole,
)
from tests.property.net.taylor import Jet


@dataclass(frozen=True)
class Index(Node):
    """`name in low..high`."""

    name: str
    low: Size
    high: Size

    def text(self) -> str:
        return f"{self.name} in {self.low}..{self.high}"

    def values(self, env: Env) -> range:
        return range(self.low.value(env.sizes), self.high.value(env.sizes))


def array(shape: Sequence[int], elements: Sequence[Data]) -> np.ndarray:
    """Elements in order, each a Scalar."""
    made = np.empty(len(elements), object)
    made[:] = elements
    return made.reshape(tuple(shape))


def stack(items: Sequence[Data], shape: Sequence[int]) -> np.ndarray:
    """Items one after the other, of the shape `shape` each."""
    made = np.empty((len(items), *shape), object)
    for place, item in enumerate(items):
        made[place] = item
    return made


def extents(env: Env, type_: Type) -> tuple[int, ...]:
    return tuple(size.value(env.sizes) for size in type_.shape)


@dataclass(frozen=True)
class Builder(Expr):
    indexes: tuple[Index, ...]
    body: Expr

    @property
    def type(self) -> Type:
        ranges = tuple(i.high + (-i.low.offset) for i in self.indexes)
        return Type(self.body.type.elem, ranges + self.body.type.shape)

    def text(self) -> str:
        return f"([{', '.join(i.text() for i in self.indexes)}] => {self.body.text()})"

    def value(self, env: Env) -> Data:
        made = np.empty(extents(env, self.type), object)
        for point in itertools.product(*(list(i.values(env)) for i in self.indexes)):
            env.trace.step()
            env.names |= {i.name: v for i, v in zip(self.indexes, point, strict=True)}
            lows = (i.low.value(env.sizes) for i in self.indexes)
            made[tuple(v - low for v, low in zip(point, lows, strict=True))] = self.body.value(env)
        return made


@dataclass(frozen=True)
class Element(Expr):
    """An element, or a row when there are fewer indexes than axes."""

    array: Expr
    indexes: tuple[Expr, ...]

    @property
    def type(self) -> Type:
        return Type(self.array.type.elem, self.array.type.shape[len(self.indexes) :])

    def text(self) -> str:
        return f"{self.array.text()}[{', '.join(i.text() for i in self.indexes)}]"

    def value(self, env: Env) -> Data:
        env.trace.step()
        array = self.array.value(env)
        return env.trace.read(array, [int(i.value(env)) for i in self.indexes])


@dataclass(frozen=True)
class Gather(Expr):
    array: Expr
    ids: Expr

    @property
    def type(self) -> Type:
        return Type(self.array.type.elem, self.ids.type.shape + self.array.type.shape[1:])

    def text(self) -> str:
        return f"{self.array.text()}[{self.ids.text()}]"

    def value(self, env: Env) -> Data:
        array, ids = self.array.value(env), self.ids.value(env)
        made = stack([env.trace.read(array, [int(i)]) for i in ids.flat], array.shape[1:])
        return made.reshape(ids.shape + array.shape[1:])


@dataclass(frozen=True)
class Slice(Expr):
    """`x[low:high]` along the first axis."""

    array: Expr
    low: Size
    high: Size

    @property
    def type(self) -> Type:
        first = self.high + (-self.low.offset)
        return Type(self.array.type.elem, (first, *self.array.type.shape[1:]))

    def text(self) -> str:
        return f"{self.array.text()}[{self.low}:{self.high}]"

    def value(self, env: Env) -> Data:
        return self.array.value(env)[self.low.value(env.sizes) : self.high.value(env.sizes)]


# Reductions


def fold(trace: Trace, kind: str, elem: Elem, items: Sequence[Scalar]) -> Scalar:
    """The reduction `kind` of scalars, in order."""
    trace.step(len(items))
    is_real = elem.is_float
    match kind:
        case "sum" | "mean":
            if not is_real:
                return sum(whole(x) for x in items)
            start: Scalar = taylor.constant(0.0)
            total = functools.reduce(lambda a, b: taylor.add(a, jet(b)), items, start)
            if kind == "mean":
                total = taylor.divide(total, taylor.constant(float(len(items))))
            return rounded(elem, total)
        case "prod":
            if not is_real:
                return math.prod(whole(x) for x in items)
            one = taylor.constant(1.0)
            return rounded(
                elem, functools.reduce(lambda a, b: taylor.multiply(a, jet(b)), items, one)
            )
        case "max" | "min" | "argmax" | "argmin":
            best = 0
            for place in range(1, len(items)):
                if beats(trace, items[place], items[best], kind.endswith("max")):
                    best = place
            return best if kind.startswith("arg") else items[best]
        case "logsumexp":
            top = max((jet(x) for x in items), key=lambda x: x.value)
            shift = taylor.constant(top.value)
            terms = [taylor.smooth("exp", taylor.subtract(jet(x), shift)) for x in items]
            total = functools.reduce(taylor.add, terms)
            return rounded(elem, taylor.add(taylor.smooth("log", total), shift))
    raise AssertionError(kind)


def jet(x: Scalar) -> Jet:
    assert isinstance(x, Jet)
    return x


def number(x: Scalar) -> float | int:
    return x.value if isinstance(x, Jet) else x


def beats(trace: Trace, x: Scalar, y: Scalar, largest: bool) -> bool:
    """Whether `x`, which comes later, is chosen over `y`."""
    wins = number(x) > number(y) if largest else number(x) < number(y)
    if isinstance(x, Jet) and isinstance(y, Jet):
        trace.decide(wins, x, y)
    return wins


def result_elem(kind: str, elem: Elem) -> Elem:
    return Elem.I32 if kind.startswith("arg") else elem


@dataclass(frozen=True)
class Sigma(Expr):
    """`sum[k in 0..K](body)`, of a scalar body."""

    kind: str
    indexes: tuple[Index, ...]
    body: Expr

    @property
    def type(self) -> Type:
        return Type(result_elem(self.kind, self.body.type.elem))

    def text(self) -> str:
        inside = ", ".join(i.text() for i in self.indexes)
        return f"{self.kind}[{inside}]({self.body.text()})"

    def value(self, env: Env) -> Data:
        items: list[Scalar] = []
        for point in itertools.product(*(list(i.values(env)) for i in self.indexes)):
            env.names |= {i.name: v for i, v in zip(self.indexes, point, strict=True)}
            items.append(self.body.value(env))
        return fold(env.trace, self.kind, self.body.type.elem, items)


@dataclass(frozen=True)
class Reduce(Expr):
    """`sum(x)`, or `sum[axis](x)`."""

    kind: str
    operand: Expr
    axis: int | None = None

    @property
    def type(self) -> Type:
        of = self.operand.type
        elem = result_elem(self.kind, of.elem)
        if self.axis is None:
            return Type(elem)
        return Type(elem, of.shape[: self.axis] + of.shape[self.axis + 1 :])

    def text(self) -> str:
        axis = "" if self.axis is None else f"[{self.axis}]"
        return f"{self.kind}{axis}({self.operand.text()})"

    def value(self, env: Env) -> Data:
        x = self.operand.value(env)
        elem = self.operand.type.elem
        if self.axis is None:
            return fold(env.trace, self.kind, elem, list(x.flat))
        made = along(x, self.axis, lambda row: [fold(env.trace, self.kind, elem, row)])
        return made.squeeze(self.axis) if made.size else np.empty(extents(env, self.type), object)


def along(
    x: np.ndarray, axis: int, function: Callable[[list[Scalar]], Sequence[Scalar]]
) -> np.ndarray:
    """Apply a function of lists along an axis."""
    moved = np.moveaxis(x, axis, -1)
    rows = (
        [list(function(list(row))) for row in moved.reshape(-1, moved.shape[-1])] if x.size else []
    )
    if not rows:
        if x.shape[axis] == 0 and 0 not in moved.shape[:-1]:
            rows = [list(function([])) for _ in range(math.prod(moved.shape[:-1]))]
        else:
            return np.empty(x.shape, object)
    made = array((*moved.shape[:-1], len(rows[0])), [item for row in rows for item in row])
    return np.moveaxis(made, -1, axis)


def ordered(trace: Trace, row: Sequence[Scalar]) -> list[int]:
    """Places in ascending order of the elements; of equal ones the first comes first."""
    places = sorted(range(len(row)), key=lambda place: number(row[place]))
    for a, b in itertools.pairwise(places):
        if isinstance(row[a], Jet):
            trace.decide(a, jet(row[a]), jet(row[b]))
    return places


@dataclass(frozen=True)
class Along(Expr):
    """A function along one axis that keeps the shape."""

    function: str
    operand: Expr
    axis: int

    @property
    def type(self) -> Type:
        of = self.operand.type
        return Type(Elem.I32, of.shape) if self.function == "argsort" else of

    def text(self) -> str:
        return f"{self.function}[{self.axis}]({self.operand.text()})"

    def value(self, env: Env) -> Data:
        x = self.operand.value(env)
        env.trace.step(x.size * (2 if self.function == "softmax" else 1))
        return along(x, self.axis, lambda row: self._row(env, row)) if x.size else x

    def _row(self, env: Env, row: list[Scalar]) -> list[Scalar]:
        elem = self.operand.type.elem

        def running(function: str) -> list[Scalar]:
            def combine(a: Scalar, b: Scalar) -> Scalar:
                if not elem.is_float:
                    return integer(function, int(number(a)), int(number(b)))
                return rounded(elem, real(env, function, jet(a), jet(b)))

            return list(itertools.accumulate(row, combine))

        match self.function:
            case "cumsum":
                return running("+")
            case "cumprod":
                return running("*")
            case "flip":
                return row[::-1]
            case "sort":
                return [row[place] for place in ordered(env.trace, row)]
            case "argsort":
                return list(ordered(env.trace, row))
            case "softmax":
                shift = jet(fold(env.trace, "logsumexp", Elem.F64, row))
                return [
                    rounded(elem, taylor.smooth("exp", taylor.subtract(jet(x), shift))) for x in row
                ]
        raise AssertionError(self.function)


@dataclass(frozen=True)
class Roll(Expr):
    operand: Expr
    count: Expr
    axis: int

    @property
    def type(self) -> Type:
        return self.operand.type

    def text(self) -> str:
        return f"roll[{self.axis}]({self.operand.text()}, {self.count.text()})"

    def value(self, env: Env) -> Data:
        return np.roll(self.operand.value(env), self.count.value(env), self.axis)


@dataclass(frozen=True)
class Best(Expr):
    """The values of `top_k[K](x)`, or their places."""

    operand: Expr
    count: int
    places: bool = False

    @property
    def type(self) -> Type:
        of = self.operand.type
        elem = Elem.I32 if self.places else of.elem
        return Type(elem, (*of.shape[:-1], Size((), self.count)))

    def text(self) -> str:
        chosen = "places" if self.places else "values"
        body = f"let (values, places) = top_k[{self.count}](of); {chosen}"
        return f"(fn(of) => {{ {body} }})({self.operand.text()})"

    def value(self, env: Env) -> Data:
        def row(items: list[Scalar]) -> list[Scalar]:
            minus = [taylor.negate(x) if isinstance(x, Jet) else -x for x in items]
            places = ordered(env.trace, minus)[: self.count]
            return list(places) if self.places else [items[place] for place in places]

        x = self.operand.value(env)
        env.trace.step(x.size)
        return along(x, x.ndim - 1, row) if x.size else np.empty(extents(env, self.type), object)


@dataclass(frozen=True)
class Transpose(Expr):
    operand: Expr

    @property
    def type(self) -> Type:
        of = self.operand.type
        return Type(of.elem, (*of.shape[:-2], of.shape[-1], of.shape[-2]))

    def text(self) -> str:
        return f"{self.operand.text()}.T"

    def value(self, env: Env) -> Data:
        return np.swapaxes(self.operand.value(env), -1, -2)


@dataclass(frozen=True)
class MatMul(Expr):
    left: Expr
    right: Expr

    @property
    def type(self) -> Type:
        right = self.right.type.shape
        rest = right[1:] if len(right) > 1 else ()
        return Type(self.left.type.elem, self.left.type.shape[:-1] + rest)

    def text(self) -> str:
        return f"({self.left.text()} @ {self.right.text()})"

    def value(self, env: Env) -> Data:
        a, b = self.left.value(env), self.right.value(env)
        elem = self.type.elem
        rows = a.reshape(-1, a.shape[-1]) if a.shape[-1] else np.empty((math.prod(a.shape[:-1]), 0))
        columns = (b if b.ndim > 1 else b[:, None]).T
        items = [
            fold(env.trace, "sum", elem, [real(env, "*", x, y) for x, y in zip(r, c, strict=True)])
            for r in rows
            for c in columns
        ]
        return array(extents(env, self.type), items) if self.type.rank else items[0]


@dataclass(frozen=True)
class Concat(Expr):
    left: Expr
    right: Expr

    @property
    def type(self) -> Type:
        a, b = self.left.type, self.right.type
        return Type(a.elem, (a.shape[0] + b.shape[0], *a.shape[1:]))

    def text(self) -> str:
        return f"concat[0]({self.left.text()}, {self.right.text()})"

    def value(self, env: Env) -> Data:
        return np.concatenate([self.left.value(env), self.right.value(env)])


@dataclass(frozen=True)
class Filled(Typed):
    """`zeros` or `ones` of given sizes."""

    number: int
    holds: Type

    def text(self) -> str:
        name = "ones" if self.number else "zeros"
        sizes = ", ".join(map(str, self.type.shape))
        elem = "" if self.type.elem is Elem.F64 else str(self.type.elem)
        return f"{elem}({name}[{sizes}])" if elem else f"{name}[{sizes}]"

    def value(self, env: Env) -> Data:
        shape = extents(env, self.type)
        item: Scalar = self.number
        if self.type.elem.is_float:
            item = taylor.constant(float(self.number))
        return array(shape, [item] * math.prod(shape))
