"""Expressions that are one number."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.property.net.arrays import Element, Index, Reduce, Sigma
from tests.property.net.generate.accesses import Accesses, whole
from tests.property.net.statements import Block
from tests.property.net.syntax import (
    I64,
    Binary,
    Compare,
    Convert,
    Elem,
    Expr,
    If,
    Literal,
    Name,
    Size,
    SizeValue,
    Type,
    Unary,
    Where,
)

BOUNDED = ("sin", "cos", "tanh", "sigmoid", "atan", "erf")
Makers = Sequence[tuple[float, Callable[[], Expr | None]]]


class Scalars(Accesses):
    def scalar(self, elem: Elem, depth: int) -> Expr:
        if depth <= 0 or not self.spend():
            return self.leaf(elem)
        if elem is Elem.BOOL:
            return self.attempt(self.truths(depth))
        if elem.is_integer:
            return self.attempt(self.integers(elem, depth))
        return self.attempt(self.reals(elem, depth))

    def leaf(self, elem: Elem) -> Expr:
        return self.attempt(
            [
                (5.0, lambda: self.access(elem)),
                (2.0, lambda: self.named_type(Type(elem))),
                (1.0, lambda: self.position(elem)),
                (0.7, lambda: self.literal(elem)),
            ]
        )

    def position(self, elem: Elem) -> Expr | None:
        """A loop index, or a size, as a number."""
        if elem is Elem.BOOL:
            return None
        options: list[Expr] = [Name(i.name, I64) for i in self.scope.indexes]
        if elem.is_float and not self.chance(0.3):
            return None
        made = self.pick(options) if options else SizeValue(Size((self.pick(sorted(self.least)),)))
        if elem.is_float:
            return Binary("*", Literal(0.25, Type(elem)), Convert(elem, made))
        return made if elem is Elem.I64 else Convert(elem, made)

    # Real numbers

    def reals(self, elem: Elem, depth: int) -> Makers:
        below = depth - 1
        type_ = Type(elem)

        def operand() -> Expr:
            return self.scalar(elem, below)

        return [
            (3.0, lambda: self.leaf(elem)),
            (4.0, lambda: Binary(self.pick("+-*"), operand(), operand())),
            (2.0, lambda: Unary(self.pick(BOUNDED), operand())),
            (1.0, lambda: Binary(self.pick(("maximum", "minimum")), operand(), operand())),
            (0.7, lambda: Binary("**", operand(), whole(self.pick((2, 2, 3))))),
            (0.5, lambda: self.risky(elem, below)),
            (0.5, lambda: Unary(self.pick(("-", "abs", "softplus")), operand())),
            (0.5, lambda: self.quotient(operand(), operand())),
            (
                1.0,
                lambda: If(self.condition(below), self.arm(elem, below), self.arm(elem, below)),
            ),
            (0.7, lambda: Where(self.condition(below), operand(), self.nothing(elem) or operand())),
            (0.3, lambda: Binary("maximum", operand(), Literal(0.0, type_))),
            (1.5, lambda: self.sigma(elem, below)),
            (1.0, lambda: self.reduced(elem, below)),
            (0.8, lambda: self.call(type_, below)),
            (0.5, lambda: self.converted(elem, below)),
            (0.2, lambda: Unary("stop_gradient", operand())),
            (0.0, lambda: self.leaf(elem)),
        ]

    def quotient(self, a: Expr, b: Expr) -> Expr:
        """A division whose divisor stays away from zero."""
        elem = a.type.elem
        return Binary("/", a, Binary("+", Literal(1.5, Type(elem)), Binary("*", b, b)))

    def risky(self, elem: Elem, depth: int) -> Expr:
        """A function that is singular somewhere, behind a branch or where it is not."""
        x = self.scalar(elem, depth)
        zero = Literal(0.0, Type(elem))
        match self.pick(("log", "sqrt", "exp", "hypot", "atan2", "divide")):
            case "exp":
                return Unary("exp", Unary(self.pick(BOUNDED), x))
            case "hypot" | "atan2" as name:
                return Binary(name, x, Binary("+", Literal(1.5, Type(elem)), Unary("abs", x)))
            case "divide":
                # Behind a branch: nothing of the quotient is left where it is infinite.
                made: Expr = Binary("/", self.scalar(elem, depth), x)
                outside: Expr = Compare("!=", x, zero)
            case name:
                made, outside = Unary(name, x), Compare(">", x, zero)
        chosen = self.pick((Where, If))
        return chosen(outside, made, self.scalar(elem, depth))

    def arm(self, elem: Elem, depth: int) -> Expr:
        """A branch: an expression, sometimes after statements, or nothing."""
        nothing = self.nothing(elem) if self.chance(0.4) else None
        if nothing is not None:
            return nothing
        if self.chance(0.15) and self.fuel > 5:
            with self.pure():
                statements = self.statements(1, depth)
                return Block(tuple(statements), self.scalar(elem, depth))
        return self.scalar(elem, depth)

    def nothing(self, elem: Elem) -> Expr | None:
        """Half the time the zero that stands for what is left out."""
        return Literal(0.0, Type(elem)) if self.chance(0.5) else None

    def running_index(self) -> Index:
        """An index over a size, or a few numbers, with its edges cut at times."""
        size = self.size() if self.chance(0.8) else Size((), self.pick((2, 3)))
        low = Size((), 1) if self.chance(0.15) and self.minimum(size) >= 2 else Size()
        return Index(self.fresh("i"), low, size)

    def sigma(self, elem: Elem, depth: int) -> Expr | None:
        index = self.running_index()
        kinds = ["sum", "sum", "sum", "mean", "prod"]
        if self.minimum(index.high) - index.low.offset >= 1:
            kinds += ["max", "min", "logsumexp"]
        else:
            kinds = [kind for kind in kinds if kind != "mean"]
        kind = self.pick(kinds)
        with self.pure() as scope:
            scope.indexes.append(index)
            body = self.scalar(elem, depth)
            if kind == "prod":
                body = Binary("+", Literal(1.0, Type(elem)), self.halves(body))
        return Sigma(kind, (index,), body)

    def halves(self, x: Expr) -> Expr:
        return Binary("*", Literal(0.25, Type(x.type.elem)), Unary("sin", x))

    def reduced(self, elem: Elem, depth: int) -> Expr:
        """A whole array reduced."""
        shape = self.shape(self.pick((1, 1, 2)))
        kinds = ["sum", "sum", "mean", "max", "min", "logsumexp"]
        if any(self.minimum(size) < 1 for size in shape):
            kinds = ["sum"]
        return Reduce(self.pick(kinds), self.array(Type(elem, shape), depth))

    def converted(self, elem: Elem, depth: int) -> Expr:
        return Convert(elem, self.scalar(self.other(elem), depth))

    # Integers

    def integers(self, elem: Elem, depth: int) -> Makers:
        below = depth - 1

        def operand() -> Expr:
            return self.scalar(elem, below)

        def literal(low: int) -> Expr:
            return Literal(self.random.randint(low, 4), Type(elem))

        return [
            (3.0, lambda: self.leaf(elem)),
            (2.0, lambda: Binary(self.pick("+-"), operand(), operand())),
            (1.0, lambda: Binary("*", operand(), literal(-1))),
            (1.0, lambda: Binary(self.pick(("//", "%")), operand(), literal(1))),
            (1.0, lambda: Binary(self.pick(("maximum", "minimum")), operand(), operand())),
            (1.0, lambda: If(self.condition(below), operand(), operand())),
            (1.5, lambda: self.winner(elem, below)),
            (0.6, lambda: Convert(elem, self.condition(below))),
            (0.5, lambda: self.truncated(elem, below)),
            (0.7, lambda: Reduce("sum", self.array(Type(elem, self.shape(1)), below))),
            (0.6, lambda: self.call(Type(elem), below)),
            (0.0, lambda: self.leaf(elem)),
        ]

    def truncated(self, elem: Elem, depth: int) -> Expr:
        inside = Unary("tanh", self.scalar(Elem.F64, depth))
        return Convert(elem, Binary("*", Literal(3.0, Type(Elem.F64)), inside))

    def winner(self, elem: Elem, depth: int) -> Expr | None:
        """`argmax` of a row in scope, or of a new array."""
        rows = self.readable(lambda t: t.rank == 1 and self.is_positive(t.shape[0]))
        rows = [row for row in rows if row.type.elem is not Elem.BOOL]
        made: Expr | None = self.pick(rows) if rows and self.chance(0.5) else self.row()
        if made is None:
            size = self.size()
            if self.minimum(size) < 1:
                return None
            made = self.array(Type(self.pick((Elem.F64, Elem.F32, Elem.I64)), (size,)), depth)
        found = Reduce(self.pick(("argmax", "argmin")), made)
        return found if elem is Elem.I32 else Convert(elem, found)

    def row(self) -> Expr | None:
        """A row of a matrix in scope, that is not empty."""
        tables = self.readable(
            lambda t: t.rank == 2 and t.elem.is_float and self.is_positive(t.shape[1])
        )
        if not tables:
            return None
        table = self.pick(tables)
        index = self.index(table.type.shape[0])
        return Element(table, (index,)) if index is not None else None

    # Truth

    def truths(self, depth: int) -> Makers:
        below = depth - 1
        comparison = ("<", "<=", ">", ">=", "==", "!=")

        def compared(elem: Elem) -> Expr:
            return Compare(self.pick(comparison), self.scalar(elem, below), self.leaf(elem))

        def both() -> Expr:
            return Compare(self.pick(("and", "or")), self.condition(below), self.condition(below))

        return [
            (2.0, lambda: self.leaf(Elem.BOOL)),
            (3.0, self.positions),
            (3.0, lambda: compared(self.pick((Elem.F64, Elem.F64, Elem.F32)))),
            (1.0, lambda: compared(self.pick((Elem.I64, Elem.I32)))),
            (0.7, both),
            (0.5, lambda: Unary("not", self.condition(below))),
            (0.0, lambda: self.leaf(Elem.BOOL)),
        ]

    def positions(self) -> Expr | None:
        """`u <= t`, of two loop indexes or an index and a number."""
        names: list[Expr] = [Name(i.name, I64) for i in self.scope.indexes]
        if not names:
            return None
        others = [*names, *self.readable(lambda t: t == I64), whole(self.pick((0, 1, 2)))]
        return Compare(self.pick(("<", "<=", ">", "==", "!=")), self.pick(names), self.pick(others))
