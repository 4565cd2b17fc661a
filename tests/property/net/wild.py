"""Programs with indexes that may be outside of their axis, and conditions that keep them inside."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from tests.property.net.arrays import Builder, Element, Gather
from tests.property.net.statements import Branch, Function, Program, Store
from tests.property.net.syntax import (
    BOOL,
    F64,
    I64,
    Binary,
    Compare,
    Convert,
    Elem,
    Expr,
    If,
    Literal,
    Name,
    Node,
    Size,
    SizeValue,
    Unary,
)


def loosened(program: Program, rng: random.Random) -> Program:
    """The program with some of its indexes free to leave their axis, some of these guarded."""
    functions = tuple(_Loosening(f, rng).changed(f) for f in program.functions)
    return replace(program, functions=functions)


def _integers(function: Function) -> list[Expr]:
    """Whole numbers that arguments of a function decide."""
    found: list[Expr] = []
    for parameter in function.parameters:
        if parameter.type == I64:
            found.append(Name(parameter.name, I64))
        elif parameter.type == F64:
            thrice = Binary("*", Literal(3.0, F64), Name(parameter.name, F64))
            found.append(Convert(Elem.I64, thrice))
    return found


class _Loosening:
    def __init__(self, function: Function, rng: random.Random) -> None:
        self.rng = rng
        self.integers = _integers(function)

    def changed(self, part: Any) -> Any:
        match part:
            case tuple():
                return tuple(self.changed(item) for item in part)
            case Element() if self.rng.random() < 0.6:
                return self.element(part)
            case Gather(array, Builder(_, body) as ids) if self.rng.random() < 0.7:
                return Gather(self.changed(array), replace(ids, body=self.loose(body)))
            case Store() if self.rng.random() < 0.6:
                return self.store(part)
            case Node():
                assert is_dataclass(part)
                inside = {f.name: self.changed(getattr(part, f.name)) for f in fields(part)}
                return replace(part, **inside)
            case _:
                return part

    def loose(self, index: Expr) -> Expr:
        match index:
            case Binary("maximum" | "minimum" | "%", inner, _) if self.rng.random() < 0.8:
                return self.loose(inner) if self.rng.random() < 0.7 else inner
            case _ if self.integers and self.rng.random() < 0.5:
                return Binary(self.rng.choice("+-"), index, self.rng.choice(self.integers))
            case _ if self.rng.random() < 0.25:
                by = Literal(self.rng.choice((1, 1, 2)), I64)
                return Binary(self.rng.choice("+-"), index, by)
            case _:
                return index

    def element(self, read: Element) -> Expr:
        indexes = tuple(self.loose(index) for index in read.indexes)
        loose = replace(read, indexes=indexes)
        if read.type.shape or self.rng.random() < 0.3:
            return loose
        condition = self.inside(indexes, read.array.type.shape)
        zero = Literal(0, read.type)
        if self.rng.random() < 0.4:
            # What decides reads the element, too.
            condition = Compare("and", condition, Compare("!=", loose, zero))
        elif self.rng.random() < 0.2:
            outside = Compare("or", Unary("not", condition), Compare("==", loose, zero))
            return If(outside, zero, loose)
        if read.type == BOOL and self.rng.random() < 0.5:
            return Compare("and", condition, loose)
        return If(condition, loose, zero)

    def store(self, write: Store) -> Store | Branch:
        if any(index.type.shape for index in write.indexes):
            return write
        indexes = tuple(self.loose(index) for index in write.indexes)
        loose = replace(write, indexes=indexes)
        if self.rng.random() < 0.3:
            return loose
        # The shape is not known here, so the condition keeps not all from being outside.
        bound = Literal(self.rng.choice((0, 1, 3)), I64)
        return Branch(Compare(self.rng.choice((">=", "<", "==")), indexes[0], bound), (loose,))

    def inside(self, indexes: Sequence[Expr], shape: Sequence[Size]) -> Expr:
        """A condition that holds inside of an array; or, sometimes, a part of it."""
        tests: list[Expr] = []
        for index, size in zip(indexes, shape, strict=False):
            tests.append(Compare(">=", index, Literal(0, I64)))
            tests.append(Compare("<", index, SizeValue(size)))
        if len(tests) > 1 and self.rng.random() < 0.2:
            tests.pop(self.rng.randrange(len(tests)))
        condition, *others = tests
        for test in others:
            condition = Compare("and", condition, test)
        return condition
