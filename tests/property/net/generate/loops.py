"""Statements: bindings, loops, tables written in place, branches."""

from __future__ import annotations

from tests.property.net.arrays import Along, Best, Element, Filled, Index
from tests.property.net.generate.accesses import whole
from tests.property.net.generate.arrays import Arrays
from tests.property.net.statements import (
    Assign,
    Branch,
    For,
    Let,
    Make,
    Mix,
    Rows,
    Statement,
    Store,
    Times,
    While,
    Whole,
)
from tests.property.net.syntax import (
    F64,
    I64,
    Binary,
    Compare,
    Elem,
    Expr,
    Field,
    Literal,
    Name,
    RecordType,
    Size,
    Type,
    Unary,
)


class Loops(Arrays):
    def statements(self, count: int, depth: int) -> list[Statement]:
        made: list[Statement] = []
        for _ in range(count):
            made += self.attempt(
                [
                    (3.0, lambda: self.binding(depth)),
                    (2.0, lambda: self.accumulation(depth)),
                    (2.0, lambda: self.tables(depth)),
                    (1.5, lambda: self.recurrence(depth)),
                    (1.0, lambda: self.carried(depth)),
                    (1.0, lambda: self.stacking(depth)),
                    (0.6, lambda: self.rows(depth)),
                    (0.6, lambda: self.branch(depth)),
                    (0.8, lambda: self.counted(depth)),
                    (0.8, lambda: self.search(depth)),
                    (1.0, lambda: self.record_binding(depth)),
                    (1.5, lambda: self.call_binding(depth)),
                    (1.5, lambda: self.library_binding(depth)),
                    (0.0, lambda: self.binding(depth)),
                ]
            )
        return made

    def bind(self, of: Expr, *, is_var: bool = False) -> Let:
        name = Name(self.fresh("v"), of.type)
        self.scope.values.append(name)
        if is_var:
            self.scope.variables.append(name)
        return Let(name.name, of, is_var)

    def binding(self, depth: int) -> list[Statement]:
        elem = self.pick(self.elems)
        rank = self.pick((0, 1, 1, 1, 2, 2, 3) if self.chance(0.3) else (0, 1, 1, 2))
        return [self.bind(self.array(Type(elem, self.shape(rank)), depth))]

    def record_binding(self, depth: int) -> list[Statement] | None:
        """A new record, from parts or by arithmetic on whole ones."""
        if not self.scope.records:
            return None
        known = self.pick(self.scope.records)
        made: Expr
        if self.chance(0.5):
            scale = self.scalar(Elem.F64, depth - 1)
            made = Mix(known, scale, self.pick(self.scope.records))
        else:
            parts = (self.array(type_, depth - 1) for _, type_ in known.record.fields)
            made = Make(known.record, tuple(parts))
        name = self.fresh("r")
        self.add_record(name, known.record)
        return [Let(name, made)]

    def add_record(self, name: str, record: RecordType) -> None:
        """Bring a record of a name, and its fields, into scope."""
        self.scope.records.append(Whole(name, record))
        self.scope.values += [Field(name, n, t) for n, t in record.fields]

    def call_binding(self, depth: int) -> list[Statement] | None:
        made = self.any_call(depth - 1)
        return [self.bind(made)] if made is not None else None

    def library_binding(self, depth: int) -> list[Statement] | None:
        """What orders or accumulates along an axis, and places of elements beside values."""
        elem = self.pick((Elem.F64, Elem.F64, Elem.F32, Elem.I64))
        type_ = Type(elem, self.shape(self.pick((1, 1, 2))))
        of = self.array(type_, depth - 1)
        last = type_.shape[-1]
        match self.pick(("along", "argsort", "top_k")):
            case "argsort":
                return [self.bind(Along("argsort", of, type_.rank - 1))]
            case "top_k" if elem.is_float and self.minimum(last) >= 1:
                first = self.bind(of)
                whole = Name(first.name, type_)
                count = self.random.randint(1, self.minimum(last))
                return [first, *(self.bind(Best(whole, count, p)) for p in (False, True))]
            case _:
                made = self.along(type_, depth - 1)
                return [self.bind(made)] if made is not None else None

    # Bodies of loops

    def updates(self, depth: int) -> list[Statement]:
        """One or two statements that change variables in scope."""
        made: list[Statement] = []
        for _ in range(self.pick((1, 1, 2, 3))):
            made += self.attempt(
                [
                    (1.0, lambda: self.binding(depth - 1)),
                    (2.0, lambda: self.store(depth)),
                    (2.0, lambda: self.reassign(depth)),
                    (0.7, lambda: self.guarded_update(depth)),
                    (0.5, lambda: self.inner_loop(depth)),
                    (0.3, lambda: self.search(depth - 1) if depth > 1 else None),
                    (0.0, lambda: self.binding(0)),
                ]
            )
        return made

    def store(self, depth: int) -> list[Statement] | None:
        tables = [v for v in self.scope.variables if v.type.rank > 0]
        if not tables:
            return None
        table = self.pick(tables)
        count = table.type.rank if self.chance(0.8) else 1
        indexes = [self.index(size) for size in table.type.shape[:count]]
        inside = tuple(i for i in indexes if i is not None)
        if len(inside) < count:
            return None
        rest = Type(table.type.elem, table.type.shape[count:])
        how = "=" if table.type.elem is Elem.BOOL else self.pick(("=", "=", "+=", "-="))
        with self.pure():
            of = self.tamed(self.array(rest, depth - 1))
        return [Store(table.name, inside, how, of)]

    def tamed(self, of: Expr) -> Expr:
        """Keep what feeds back from growing."""
        if of.type.elem.is_float and self.chance(0.6):
            return Unary(self.pick(("sin", "tanh", "atan")), of)
        return of

    def reassign(self, depth: int) -> list[Statement] | None:
        if not self.scope.variables:
            return None
        name = self.pick(self.scope.variables)
        elem = name.type.elem
        with self.pure():
            of = self.array(name.type, depth - 1)
        if elem is Elem.BOOL:
            return [Assign(name.name, "=", of)]
        if elem.is_integer:
            bounded = Binary("%", of, Literal(7, name.type.scalar))
            return [Assign(name.name, self.pick(("=", "+=")), bounded)]
        if self.chance(0.5):
            return [Assign(name.name, self.pick(("+=", "-=")), of)]
        mixed = Binary(self.pick("+-*"), name, of)
        return [Assign(name.name, "=", Unary(self.pick(("sin", "tanh", "atan")), mixed))]

    def guarded_update(self, depth: int) -> list[Statement] | None:
        body = self.reassign(depth) or self.store(depth)
        if body is None:
            return None
        with self.pure():
            condition = self.condition(depth - 1)
        other = (self.reassign(depth) or []) if self.chance(0.3) else []
        return [Branch(condition, tuple(body), tuple(other))]

    def inner_loop(self, depth: int) -> list[Statement] | None:
        if depth < 2 or not self.scope.variables:
            return None
        return [self.loop(self.running_index(), depth - 1)]

    def loop(self, index: Index, depth: int) -> For:
        with self.nested() as scope:
            scope.indexes.append(index)
            return For(index, tuple(self.updates(depth)), is_checkpoint=self.chance(0.08))

    # Families

    def accumulation(self, depth: int) -> list[Statement]:
        """`var s = 0.0; for i in …: s += …`."""
        elem = self.pick((Elem.F64, Elem.F64, Elem.F64, Elem.I64, Elem.F32))
        start = self.bind(self.literal(elem), is_var=True)
        index = self.running_index()
        name = Name(start.name, Type(elem))
        with self.nested() as scope:
            scope.indexes.append(index)
            body = self.updates(depth) if self.chance(0.3) else []
            with self.pure():
                of = self.scalar(elem, depth)
            if elem.is_integer:
                of = Binary("%", of, Literal(5, Type(elem)))
            body.append(Assign(name.name, self.pick(("+=", "+=", "-=")), of))
        return [start, For(index, tuple(body), is_checkpoint=self.chance(0.08))]

    def tables(self, depth: int) -> list[Statement]:
        """Arrays of several element types that one loop fills."""
        size = self.size()
        made: list[Statement] = []
        for _ in range(self.pick((1, 2, 2, 3))):
            rest = self.shape(self.pick((0, 0, 0, 1)))
            type_ = Type(self.pick(self.elems), (size, *rest))
            of = Filled(0, type_) if type_.elem is not Elem.BOOL else self.simple(type_)
            made.append(self.bind(of, is_var=True))
        names = {s.name for s in made if isinstance(s, Let)}
        filled = [v for v in self.scope.variables if v.name in names]
        index = Index(self.fresh("t"), Size(), size)
        with self.nested() as scope:
            scope.indexes.append(index)
            body: list[Statement] = []
            if self.chance(0.4):
                body += self.binding(depth - 1)
            for table in filled:
                rest_type = Type(table.type.elem, table.type.shape[1:])
                with self.pure():
                    of = self.tamed(self.array(rest_type, depth))
                how = "=" if table.type.elem is Elem.BOOL else self.pick(("=", "=", "+="))
                body.append(Store(table.name, (Name(index.name, I64),), how, of))
        return [*made, For(index, tuple(body))]

    def recurrence(self, depth: int) -> list[Statement]:
        """A dynamic programme: `r[i + 1, j + 1] = … r[i, j] …`."""
        rank = self.pick((1, 1, 2))
        indexes: list[Index] = []
        shape: list[Size] = []
        for _ in range(rank):
            base = Size((self.pick(sorted(self.least)),))
            if self.chance(0.5):
                indexes.append(Index(self.fresh("i"), Size(), base))
                shape.append(base + 1)
            else:
                indexes.append(Index(self.fresh("i"), Size((), 1), base))
                shape.append(base)
        type_ = Type(Elem.F64, tuple(shape))
        of = self.simple(type_) if self.chance(0.5) else Filled(self.pick((0, 1)), type_)
        start = self.bind(of, is_var=True)
        table = Name(start.name, type_)

        def place(moves: list[int]) -> tuple[Expr, ...]:
            return tuple(
                Binary("+", Name(i.name, I64), whole(1))
                if i.low.offset == 0 and move
                else Name(i.name, I64)
                if i.low.offset == 0 or move
                else Binary("-", Name(i.name, I64), whole(1))
                for i, move in zip(indexes, moves, strict=True)
            )

        with self.nested() as scope:
            scope.indexes += indexes
            with self.pure():
                of = self.scalar(Elem.F64, depth)
            earlier = [[0] * rank] if rank == 1 else [[0, 0], [0, 1], [1, 0]]
            for moves in earlier:
                if self.chance(0.7):
                    before = Element(table, place(moves))
                    function = self.pick(("+", "-", "*", "maximum", "minimum"))
                    of = Binary(function, of, before)
            of = self.tamed(of)
            body: tuple[Statement, ...] = (Store(table.name, place([1] * rank), "=", of),)
        for index in reversed(indexes):
            body = (For(index, body),)
        return [start, *body]

    def carried(self, depth: int) -> list[Statement]:
        """Arrays and numbers that a loop hands on."""
        made: list[Statement] = []
        for _ in range(self.pick((1, 2))):
            type_ = Type(self.pick(self.elems), self.shape(self.pick((0, 1, 1, 2))))
            made.append(self.bind(self.array(type_, depth - 1), is_var=True))
        return [*made, self.loop(self.running_index(), depth)]

    def stacking(self, depth: int) -> list[Statement]:
        made: list[Statement] = []
        if self.chance(0.6):
            type_ = Type(Elem.F64, self.shape(self.pick((0, 1))))
            made.append(self.bind(self.array(type_, depth - 1), is_var=True))
        index = Index(self.fresh("t"), Size(), self.size())
        of = Type(self.pick(self.elems), self.shape(self.pick((0, 0, 1))))
        with self.nested() as scope:
            scope.indexes.append(index)
            body = self.updates(depth) if made else []
            with self.pure():
                result = self.array(of, depth)
        name = self.fresh("v")
        self.scope.values.append(Name(name, Type(of.elem, (index.high, *of.shape))))
        return [*made, For(index, tuple(body), name, result, self.chance(0.08))]

    def rows(self, depth: int) -> list[Statement] | None:
        tables = self.readable(lambda t: t.rank in (1, 2) and t.elem.is_float)
        if not tables:
            return None
        table = self.pick(tables)
        start = self.bind(Literal(0.0, F64), is_var=True)
        row = Name(self.fresh("row"), Type(table.type.elem, table.type.shape[1:]))
        with self.nested() as scope:
            scope.values.append(row)
            with self.pure():
                of = self.scalar(Elem.F64, depth)
        return [start, Rows(row.name, table, (Assign(start.name, "+=", of),))]

    def branch(self, depth: int) -> list[Statement]:
        type_ = Type(self.pick(self.elems), self.shape(self.pick((0, 1))))
        start = self.bind(self.array(type_, depth - 1), is_var=True)
        with self.pure():
            condition = self.condition(depth)
            value, other = self.array(type_, depth - 1), self.array(type_, depth - 1)
        otherwise = (Assign(start.name, "=", other),) if self.chance(0.5) else ()
        return [start, Branch(condition, (Assign(start.name, "=", value),), otherwise)]

    def counted(self, depth: int) -> list[Statement] | None:
        """A loop whose count is an integer argument."""
        counts = [v for v in self.scope.values if v.type == I64 and isinstance(v, Name)]
        counts = [v for v in counts if v.text().startswith("n")]
        if not counts:
            return None
        start = self.bind(self.literal(Elem.F64), is_var=True)
        name = Name(self.fresh("k"), I64)
        with self.nested() as scope:
            scope.values.append(name)
            body = self.updates(depth) if self.chance(0.5) else []
            with self.pure():
                of = self.scalar(Elem.F64, depth)
        body.append(Assign(start.name, "+=", of))
        return [start, Times(name.name, self.pick(counts), tuple(body))]

    def search(self, depth: int) -> list[Statement]:
        """A `while` that ends, since an integer falls, and what it carries."""
        with self.pure():
            first = Binary("%", self.scalar(Elem.I64, depth - 1), whole(9))
        name = Name(self.fresh("v"), I64)
        made: list[Statement] = [Let(name.name, first, True)]
        if self.chance(0.8):
            type_ = Type(Elem.F64, self.shape(self.pick((0, 0, 1))))
            made.append(self.bind(self.array(type_, depth - 1), is_var=True))
        self.scope.values.append(name)
        with self.nested():
            body = self.updates(depth) if len(made) > 1 else []
        condition = Compare(">", name, whole(self.pick((0, 1, 2))))
        down = Binary(self.pick(("//", "-")), name, whole(2))
        body.append(Assign(name.name, "=", down))
        return [*made, While(condition, tuple(body), self.chance(0.15))]
