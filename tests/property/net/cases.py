"""A program with sizes, arguments and a direction: everything that a check needs."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from tests.property.net.arrays import array
from tests.property.net.generate import draw_nest, draw_program
from tests.property.net.statements import Parameter, Program, Tuple
from tests.property.net.syntax import Data, Elem, Node, RecordType, Trace, Type
from tests.property.net.taylor import Jet, is_short
from tests.property.net.wild import loosened

Arrays = Mapping[str, "np.ndarray | Mapping[str, np.ndarray]"]
"""An array for each parameter, or one for each field of a record."""


class Series(StrEnum):
    """What programs are like; every seed is one of each."""

    LARGE = "large"
    SMALL = "small"
    NESTS = "nests"
    """One nest of two loops over tables; sizes are such that many run along antidiagonals."""
    WILD = "wild"
    """Small, with indexes that may be outside, and conditions that may keep them inside."""


EXTENTS = (0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 70)
NEST_EXTENTS = (1, 2, 3, 6, 7, 9, 12, 16, 17, 19, 23)
DTYPES = {
    Elem.F64: np.float64,
    Elem.F32: np.float32,
    Elem.I64: np.int64,
    Elem.I32: np.int32,
    Elem.BOOL: np.bool_,
}
ORDERS = ("r", "f", "r", "f", "rr", "fr", "rf", "ff", "rrr", "frr", "rfr", "rrf", "ffr", "fff")


@dataclass(frozen=True)
class Case:
    program: Program
    sizes: Mapping[str, int]
    arguments: Arrays
    directions: Arrays
    modes: str
    """How the program is differentiated, innermost first: `r` in reverse, `f` forward."""
    may_trap: bool = False
    """Whether indexes may be outside of their axis."""

    @property
    def is_loss(self) -> bool:
        """Whether there is something to differentiate."""
        result = self.program.entry.body.result
        return bool(self.modes and self.wrt) and not isinstance(result, Tuple)

    @property
    def wrt(self) -> list[Parameter]:
        return [p for p in self.program.entry.parameters if is_active(p.type)]

    @property
    def has_f32(self) -> bool:
        return any("f32" in f.text() for f in self.program.functions)

    def meaning(
        self, order: int, step: float = 0.0, jitter: float = 0.0, trace: Trace | None = None
    ) -> tuple[Data, Trace]:
        """The result as the language defines it, a series along the direction.

        `step` goes along the direction first; `jitter` changes every number a little, equal ones
        alike. Raises TooLong, and AssertionError where an index is outside of its axis, unless
        `trace` is given, which notes it.
        """
        may_be_outside = trace is not None
        trace = trace or Trace(tolerance=1e-4 if self.has_f32 else 1e-9)
        arguments = {
            p.name: jets(
                p.type, self.arguments[p.name], self.directions.get(p.name), order, step, jitter
            )
            for p in self.program.entry.parameters
        }
        made = self.program.value(self.sizes, arguments, trace)
        assert may_be_outside or not trace.outside, trace.outside
        return made, trace


def is_active(type_: Type | RecordType) -> bool:
    return isinstance(type_, RecordType) or type_.elem is Elem.F64


def jets(
    type_: Type | RecordType, value: Data, along: Data, order: int, step: float, jitter: float
) -> Data:
    if isinstance(type_, RecordType):
        return {
            n: jets(t, value[n], None if along is None else along[n], order, step, jitter)
            for n, t in type_.fields
        }
    if not type_.elem.is_float:
        items = [x.item() for x in value.flat]
    else:
        slopes = [0.0] * value.size if along is None else [x.item() for x in along.flat]
        items = []
        for x, slope in zip(value.flat, slopes, strict=True):
            number = float(x) + (step * slope if math.isfinite(x) else 0.0)
            number *= 1 + jitter * math.sin(1e3 * number) if math.isfinite(number) else 1
            tail = (slope, *[0.0] * (order - 1)) if order and along is not None else ()
            items.append(Jet((number, *tail), is_short(number)))
    return array(np.shape(value), items) if type_.shape else items[0]


def widened(case: Case) -> Case:
    """The case with f64 wherever it has f32."""

    def wide(part: Any) -> Any:
        match part:
            case tuple():
                return tuple(wide(item) for item in part)
            case Elem():
                return Elem.F64 if part is Elem.F32 else part
            case Type(elem, shape):
                return Type(wide(elem), shape)
            case Node():
                assert is_dataclass(part)
                changed = {f.name: wide(getattr(part, f.name)) for f in fields(part)}
                return replace(part, **changed)
            case _:
                return part

    program = replace(case.program, functions=wide(case.program.functions))
    arguments = {
        name: value.astype(np.float64)
        if isinstance(value, np.ndarray) and value.dtype == np.float32
        else value
        for name, value in case.arguments.items()
    }
    directions = dict(case.directions)
    for parameter in program.entry.parameters:
        if is_active(parameter.type) and parameter.name not in directions:
            directions[parameter.name] = np.ones_like(arguments[parameter.name])
    return replace(case, program=program, arguments=arguments, directions=directions)


class Drawer:
    """Draws numbers: ties, zeros of both signs and short fractions among them."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.style = rng.choice(("short", "zeros", "zeros", "smooth", "smooth"))

    def number(self) -> float:
        match self.style:
            case "zeros":
                return self.rng.choice((0.0, 0.0, -0.0, 1.0, -1.0, 0.5))
            case "short":
                return self.rng.randint(-8, 8) / 4
            case _:
                return self.rng.uniform(-2, 2)

    def array(self, type_: Type, sizes: Mapping[str, int]) -> np.ndarray:
        shape = [size.value(sizes) for size in type_.shape]
        count = math.prod(shape)
        if type_.elem.is_float:
            items: list[float] = [self.number() for _ in range(count)]
        elif type_.elem is Elem.BOOL:
            items = [self.rng.random() < 0.6 for _ in range(count)]
        else:
            items = [self.rng.randint(0, 5) for _ in range(count)]
        return np.array(items, DTYPES[type_.elem]).reshape(shape)

    def value(self, type_: Type | RecordType, sizes: Mapping[str, int]) -> Data:
        if isinstance(type_, RecordType):
            return {name: self.array(of, sizes) for name, of in type_.fields}
        return self.array(type_, sizes)


def draw_case(seed: int, series: Series = Series.LARGE) -> Case:
    """The case of a seed in a series."""
    rng = random.Random(f"case {seed}")
    if series is Series.NESTS:
        program, extents = draw_nest(seed), list(NEST_EXTENTS)
    else:
        program = draw_program(seed, small=series is not Series.LARGE)
        if series is Series.WILD:
            program = loosened(program, rng)
        limit = rng.choice((5, 9, 17, 33, 70, 70))
        extents = [n for n in EXTENTS if n <= limit]
    sizes = {n: rng.choice([e for e in extents if e >= least]) for n, least in program.entry.sizes}
    data = Drawer(rng)
    arguments = {p.name: data.value(p.type, sizes) for p in program.entry.parameters}
    for hidden, mask in program.hidden:
        arguments[hidden][~arguments[mask]] = rng.choice((math.inf, -math.inf, math.nan))
    data.style = rng.choice(("short", "smooth"))
    active = [p for p in program.entry.parameters if is_active(p.type)]
    directions = {p.name: data.value(p.type, sizes) for p in active}
    modes, may_trap = rng.choice(ORDERS), series is Series.WILD
    return Case(program, sizes, arguments, directions, modes, may_trap)
