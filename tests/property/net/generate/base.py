"""What all families share: choices, sizes and names in scope."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from tests.property.net.arrays import Index
from tests.property.net.statements import Function, Statement, Whole
from tests.property.net.syntax import Elem, Expr, Literal, Name, Size, Type

T = TypeVar("T")

FLOATS = (Elem.F64, Elem.F64, Elem.F64, Elem.F32)
ELEMS = (*FLOATS, Elem.I64, Elem.I32, Elem.BOOL)


@dataclass(frozen=True)
class Guarded:
    """An array that may hold infinities where its mask is false."""

    array: Name
    mask: Name


@dataclass
class Scope:
    """What an expression can use."""

    values: list[Expr] = field(default_factory=lambda: [])
    variables: list[Name] = field(default_factory=lambda: [])
    guarded: list[Guarded] = field(default_factory=lambda: [])
    records: list[Whole] = field(default_factory=lambda: [])
    indexes: list[Index] = field(default_factory=lambda: [])

    def inner(self) -> Scope:
        return Scope(
            list(self.values),
            list(self.variables),
            list(self.guarded),
            list(self.records),
            list(self.indexes),
        )


class Base:
    """A drawer of programs; the families are its mixins."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.least: dict[str, int] = {}
        self.scope = Scope()
        self.functions: list[Function] = []
        self.elems: Sequence[Elem] = ELEMS
        self.fuel = 0
        self.named = 0

    # Choices

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def pick(self, options: Sequence[T]) -> T:
        return self.random.choice(options)

    def attempt(self, weighted: Sequence[tuple[float, Callable[[], T | None]]]) -> T:
        """What one of the makers makes, or else the last of them."""
        *chances, (_, otherwise) = weighted
        made = self.one_of(chances)
        made = otherwise() if made is None else made
        assert made is not None
        return made

    def one_of(self, weighted: Sequence[tuple[float, Callable[[], T | None]]]) -> T | None:
        """What one of the makers makes; those that give None are passed over."""
        pending = list(weighted)
        while pending:
            weights = [weight for weight, _ in pending]
            place = self.random.choices(range(len(pending)), weights)[0]
            made = pending.pop(place)[1]()
            if made is not None:
                return made
        return None

    def other(self, elem: Elem) -> Elem:
        """Another element type."""
        options = [e for e in self.elems if e is not elem]
        return self.pick(options) if options else Elem.I64

    def fresh(self, prefix: str) -> str:
        """A new name, which is no element type such as `i32`."""
        self.named += 1
        name = f"{prefix}{self.named}"
        return self.fresh(prefix) if name in set(Elem) else name

    def spend(self) -> bool:
        """Take fuel; false when there is none left."""
        self.fuel -= 1
        return self.fuel > 0

    @contextmanager
    def nested(self) -> Iterator[Scope]:
        """A scope whose additions end with the block."""
        outer = self.scope
        self.scope = outer.inner()
        try:
            yield self.scope
        finally:
            self.scope = outer

    @contextmanager
    def pure(self) -> Iterator[Scope]:
        """A scope in which no variable can be assigned."""
        with self.nested() as scope:
            scope.variables = []
            yield scope

    # Sizes

    def minimum(self, size: Size) -> int:
        return sum(self.least[name] for name in size.names) + size.offset

    def is_positive(self, size: Size) -> bool:
        """Whether the size is at least 1 where the scope is evaluated."""
        return self.minimum(size) >= 1 or any(
            i.high.names == size.names and i.high.offset <= size.offset and i.low.offset >= 0
            for i in self.scope.indexes
        )

    def size(self) -> Size:
        name = self.pick(sorted(self.least))
        roll = self.random.random()
        if roll < 0.7:
            return Size((name,))
        if roll < 0.8:
            return Size((name,), self.pick((1, 2)))
        if roll < 0.87 and self.least[name] >= 1:
            return Size((name,), -1)
        return Size((), self.pick((1, 2, 3, 4)))

    def shape(self, rank: int) -> tuple[Size, ...]:
        return tuple(self.size() for _ in range(rank))

    # Names

    def readable(self, wanted: Callable[[Type], bool]) -> list[Expr]:
        return [v for v in self.scope.values if wanted(v.type)]

    def named_type(self, wanted: Type) -> Expr | None:
        known = self.readable(lambda t: t == wanted)
        return self.pick(known) if known else None

    # The families

    def index(self, size: Size) -> Expr | None:
        """An index inside an axis."""
        raise NotImplementedError

    def access(self, elem: Elem) -> Expr | None:
        """An element of an array in scope."""
        raise NotImplementedError

    def scalar(self, elem: Elem, depth: int) -> Expr:
        raise NotImplementedError

    def array(self, type_: Type, depth: int) -> Expr:
        """An expression of a type of rank 1 or more, or a scalar."""
        raise NotImplementedError

    def call(self, type_: Type, depth: int) -> Expr | None:
        raise NotImplementedError

    def any_call(self, depth: int) -> Expr | None:
        """A call of any earlier function."""
        raise NotImplementedError

    def statements(self, count: int, depth: int) -> list[Statement]:
        raise NotImplementedError

    def condition(self, depth: int) -> Expr:
        return self.scalar(Elem.BOOL, depth)

    def literal(self, elem: Elem) -> Literal:
        if elem is Elem.BOOL:
            return Literal(self.chance(0.5), Type(elem))
        if elem.is_integer:
            return Literal(self.pick((0, 1, 2, 3, -1, 5)), Type(elem))
        return Literal(self.pick((0.0, 0.5, 1.0, -1.0, 2.0, -0.25, 0.1, 1.5, -0.7)), Type(elem))
