"""Subscripts as functions of iteration dimensions: affine, and quasi-affine by constants.

An expression is `Σ c_d · d_d + constant + Σ c · term`, where a term is the floor division, the
remainder or the clamping of another expression by integers. This is MLIR's quasi-affine
expression (https://mlir.llvm.org/docs/Dialects/Affine/), with clamping besides; `floordiv` and
`mod` round towards minus infinity.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from dmc.ir.types import Array
from dmc.process import lazy


@dataclass(frozen=True, slots=True)
class FloorDiv:
    """`inner floordiv divisor`; the divisor is positive."""

    inner: AffineExpr
    divisor: int

    def __str__(self) -> str:
        return f"({self.inner}) floordiv {self.divisor}"

    def bounds(self, sizes: Sequence[int]) -> tuple[int, int]:
        low, high = self.inner.bounds(sizes)
        return low // self.divisor, high // self.divisor

    def on(self, inner: AffineExpr, sizes: Sequence[int]) -> AffineExpr:
        """The same of another expression."""
        return inner.floordiv(self.divisor, sizes)

    def of(self, value: Array) -> Array:
        return np.floor_divide(value, self.divisor)


@dataclass(frozen=True, slots=True)
class Mod:
    """`inner mod divisor`, from 0 to `divisor - 1`; the divisor is positive."""

    inner: AffineExpr
    divisor: int

    def __str__(self) -> str:
        return f"({self.inner}) mod {self.divisor}"

    def bounds(self, sizes: Sequence[int]) -> tuple[int, int]:
        return 0, self.divisor - 1

    def on(self, inner: AffineExpr, sizes: Sequence[int]) -> AffineExpr:
        """The same of another expression."""
        return inner.mod(self.divisor, sizes)

    def of(self, value: Array) -> Array:
        return np.remainder(value, self.divisor)


@dataclass(frozen=True, slots=True)
class Clamp:
    """`inner`, moved into `low … high`."""

    inner: AffineExpr
    low: int
    high: int

    def __str__(self) -> str:
        return f"clamp({self.inner}, {self.low}, {self.high})"

    def bounds(self, sizes: Sequence[int]) -> tuple[int, int]:
        low, high = self.inner.bounds(sizes)
        return min(max(low, self.low), self.high), min(max(high, self.low), self.high)

    def on(self, inner: AffineExpr, sizes: Sequence[int]) -> AffineExpr:
        """The same of another expression."""
        return inner.clamp(self.low, self.high, sizes)

    def of(self, value: Array) -> Array:
        return np.clip(value, self.low, self.high)


Quasi = FloorDiv | Mod | Clamp
"""What makes an expression more than affine."""


@dataclass(frozen=True, slots=True)
class AffineExpr:
    """`Σ coefficients[d] * d_d + constant`, plus integer multiples of quasi-affine `terms`."""

    coefficients: tuple[int, ...]
    constant: int = 0
    terms: tuple[tuple[int, Quasi], ...] = ()

    @staticmethod
    def number(dimensions: int, value: int) -> AffineExpr:
        """The same everywhere."""
        return AffineExpr((0,) * dimensions, value)

    @staticmethod
    @cache
    def dim(dimensions: int, d: int, coefficient: int = 1, constant: int = 0) -> AffineExpr:
        """`coefficient * d_d + constant`."""
        return AffineExpr(tuple(coefficient if i == d else 0 for i in range(dimensions)), constant)

    def __str__(self) -> str:
        text = ""
        parts = [(c, f"d{d}") for d, c in enumerate(self.coefficients)]
        parts += [
            (c, str(term) if isinstance(term, Clamp) else f"({term})") for c, term in self.terms
        ]
        for c, name in parts:
            if c:
                size = name if abs(c) == 1 else f"{name} * {abs(c)}"
                text += f" {'-' if c < 0 else '+'} {size}"
        if self.constant or not text:
            text += f" {'-' if self.constant < 0 else '+'} {abs(self.constant)}"
        text = text.removeprefix(" + ")
        return "-" + text.removeprefix(" - ") if text.startswith(" - ") else text

    # Arithmetic

    def __add__(self, other: AffineExpr) -> AffineExpr:
        pairs = zip(self.coefficients, other.coefficients, strict=True)
        totals: dict[Quasi, int] = {}
        for c, term in (*self.terms, *other.terms):
            totals[term] = totals.get(term, 0) + c
        terms = tuple((c, term) for term, c in totals.items() if c)
        return AffineExpr(tuple(x + y for x, y in pairs), self.constant + other.constant, terms)

    def __sub__(self, other: AffineExpr) -> AffineExpr:
        return self + other.scaled(-1)

    def scaled(self, factor: int) -> AffineExpr:
        """A multiple."""
        if factor == 0:
            return AffineExpr.number(len(self.coefficients), 0)
        terms = tuple((factor * c, term) for c, term in self.terms)
        coefficients = tuple(factor * c for c in self.coefficients)
        return AffineExpr(coefficients, factor * self.constant, terms)

    def plus(self, number: int) -> AffineExpr:
        return replace(self, constant=self.constant + number)

    def floordiv(self, divisor: int, sizes: Sequence[int]) -> AffineExpr:
        """The quotient rounded down, over dimensions of `sizes`; affine where it can be."""
        if divisor == 1:
            return self
        whole, rest = self._divided(divisor)
        low, high = rest.bounds(sizes)
        if low // divisor == high // divisor:
            return whole.plus(low // divisor)
        term = AffineExpr((0,) * len(sizes), 0, ((1, FloorDiv(rest, divisor)),))
        return whole + term

    def mod(self, divisor: int, sizes: Sequence[int]) -> AffineExpr:
        """The remainder, over dimensions of `sizes`; affine where it can be."""
        if divisor == 1:
            return AffineExpr.number(len(sizes), 0)
        _, rest = self._divided(divisor)
        low, high = rest.bounds(sizes)
        if low // divisor == high // divisor:
            return rest.plus(-(low // divisor) * divisor)
        return AffineExpr((0,) * len(sizes), 0, ((1, Mod(rest, divisor)),))

    def clamp(self, low: int, high: int, sizes: Sequence[int]) -> AffineExpr:
        """Moved into `low … high`, over dimensions of `sizes`; itself when it is inside."""
        least, most = self.bounds(sizes)
        if least >= low and most <= high:
            return self
        if most <= low or least >= high:
            return AffineExpr.number(len(sizes), low if most <= low else high)
        match self.terms:
            case ((1, Clamp() as own),) if not any(self.coefficients):
                least, most = (
                    min(max(end + self.constant, low), high) for end in (own.low, own.high)
                )
                return own.inner.plus(self.constant).clamp(least, most, sizes)
            case _:
                pass
        return AffineExpr((0,) * len(sizes), 0, ((1, Clamp(self, low, high)),))

    def _divided(self, divisor: int) -> tuple[AffineExpr, AffineExpr]:
        """`self` as `divisor * whole + rest`, as much as can be in `whole`."""
        multiple = [c % divisor == 0 for c in self.coefficients]
        pairs = list(zip(self.coefficients, multiple, strict=True))
        quotient = self.constant // divisor
        whole = AffineExpr(
            tuple(c // divisor if m else 0 for c, m in pairs),
            quotient,
            tuple((c // divisor, term) for c, term in self.terms if c % divisor == 0),
        )
        rest = AffineExpr(
            tuple(0 if m else c for c, m in pairs),
            self.constant - quotient * divisor,
            tuple((c, term) for c, term in self.terms if c % divisor),
        )
        return whole, rest

    # Questions

    @property
    def is_affine(self) -> bool:
        return not self.terms

    def dims(self) -> frozenset[int]:
        """The dimensions it depends on."""
        own = {d for d, c in enumerate(self.coefficients) if c}
        return frozenset(own).union(*(term.inner.dims() for _, term in self.terms))

    def bounds(self, sizes: Sequence[int]) -> tuple[int, int]:
        """The least and the greatest value over non-empty dimensions of `sizes`.

        Exact when it is affine, else perhaps wider.
        """
        low = high = self.constant
        for c, n in zip(self.coefficients, sizes, strict=True):
            end = c * (n - 1)
            low, high = low + min(end, 0), high + max(end, 0)
        for c, term in self.terms:
            ends = [c * end for end in term.bounds(sizes)]
            low, high = low + min(ends), high + max(ends)
        return low, high

    def single_dimension(self) -> int | None:
        """The dimension `d` when the expression is exactly `d_d`, else None."""
        if self.constant or self.terms or self.coefficients.count(0) != len(self.coefficients) - 1:
            return None
        return self.coefficients.index(1) if 1 in self.coefficients else None

    def without_units(self, sizes: Sequence[int]) -> AffineExpr:
        """Without the dimensions of one index, where others or a number are added to them."""
        if self.single_dimension() is not None:
            return self
        pairs = zip(self.coefficients, sizes, strict=True)
        return replace(self, coefficients=tuple(c if n > 1 else 0 for c, n in pairs))

    def substitute(
        self, by: Sequence[AffineExpr], dimensions: int, sizes: Sequence[int]
    ) -> AffineExpr:
        """With `by[d]`, an expression over other `dimensions` of `sizes`, in place of `d_d`."""
        if (single := self.single_dimension()) is not None:
            return by[single]
        total = AffineExpr.number(dimensions, self.constant)
        for c, inner in zip(self.coefficients, by, strict=True):
            if c:
                total += inner.scaled(c)
        for c, term in self.terms:
            total += term.on(term.inner.substitute(by, dimensions, sizes), sizes).scaled(c)
        return total

    def evaluate(self, point: Sequence[int | Array]) -> Array:
        """The value at a point, or at arrays of points that broadcast together."""
        total = np.asarray(self.constant, np.int64)
        for c, p in zip(self.coefficients, point, strict=True):
            if c:
                total = total + np.multiply(c, p)
        for c, term in self.terms:
            total = total + c * term.of(term.inner.evaluate(point))
        return total


@dataclass(frozen=True)
class AffineMap:
    """`(d0, d1) -> (d1, d0 * 2 + 1)`: a subscript for each axis, from iteration dimensions."""

    dimensions: int
    results: tuple[AffineExpr, ...]

    @staticmethod
    @cache
    def identity(dimensions: int) -> AffineMap:
        return AffineMap.select(dimensions, range(dimensions))

    @staticmethod
    def select(dimensions: int, picked: Sequence[int]) -> AffineMap:
        """The map whose subscripts are the iteration dimensions `picked`, in that order."""
        return AffineMap(dimensions, tuple(AffineExpr.dim(dimensions, p) for p in picked))

    def __str__(self) -> str:
        dims = ", ".join(f"d{d}" for d in range(self.dimensions))
        return f"({dims}) -> ({', '.join(map(str, self.results))})"

    @property
    def is_affine(self) -> bool:
        """Whether every subscript is affine."""
        return all(expr.is_affine for expr in self.results)

    @property
    def is_separable(self) -> bool:
        """Whether every subscript is affine and no dimension occurs in two of them."""
        used = [d for expr in self.results for d in expr.dims()]
        return self.is_affine and len(used) == len(set(used))

    @property
    def clamps(self) -> bool:
        """Whether some subscript, or one inside it, is clamped: beyond MLIR's affine maps."""

        def clamped(expr: AffineExpr) -> bool:
            return any(isinstance(t, Clamp) or clamped(t.inner) for _, t in expr.terms)

        return any(clamped(expr) for expr in self.results)

    def picked(self) -> tuple[int, ...] | None:
        """The dimensions when every subscript is a single dimension, else None."""
        return self._picked

    @lazy
    def _picked(self) -> tuple[int, ...] | None:
        dims = [expr.single_dimension() for expr in self.results]
        return None if any(d is None for d in dims) else tuple(d for d in dims if d is not None)

    def dims(self) -> frozenset[int]:
        """The dimensions that some subscript depends on."""
        return frozenset[int]().union(*(expr.dims() for expr in self.results))

    def stays_inside(self, sizes: Sequence[int], shape: Sequence[int]) -> bool:
        """Whether every point of `sizes` is seen to be mapped into `shape`."""
        if 0 in sizes:
            return True
        bounds = (expr.bounds(sizes) for expr in self.results)
        pairs = zip(bounds, shape, strict=True)
        return all(low >= 0 and high < n for (low, high), n in pairs)

    def substitute(
        self, by: Sequence[AffineExpr], dimensions: int, sizes: Sequence[int]
    ) -> AffineMap:
        """With `by[d]`, an expression over other `dimensions` of `sizes`, in place of `d_d`."""
        exprs = tuple([expr.substitute(by, dimensions, sizes) for expr in self.results])
        same = dimensions == self.dimensions and exprs == self.results
        return self if same else AffineMap(dimensions, exprs)

    def evaluate(self, point: Sequence[int]) -> tuple[int, ...]:
        return tuple(int(expr.evaluate(point)) for expr in self.results)


