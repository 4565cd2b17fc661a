"""Nests of two loops over tables whose cells read cells near by: what may run along antidiagonals.

Most dependences go forward, some lie within an antidiagonal or look at what is computed later.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.property.net.arrays import Builder, Element, Filled, Index
from tests.property.net.generate.accesses import moved, whole
from tests.property.net.generate.programs import Programs
from tests.property.net.statements import (
    Assign,
    Block,
    Branch,
    For,
    Function,
    Let,
    Parameter,
    Program,
    Statement,
    Store,
    Times,
)
from tests.property.net.syntax import (
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
    Size,
    SizeValue,
    Type,
    Unary,
    Where,
)

ROWS, COLUMNS = Size(("N",)), Size(("M",))
BORDER = 2
"""Rows and columns around the cells that loops run over, on every side."""
FORWARD = ((-1, 0), (0, -1), (-1, -1), (-2, 0), (0, -2), (-2, -1), (-1, -2), (-2, 1), (0, 0))
OTHERS = ((-1, 1), (-1, 2), (-2, 2), (0, 1), (1, 0), (1, -1), (0, 2), (2, -1), (1, 1))
"""Rows and columns from a cell to one that it reads."""


@dataclass(frozen=True)
class Table:
    """A table of both loops, of one, or an element; `axes` are the loops along it."""

    name: Name
    axes: tuple[int, ...]


class Nests(Programs):
    """Draws an entry of one nest."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.elems = (Elem.F64,)
        self.fuels = ((6, 8, 12),)
        self.placed: list[Table] = []
        self.indexes: tuple[Expr, Expr] = (Name("i", I64), Name("j", I64))
        self.risk = self.pick((0.0, 0.1, 0.2))
        """How many reads are of cells that may be computed later."""

    def program(self) -> Program:
        self.least = {"N": self.pick((1, 7, 7, 7)), "M": self.pick((1, 2, 7, 7, 7))}
        given = {
            "x": Type(Elem.F64, (ROWS,)),
            "y": Type(Elem.F64, (COLUMNS,)),
            "w": Type(Elem.F64, (ROWS, COLUMNS)),
            "b": F64,
        }
        self.scope.values += [Name(name, type_) for name, type_ in given.items()]
        self.fuel = self.pick(self.fuels[0])
        statements = [self.table() for _ in range(self.pick((1, 1, 2, 2, 3)))]
        statements += self.nest()
        parameters = tuple(Parameter(name, type_) for name, type_ in given.items())
        body = Block(tuple(statements), self.outcome())
        return Program((), (Function("nest", tuple(self.least.items()), parameters, body),))

    def table(self) -> Let:
        axes = self.pick(((0, 1), (0, 1), (0, 1), (0,), (1,))) if self.placed else (0, 1)
        sizes = tuple((ROWS, COLUMNS)[axis] + 2 * BORDER for axis in axes)
        type_ = Type(Elem.F64, sizes)
        of: Expr = Literal(0.3, F64)
        if axes:
            of = Filled(self.pick((0, 1)), type_)
        if axes and self.chance(0.7):
            steps = [Index(self.fresh("s"), Size(), size) for size in sizes]
            numbers = [Convert(Elem.F64, Name(step.name, I64)) for step in steps]
            parts = [Binary("*", Literal(self.pick((0.1, -0.2, 0.3)), F64), n) for n in numbers]
            sum_ = parts[0] if len(parts) == 1 else Binary("+", *parts)
            of = Builder(tuple(steps), sum_)
        made = self.bind(of, is_var=True)
        self.placed.append(Table(Name(made.name, type_), axes))
        return made

    def nest(self) -> list[Statement]:
        low = Size((), self.pick((0, 0, 1)))
        rows, columns = Index("i", low, ROWS), Index("j", low, COLUMNS)
        if self.chance(0.15):  # from the last row and column to the first
            last = (SizeValue(size + -1) for size in (ROWS, COLUMNS))
            back = [Binary("-", end, of) for end, of in zip(last, self.indexes, strict=True)]
            self.indexes = (back[0], back[1])
        carried = self.pick((None, None, "row", "row", "nest"))
        state = Name("state", F64)
        with self.nested() as scope:
            scope.indexes += [rows, columns]
            cell: list[Statement] = []
            for _ in range(self.pick((1, 1, 2, 3))):
                cell += self.cell()
            if carried == "row":
                cell.append(Assign("state", "=", self.tamed(Binary("+", state, self.near()))))
            elif carried == "nest":
                cell.append(Assign("state", "+=", self.pick((self.near(), self.near(), state))))
        kept = self.kept(state if carried else None) if low.offset == 0 else None
        inner: Statement = For(columns, tuple(cell), "kept" if kept else None, kept)
        if low.offset == 0 and not kept and self.chance(0.1):
            inner = Times("j", Binary("minimum", Name("i", I64), SizeValue(COLUMNS)), tuple(cell))
        row: list[Statement] = [inner]
        if carried == "row":
            row.insert(0, Let("state", Literal(0.2, F64), True))
            row += self.behind(state)
        before: list[Statement] = []
        if carried == "nest":
            before = [Let("state", Literal(0.2, F64), True)]
            self.scope.values.append(state)
        if not kept:
            return [*before, For(rows, tuple(row))]
        self.scope.values.append(Name("all", Type(Elem.F64, (ROWS, COLUMNS))))
        return [*before, For(rows, tuple(row), "all", Name("kept", Type(Elem.F64, (COLUMNS,))))]

    def kept(self, state: Name | None) -> Expr | None:
        """What every cell leaves in an array of its own."""
        if not self.chance(0.25):
            return None
        return self.near() if state is None else self.pick((state, state, self.near()))

    def behind(self, state: Name) -> list[Statement]:
        """What is made of a row's state once its cells are done."""
        kept = [t for t in self.placed if t.axes == (0,)]
        if not kept:
            return []
        return [Store(self.pick(kept).name.name, (self.at(0, 0),), self.pick(("=", "+=")), state)]

    # Cells

    def at(self, axis: int, by: int) -> Expr:
        return moved(self.indexes[axis], BORDER + by)

    def cell(self) -> list[Statement]:
        """An assignment to one of the tables, perhaps under a condition."""
        table = self.pick(self.placed)
        by = [self.pick((0, 0, 0, 1)) for _ in table.axes]
        place = tuple(self.at(axis, d) for axis, d in zip(table.axes, by, strict=True))
        of = self.near()
        for _ in range(self.pick((1, 2, 2, 3))):
            function = self.pick(("+", "+", "-", "-", "*", "maximum"))
            of = Binary(function, of, self.near())
        if self.chance(0.15):
            of = self.chosen(of)
        of = Unary(self.pick(("sin", "tanh", "atan")), of)
        how = self.pick(("=", "=", "=", "+="))
        made = Store(table.name.name, place, how, of) if place else Assign(table.name.name, how, of)
        if self.chance(0.08):
            return [Branch(self.comparison(), (made,))]
        return [made]

    def chosen(self, of: Expr) -> Expr:
        other = self.near()
        made = self.pick((Where, Where, If))
        return made(self.comparison(), of, other)

    def comparison(self) -> Expr:
        """Of both indexes, or of what cells hold."""
        if self.chance(0.5):
            return Compare(self.pick(("<", "<=", "==")), *self.indexes)
        return Compare("<", self.near(), Literal(self.pick((0.1, 0.5, -0.3)), F64))

    def near(self) -> Expr:
        """An element of a table near by, or what a cell takes from outside."""
        if self.chance(0.25):
            return self.outside()
        table = self.pick(self.placed)
        by = self.pick(OTHERS if self.chance(self.risk) else FORWARD)
        places = tuple(self.place(axis, by[axis]) for axis in table.axes)
        return Element(table.name, places) if places else table.name

    def outside(self) -> Expr:
        """A number that cells take from elsewhere."""
        if self.chance(0.08):
            return self.scalar(Elem.F64, 1)
        i, j = self.indexes
        known = {v.text(): v for v in self.scope.values if isinstance(v, Name)}
        made = {"x": (i,), "y": (j,), "w": (i, j), "b": ()}
        name = self.pick(sorted(made))
        return Element(known[name], made[name]) if made[name] else known[name]

    def place(self, axis: int, by: int) -> Expr:
        """Most are an index and a number; some are clamped, or the same for all cells."""
        made = self.at(axis, by)
        size = (ROWS, COLUMNS)[axis] + 2 * BORDER
        match self.random.random():
            case roll if roll < 0.02:
                return Binary("maximum", made, whole(BORDER + 1))
            case roll if roll < 0.04:
                return Binary("minimum", made, SizeValue(size + -2))
            case roll if roll < 0.05:
                return whole(self.pick((0, 1, BORDER)))
            case _:
                return made


def draw_nest(seed: int) -> Program:
    """The program of a seed: one nest of loops."""
    return Nests(seed).program()
