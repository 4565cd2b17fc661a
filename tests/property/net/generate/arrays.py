"""Expressions that are arrays: builders, library functions, gathers, contractions."""

from __future__ import annotations

from tests.property.net.arrays import (
    Along,
    Best,
    Builder,
    Concat,
    Element,
    Filled,
    Gather,
    Index,
    MatMul,
    Reduce,
    Roll,
    Slice,
    Transpose,
)
from tests.property.net.generate.scalars import BOUNDED, Scalars
from tests.property.net.statements import Block
from tests.property.net.syntax import (
    Binary,
    Compare,
    Convert,
    Elem,
    Expr,
    Literal,
    Size,
    Type,
    Unary,
    Where,
)


class Arrays(Scalars):
    def array(self, type_: Type, depth: int) -> Expr:
        if not type_.shape:
            return self.scalar(type_.elem, depth)
        if depth <= 0 or not self.spend():
            return self.simple(type_)
        below = depth - 1
        return self.attempt(
            [
                (2.0, lambda: self.named_type(type_)),
                (6.0, lambda: self.builder(type_, below)),
                (2.0, lambda: self.elementwise(type_, below)),
                (2.0, lambda: self.along(type_, below)),
                (1.0, lambda: self.contraction(type_, below)),
                (1.0, lambda: self.gather(type_, below)),
                (1.0, lambda: self.part(type_)),
                (0.7, lambda: self.reduced_axis(type_, below)),
                (0.5, lambda: self.transpose(type_, below)),
                (0.5, lambda: self.concat(type_, below)),
                (0.6, lambda: self.best(type_, below)),
                (0.8, lambda: self.call(type_, below)),
                (0.7, lambda: self.converted_array(type_, below)),
                (0.0, lambda: self.builder(type_, below)),
            ]
        )

    def simple(self, type_: Type) -> Expr:
        """An array that needs no more than it must."""
        known = self.named_type(type_)
        if known is not None and self.chance(0.9):
            return known
        if type_.elem is not Elem.BOOL and self.chance(0.2):
            return Filled(self.pick((0, 1)), type_)
        return self.builder(type_, 0)

    def builder(self, type_: Type, depth: int) -> Expr:
        """Over all axes, or the first ones with arrays as elements."""
        count = type_.rank if self.chance(0.8) else self.random.randint(1, type_.rank)
        names = [self.fresh("i") for _ in range(count)]
        indexes = tuple(Index(n, Size(), s) for n, s in zip(names, type_.shape, strict=False))
        if self.chance(0.06):
            # The same extent, counted from 1.
            first = indexes[0]
            indexes = (Index(first.name, Size((), 1), first.high + 1), *indexes[1:])
        with self.pure() as scope:
            scope.indexes += indexes
            statements = self.statements(1, depth - 1) if self.chance(0.12) and depth > 0 else []
            body = self.array(Type(type_.elem, type_.shape[count:]), depth)
        return Builder(indexes, Block(tuple(statements), body) if statements else body)

    def elementwise(self, type_: Type, depth: int) -> Expr:
        def operand() -> Expr:
            return self.array(type_, depth)

        def smaller() -> Expr:
            """A scalar or a suffix, which stretches."""
            kept = self.random.randint(0, type_.rank)
            return self.array(Type(type_.elem, type_.shape[type_.rank - kept :]), depth)

        elem = type_.elem
        if elem is Elem.BOOL:
            other = Type(self.pick((Elem.F64, Elem.I64)), type_.shape)
            left, right = self.array(other, depth), self.simple(other)
            return Compare(self.pick(("<", ">=", "==")), left, right)
        if elem.is_integer:
            return Binary(self.pick(("+", "-", "maximum", "minimum")), operand(), smaller())
        if self.scope.guarded and self.chance(0.15):
            for pair in self.scope.guarded:
                if pair.array.type == type_:
                    return Where(pair.mask, pair.array, Literal(0.0, type_.scalar))
        mask = Type(Elem.BOOL, type_.shape)
        return self.attempt(
            [
                (3.0, lambda: Binary(self.pick("+-*"), operand(), smaller())),
                (2.0, lambda: Unary(self.pick(BOUNDED), operand())),
                (1.0, lambda: Binary(self.pick(("maximum", "minimum")), operand(), smaller())),
                (1.0, lambda: Where(self.array(mask, depth), operand(), self.simple(type_))),
                (1.0, lambda: Binary("**", operand(), Literal(2, Type(Elem.I64)))),
                (0.5, lambda: self.quotient(operand(), self.simple(type_))),
                (0.0, lambda: Unary("-", operand())),
            ]
        )

    def along(self, type_: Type, depth: int) -> Expr | None:
        if type_.elem is Elem.BOOL:
            return None
        axis = self.random.randrange(type_.rank)
        if type_.elem is Elem.I32 and self.chance(0.4):
            of = Type(self.pick((Elem.F64, Elem.F32, Elem.I64)), type_.shape)
            return Along("argsort", self.array(of, depth), axis)
        functions = ["cumsum", "flip", "sort", "roll"]
        if type_.elem.is_float:
            functions += ["cumprod"]
            if self.minimum(type_.shape[axis]) >= 1:
                functions += ["softmax"]
        function = self.pick(functions)
        operand = self.array(type_, depth)
        if function == "roll":
            return Roll(operand, self.integer_leaf(), axis)
        if function == "cumprod":
            one = Literal(1.0, type_.scalar)
            operand = Binary("+", self.halves(operand), one)
        return Along(function, operand, axis)

    def contraction(self, type_: Type, depth: int) -> Expr | None:
        if not type_.elem.is_float or type_.rank > 2:
            return None
        inner = self.size()
        if type_.rank == 1:
            left = self.array(Type(type_.elem, (type_.shape[0], inner)), depth)
            return MatMul(left, self.array(Type(type_.elem, (inner,)), depth))
        left = self.array(Type(type_.elem, (type_.shape[0], inner)), depth)
        return MatMul(left, self.array(Type(type_.elem, (inner, type_.shape[1])), depth))

    def gather(self, type_: Type, depth: int) -> Expr | None:
        """Rows by ids that are made to fit."""
        tables = [
            v
            for v in self.readable(lambda t: t.elem is type_.elem and t.rank == type_.rank)
            if v.type.shape[1:] == type_.shape[1:] and self.minimum(v.type.shape[0]) >= 1
        ]
        if not tables:
            return None
        table = self.pick(tables)
        index = Index(self.fresh("i"), Size(), type_.shape[0])
        with self.pure() as scope:
            scope.indexes.append(index)
            found = self.index(table.type.shape[0])
        return Gather(table, Builder((index,), found)) if found is not None else None

    def part(self, type_: Type) -> Expr | None:
        """A row of a larger array, or a slice."""
        rows = self.readable(lambda t: t.elem is type_.elem and t.shape[1:] == type_.shape)
        slices = self.readable(
            lambda t: (
                t.rank == type_.rank
                and t.elem is type_.elem
                and t.shape[1:] == type_.shape[1:]
                and t.shape[0].names == type_.shape[0].names
                and t.shape[0].offset > type_.shape[0].offset
                and self.minimum(type_.shape[0]) >= 0
            )
        )
        if slices and self.chance(0.6):
            of = self.pick(slices)
            low = self.random.randint(0, of.type.shape[0].offset - type_.shape[0].offset)
            return Slice(of, Size((), low), type_.shape[0] + low)
        if not rows:
            return None
        of = self.pick(rows)
        index = self.index(of.type.shape[0])
        return Element(of, (index,)) if index is not None else None

    def reduced_axis(self, type_: Type, depth: int) -> Expr | None:
        if type_.elem is Elem.BOOL or type_.rank > 2:
            return None
        axis = self.random.randint(0, type_.rank)
        size = self.size()
        is_filled = self.minimum(size) >= 1
        elem = type_.elem
        kinds = ["sum"]
        if is_filled:
            kinds += ["max", "min"]
        if is_filled and elem.is_float:
            kinds += ["mean", "logsumexp"]
        if is_filled and elem is Elem.I32:
            kinds = ["argmax", "argmin"]
            elem = self.pick((Elem.F64, Elem.F32, Elem.I64))
        shape = (*type_.shape[:axis], size, *type_.shape[axis:])
        return Reduce(self.pick(kinds), self.array(Type(elem, shape), depth), axis)

    def transpose(self, type_: Type, depth: int) -> Expr | None:
        if type_.rank < 2:
            return None
        a, b = type_.shape[-2:]
        return Transpose(self.array(Type(type_.elem, (*type_.shape[:-2], b, a)), depth))

    def concat(self, type_: Type, depth: int) -> Expr | None:
        first = type_.shape[0]
        if first.offset < 1:
            return None
        cut = self.random.randint(1, first.offset)
        head = Type(type_.elem, (Size((), cut), *type_.shape[1:]))
        tail = Type(type_.elem, (first + -cut, *type_.shape[1:]))
        made = self.array(head, depth), self.array(tail, depth)
        return Concat(*made) if self.chance(0.5) else Concat(made[1], made[0])

    def best(self, type_: Type, depth: int) -> Expr | None:
        """`top_k` where the last axis is a number."""
        last = type_.shape[-1]
        if last.names or type_.elem is Elem.BOOL:
            return None
        size = self.size()
        if self.minimum(size) < last.offset:
            return None
        elem = self.pick((Elem.F64, Elem.F32)) if type_.elem is Elem.I32 else type_.elem
        if not elem.is_float:
            return None
        operand = self.array(Type(elem, (*type_.shape[:-1], size)), depth)
        return Best(operand, last.offset, places=type_.elem is Elem.I32)

    def converted_array(self, type_: Type, depth: int) -> Expr | None:
        if type_.elem is Elem.BOOL:
            return None
        other = self.other(type_.elem)
        if type_.elem.is_integer and other.is_float:
            return None
        return Convert(type_.elem, self.array(Type(other, type_.shape), depth))