# Text

_TOKEN = re.compile(
    r"\s*(?:(?P<dim>d\d+)|(?P<int>\d+)|(?P<word>floordiv|mod|clamp)|(?P<sign>[-+*(),]))"
)
_MAP = re.compile(r"\(([^()]*)\)\s*->\s*\((.*)\)")


def read_map(text: str) -> AffineMap:
    """A map from its text. Raises ValueError when it is not one."""
    match = _MAP.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"`{text}` is not an affine map")
    names = [name.strip() for name in match[1].split(",") if name.strip()]
    if names != [f"d{d}" for d in range(len(names))]:
        raise ValueError("the dimensions of an affine map are d0, d1 and so on")
    return AffineMap(len(names), _Reader(match[2], len(names)).results())


class _Reader:
    """Reads expressions, by recursive descent over sums, products and primaries."""

    def __init__(self, text: str, dimensions: int) -> None:
        self.dimensions = dimensions
        self.tokens: list[str] = []
        at = 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                raise ValueError(f"`{text[at:].strip()}` is not part of an affine expression")
            self.tokens.append(match[0].strip())
            at = match.end()

    def results(self) -> tuple[AffineExpr, ...]:
        found: list[AffineExpr] = []
        while self.tokens:
            if found:
                self._expect(",")
            found.append(self._sum())
        return tuple(found)

    def _take(self, *wanted: str) -> str | None:
        if self.tokens and self.tokens[0] in wanted:
            return self.tokens.pop(0)
        return None

    def _expect(self, wanted: str) -> None:
        if self._take(wanted) is None:
            found = self.tokens[0] if self.tokens else "the end"
            raise ValueError(f"expected `{wanted}` in an affine expression, found `{found}`")

    def _sum(self) -> AffineExpr:
        total = self._product()
        while (sign := self._take("+", "-")) is not None:
            part = self._product()
            total = total + part if sign == "+" else total - part
        return total

    def _product(self) -> AffineExpr:
        value = self._primary()
        while (word := self._take("*", "floordiv", "mod")) is not None:
            number = self._integer()
            if word == "*":
                value = value.scaled(number)
            elif number <= 0:
                raise ValueError(f"`{word}` by {number}, which is not positive")
            else:
                term = FloorDiv(value, number) if word == "floordiv" else Mod(value, number)
                value = self._term(term)
        return value

    def _primary(self) -> AffineExpr:
        if self._take("-") is not None:
            return self._product().scaled(-1)
        if self._take("(") is not None:
            value = self._sum()
            self._expect(")")
            return value
        if self._take("clamp") is not None:
            self._expect("(")
            value = self._sum()
            self._expect(",")
            low = self._integer()
            self._expect(",")
            high = self._integer()
            self._expect(")")
            if low > high:
                raise ValueError(f"clamping between {low} and {high}")
            return self._term(Clamp(value, low, high))
        if self.tokens and self.tokens[0].startswith("d"):
            name = self.tokens.pop(0)
            if int(name[1:]) >= self.dimensions:
                raise ValueError(f"`{name}` is not a dimension of the map")
            return AffineExpr.dim(self.dimensions, int(name[1:]))
        return AffineExpr.number(self.dimensions, self._integer())

    def _integer(self) -> int:
        sign = -1 if self._take("-") is not None else 1
        if not self.tokens or not self.tokens[0].isdigit():
            raise ValueError("expected an integer in an affine expression")
        return sign * int(self.tokens.pop(0))

    def _term(self, term: Quasi) -> AffineExpr:
        return AffineExpr((0,) * self.dimensions, 0, ((1, term),))
