"""Indexes that stay inside their axis: affine, clamped, modular, computed and from data."""

from __future__ import annotations

from tests.property.net.arrays import Element
from tests.property.net.generate.base import Base
from tests.property.net.syntax import (
    I64,
    Binary,
    Convert,
    Elem,
    Expr,
    If,
    Literal,
    Name,
    Size,
    SizeValue,
    Type,
)


def whole(number: int) -> Literal:
    return Literal(number, I64)


def moved(index: Expr, by: int) -> Expr:
    """`index + by`, without a zero."""
    if by == 0:
        return index
    return Binary("+" if by > 0 else "-", index, whole(abs(by)))


class Accesses(Base):
    def index(self, size: Size) -> Expr | None:
        return self.one_of(
            [
                (6.0, lambda: self.affine(size)),
                (1.5, lambda: self.clamped(size)),
                (1.5, lambda: self.modular(size)),
                (0.7, lambda: self.window(size)),
                (0.5, lambda: self.backward(size)),
                (0.4, lambda: self.halved(size)),
                (0.6, lambda: self.constant(size)),
            ]
        )

    def fitting(self, size: Size) -> list[tuple[Name, int, int]]:
        """Loop indexes over the same names: how far each may be moved down and up."""
        return [
            (Name(i.name, I64), i.low.offset, size.offset - i.high.offset)
            for i in self.scope.indexes
            if i.high.names == size.names and not i.low.names
        ]

    def affine(self, size: Size) -> Expr | None:
        """`i`, or `i + c` as far as the range of `i` allows."""
        options = [
            moved(name, by)
            for name, down, up in self.fitting(size)
            for by in range(-min(down, 2), min(up, 2) + 1)
        ]
        # The last loop index is the innermost.
        return self.pick(options[-3:] if self.chance(0.5) else options) if options else None

    def window(self, size: Size) -> Expr | None:
        """`i + r` where both ranges together stay inside."""
        pairs = [
            Binary("+", name, Name(r.name, I64))
            for name, down, up in self.fitting(size)
            for r in self.scope.indexes
            if not r.high.names and down >= 0 and r.high.offset - 1 <= up and r.name != name.name
        ]
        return self.pick(pairs) if pairs else None

    def backward(self, size: Size) -> Expr | None:
        """`N - 1 - i`."""
        names = [name for name, down, up in self.fitting(size) if down >= 0 and up >= 0]
        if not names:
            return None
        return Binary("-", SizeValue(size + -1), self.pick(names))

    def halved(self, size: Size) -> Expr | None:
        names = [name for name, down, up in self.fitting(size) if down >= 0 and up >= 0]
        return Binary("//", self.pick(names), whole(self.pick((2, 3)))) if names else None

    def clamped(self, size: Size) -> Expr | None:
        if not self.is_positive(size):
            return None
        fitting = self.fitting(size)
        last = SizeValue(size + -1)
        if fitting and self.chance(0.7):
            name, down, up = self.pick(fitting)
            by = self.pick((1, 2))
            if down >= 0 and up >= 0 and self.chance(0.5):
                return Binary("maximum", moved(name, -by), whole(0))
            if down >= -by:
                return Binary("minimum", moved(name, by), last)
        inside = Binary("minimum", self.integer_leaf(), last)
        return Binary("maximum", inside, whole(0))

    def modular(self, size: Size) -> Expr | None:
        if not self.is_positive(size):
            return None
        extent = SizeValue(size)
        names = [Name(i.name, I64) for i in self.scope.indexes]
        if names and self.chance(0.7):
            of: Expr = moved(self.pick(names), self.pick((-1, 1, 2, 3)))
            if self.chance(0.3):
                of = Binary("+", Binary("*", whole(self.pick((2, 3))), of), self.integer_leaf())
            return Binary("%", of, extent)
        return Binary("%", self.integer_leaf(), extent)

    def constant(self, size: Size) -> Expr | None:
        if not self.is_positive(size):
            return None
        return whole(0) if self.chance(0.6) else SizeValue(size + -1)

    def integer_leaf(self) -> Expr:
        """An integer that is read: an index, an argument, an element of an array."""
        options: list[Expr] = [Name(i.name, I64) for i in self.scope.indexes]
        options += self.readable(lambda t: t == I64)
        if self.spend() and self.chance(0.6):
            elem = self.pick((Elem.I64, Elem.I64, Elem.I32))
            read = self.access(elem)
            if read is not None:
                return read if elem is Elem.I64 else Convert(Elem.I64, read)
        return self.pick(options) if options else whole(self.pick((0, 1, 2)))

    def access(self, elem: Elem) -> Expr | None:
        arrays = self.readable(lambda t: t.elem is elem and t.rank > 0)
        if elem.is_float and self.scope.guarded and self.chance(0.2):
            made = self.guarded_access(elem)
            if made is not None:
                return made
        if not arrays or not self.spend():
            return None
        array = self.pick(arrays[-4:] if self.chance(0.5) else arrays)
        indexes = [self.index(size) for size in array.type.shape]
        inside = tuple(i for i in indexes if i is not None)
        return Element(array, inside) if len(inside) == len(indexes) else None

    def guarded_access(self, elem: Elem) -> Expr | None:
        pairs = [g for g in self.scope.guarded if g.array.type.elem is elem]
        if not pairs or not self.spend():
            return None
        pair = self.pick(pairs)
        indexes = [self.index(size) for size in pair.array.type.shape]
        inside = tuple(i for i in indexes if i is not None)
        if len(inside) < len(indexes):
            return None
        read = Element(pair.array, inside)
        return If(Element(pair.mask, inside), read, Literal(0.0, Type(elem)))
