"""Which nests of two loops may run along antidiagonals, all cells of one at the same time.

Where a cell of a table is computed from its neighbours in the row before and from the one before it
in its own row, neither loop alone can be taken apart; the cells of an antidiagonal can (Lamport,
The Parallel Execution of DO Loops, 1974). An order along antidiagonals keeps the program's if every
dependence between two cells goes from one antidiagonal to a later one. Additions to one element may
change places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from dmc.dialects import arith, control, kernel
from dmc.dialects.elementwise import splat_of
from dmc.dialects.kernel import OVERWRITE
from dmc.ir.declarations import Trait
from dmc.ir.operation import Operation, Value
from dmc.ir.types import DType, TapeType, dtype_of, shape_of
from dmc.lowering.machine import Machine

VECTORS = 2
"""How many vectors of cells are computed side by side: their chains of operations overlap."""
MOST_ROWS = 256
"""Rows of a strip: what its cells touch stays in the second cache until the next antidiagonal."""
_ADD = "add"


@dataclass(frozen=True)
class Form:
    """An integer `row · i + column · j + constant` of the indexes of both loops."""

    row: int = 0
    column: int = 0
    constant: int = 0

    def plus(self, other: Form, factor: int = 1) -> Form:
        return Form(
            self.row + factor * other.row,
            self.column + factor * other.column,
            self.constant + factor * other.constant,
        )


class Use(Enum):
    """What a cell does to an element of a table."""

    READ = auto()
    WRITE = auto()
    ADD = auto()


@dataclass
class Nest:
    """A nest: the operations of a cell, in order, and what runs once a row `after` its cells.

    `before` are those of the cell that change only from row to row. `tables` has, for every version
    of a table, the argument of the outer loop that carries it; `forms` says what integers are.
    """

    outer: control.For
    inner: control.For
    before: list[Operation]
    cell: list[Operation]
    after: list[Operation]
    forms: dict[Value, Form] = field(default_factory=dict[Value, Form])
    tables: dict[Value, Value] = field(default_factory=dict[Value, Value])
    sums: dict[int, Value] = field(default_factory=dict[int, Value])
    """Of scalars that both loops carry, and cells only add to: the argument of the outer loop."""

    @property
    def sizes(self) -> tuple[int, int]:
        return self.outer.trip_count, self.inner.trip_count

    @property
    def states(self) -> list[int]:
        """The numbers of the scalars that the inner loop carries."""
        return [k for k, v in enumerate(self.inner.inits) if not shape_of(v.type)]

    def form(self, value: Value) -> Form | None:
        """What an integer is, also where it is a constant."""
        number = splat_of(value)
        return self.forms.get(value) if number is None else Form(constant=int(number))

    def lanes(self, machine: Machine) -> int:
        """How many cells are computed at a time."""
        values = (v for op in (*self.before, *self.cell) for v in op.results)
        widest = max((dtype_of(v.type) for v in values), key=lambda dtype: dtype.bytes)
        return VECTORS * machine.lanes(widest)


class _Unsuited(Exception):
    """Raised where a nest has something that has no form along antidiagonals."""


def recognize(outer: control.For, machine: Machine) -> Nest | None:
    """The nest that a loop is the outer loop of, if it may and should run along antidiagonals."""
    inner = [op for op in outer.body if isinstance(op, control.For)]
    if len(inner) != 1 or outer.reverse != inner[0].reverse:
        return None
    loops = (outer, inner[0])
    if any(op.trip_count < 2 for op in loops) or any(map(_has_tapes, loops)):
        return None
    try:
        nest = _Reader(outer, inner[0], machine.strict).nest
    except _Unsuited:
        return None
    return nest if _repays(*nest.sizes, nest.lanes(machine)) else None


def _has_tapes(op: control.For) -> bool:
    return any(isinstance(v.type, TapeType) for v in (*op.operands, *op.results))


def _repays(rows: int, columns: int, lanes: int) -> bool:
    """Whether vectors of cells are less than half as many as cells."""
    lengths = (min(d + 1, rows, columns, rows + columns - 1 - d) for d in range(rows + columns - 1))
    return 2 * sum(-(-length // lanes) for length in lengths) < rows * columns


def strips(rows: int) -> tuple[int, int]:
    """How many strips the rows are cut into, and the rows of one."""
    count = -(-rows // MOST_ROWS)
    return count, -(-rows // count)


class _Reader:
    """Reads a nest. Raises _Unsuited."""

    def __init__(self, outer: control.For, inner: control.For, strict: bool) -> None:
        self.outer, self.inner, self.strict = outer, inner, strict
        operations = [op for op in outer.body if not op.has(Trait.TERMINATOR)]
        at = operations.index(inner)
        self.nest = Nest(outer, inner, operations[:at], [], operations[at + 1 :])
        self.nest.forms.update({outer.index: Form(1, 0), inner.index: Form(0, 1)})
        self.latest: dict[Value, Value] = {}
        self.accesses: dict[Value, list[tuple[Use, Sequence[Form]]]] = {}
        self._carried()
        self._slices()
        for op in self.nest.before:
            self._operation(op)
        for op in inner.body:
            if not op.has(Trait.TERMINATOR):
                self.nest.cell.append(op)
                self._operation(op)
        self._ends()
        if not self._follows():
            raise _Unsuited

    def _carried(self) -> None:
        """Tables pass through both loops; scalars of the inner loop begin anew in every row."""
        outer, inner = self.outer, self.inner
        for k, (arg, init) in enumerate(zip(inner.carried_args, inner.inits, strict=True)):
            if shape_of(arg.type):
                self._require(init in outer.carried_args)
                self._require(outer.next_values[outer.carried_args.index(init)] is inner.finals[k])
                self.nest.tables.update({init: init, arg: init, inner.finals[k]: init})
                self.latest[init] = arg
                self.accesses[init] = []
            elif init in outer.carried_args:
                self._sum(k, init)
            else:
                known = init in outer.scanned_args or init.defining_op in self.nest.before
                self._require(known or not _inside(init, outer))
        passed = {*self.nest.tables, *self.nest.sums.values()}
        users = {user for arg in outer.carried_args if arg not in passed for user in arg.users}
        self._require(users <= {*self.nest.after, outer.body.terminator})

    def _sum(self, number: int, init: Value) -> None:
        outer, inner = self.outer, self.inner
        arg, following = inner.carried_args[number], inner.next_values[number]
        made = following.defining_op
        self._require(outer.next_values[outer.carried_args.index(init)] is inner.finals[number])
        self._require(isinstance(made, arith.Add) and not self.strict)
        passes = ((init, inner), (arg, made), (following, inner.body.terminator))
        self._require(all([op for op, _ in value.uses] == [user] for value, user in passes))
        self._require(dtype_of(arg.type).is_float)
        self.nest.sums[number] = init

    def _slices(self) -> None:
        """Of what is scanned and stacked: whole tables, an element a cell or a row."""
        outer, inner = self.outer, self.inner
        for v in inner.scanned:
            self._require(v in outer.scanned_args or not _inside(v, outer))
        for v in (*inner.scanned_args, *inner.stacked_values):
            self._require(not shape_of(v.type) and _addressable(v))
        for v in (*outer.scanned_args, *inner.scanned):
            self._require(_addressable(v))
        for v in inner.stacks:
            self._require(all(user is outer.body.terminator for user in v.users))

    def _operation(self, op: Operation) -> None:
        match op:
            case kernel.Load():
                self._load(op)
            case kernel.Store() if op.parent is self.inner.body:
                self._update(op)
            case kernel.Generic():
                self._require(op.points == 1 and not op.reduction and not op.loads())
                self._require(all(shape_of(v.type) == () for v in op.operands))
                self._require(not any(isinstance(each, kernel.Index) for each in op.body))
                self._require(len(op.results) == len(op.epilogue.terminator.operands))
            case arith.Constant():
                self._require(not shape_of(op.result.type))
            case _:
                self._require(op.has(Trait.ELEMENTWISE))
                self._require(not any(shape_of(v.type) for v in (*op.operands, *op.results)))
        if len(op.results) == 1 and dtype_of(op.results[0].type).is_integer:
            form = self._form_of(op)
            if form is not None:
                self.nest.forms[op.results[0]] = form

    def _load(self, op: kernel.Load) -> None:
        self._require(_addressable(op.source))
        table = self.nest.tables.get(op.source)
        if table is None:
            self._require(
                not _inside(op.source, self.outer) or op.source in self.outer.scanned_args
            )
            return
        self._require(self.latest[table] is op.source)
        self.accesses[table].append((Use.READ, self._subscripts(op.source, op.subscripts)))

    def _update(self, op: kernel.Store) -> None:
        table = self.nest.tables.get(op.target)
        self._require(table is not None and self.latest[table] is op.target)
        assert table is not None
        self._require(op.combiner in (_ADD, OVERWRITE) and _addressable(op.target))
        use = Use.ADD if op.combiner == _ADD else Use.WRITE
        forms = self._subscripts(op.target, op.subscripts)
        self._require(any(form.row or form.column for form in forms))
        self.accesses[table].append((use, forms))
        self.nest.tables[op.output] = table
        self.latest[table] = op.output

    def _subscripts(self, table: Value, subscripts: Sequence[Value]) -> list[Form]:
        """Subscripts that are one of the indexes and a number, or a number, all inside."""
        forms = [self.nest.form(v) for v in subscripts]
        found = [form for form in forms if form is not None]
        self._require(len(found) == len(forms))
        for form, size in zip(found, shape_of(table.type), strict=True):
            low, high = self._range(form)
            self._require(low >= 0 and high < size)
            self._require((form.row, form.column) in ((0, 0), (1, 0), (0, 1)))
        return found

    def _range(self, form: Form) -> tuple[int, int]:
        rows, columns = self.nest.sizes
        ends = (form.row * (rows - 1), form.column * (columns - 1))
        low, high = sum(min(0, end) for end in ends), sum(max(0, end) for end in ends)
        return form.constant + low, form.constant + high

    def _form_of(self, op: Operation) -> Form | None:
        forms = [self.nest.form(v) for v in op.operands]
        known = [form for form in forms if form is not None]
        if len(known) < len(forms):
            return None
        match op, known:
            case arith.Add(), [x, y]:
                return x.plus(y)
            case arith.Subtract(), [x, y]:
                return x.plus(y, -1)
            case arith.Multiply(), [x, y] if not (y.row or y.column):
                return Form().plus(x, y.constant)
            case arith.Convert(), [x] if dtype_of(op.operands[0].type).is_integer:
                return x
            case arith.Maximum(), [x, y]:
                return self._larger(x, y)
            case arith.Minimum(), [x, y]:
                negative = self._larger(Form().plus(x, -1), Form().plus(y, -1))
                return None if negative is None else Form().plus(negative, -1)
            case _:
                return None

    def _larger(self, x: Form, y: Form) -> Form | None:
        low, high = self._range(x.plus(y, -1))
        return x if low >= 0 else y if high <= 0 else None

    def _ends(self) -> None:
        """The inner loop yields the latest tables; what follows a row looks at none of them."""
        nexts = zip(self.inner.carried_args, self.inner.next_values, strict=True)
        for arg, following in nexts:
            if arg in self.nest.tables:
                self._require(self.latest[self.nest.tables[arg]] is following)
        for final in self.inner.finals:
            self._require(final not in self.nest.tables or len(final.uses) == 1)
        for op in self.nest.after:
            for each in op.walk():
                self._require(not any(v in self.nest.tables for v in each.operands))

    def _follows(self) -> bool:
        """Whether cells depend on earlier ones of their row, and on none of their antidiagonal."""
        along = bool(self.nest.states)
        for accesses in self.accesses.values():
            for one, (use, first) in enumerate(accesses):
                for other, second in accesses[one:]:
                    if use is other is Use.READ:
                        continue
                    if use is other is Use.ADD and not self.strict:
                        continue
                    distance = self._distance(first, second)
                    self._require(all(map(_keeps_order, distance)))
                    along |= any(rows == 0 and columns for rows, columns in distance)
        return along

    def _distance(self, first: Sequence[Form], second: Sequence[Form]) -> list[tuple[int, int]]:
        """From cells to cells that meet them: one distance, or the worst where an index is free."""
        rows: set[int] = set()
        columns: set[int] = set()
        for x, y in zip(first, second, strict=True):
            self._require((x.row, x.column) == (y.row, y.column))
            apart = x.constant - y.constant
            if x.row:
                rows.add(apart)
            elif x.column:
                columns.add(apart)
            elif apart:
                return []
        if len(rows) > 1 or len(columns) > 1:
            return []
        # An index that no subscript has may be any other: antidiagonals go wrong first between rows
        # next to each other, and columns at both ends.
        far = self.inner.trip_count - 1
        return [(r, c) for r in (rows or (-1, 1)) for c in (columns or (-far, far))]

    def _require(self, condition: bool) -> None:
        if not condition:
            raise _Unsuited


def _keeps_order(distance: tuple[int, int]) -> bool:
    """Whether the later of two cells is on a later antidiagonal; reversed loops mirror both."""
    rows, columns = distance if distance >= (0, 0) else (-distance[0], -distance[1])
    return rows + columns > 0 or distance == (0, 0)


def _inside(value: Value, loop: control.For) -> bool:
    """Whether a value is made in a loop."""
    made = value.owner
    at = made.parent_op
    while at is not None and at is not loop:
        at = at.parent_op
    return at is loop


def _addressable(value: Value) -> bool:
    """Whether lanes can be read from and written to where a value lies."""
    dtype = dtype_of(value.type)
    return dtype is not DType.BOOL and dtype.bytes >= 4


def needed(nest: Nest) -> Iterator[Operation]:
    """The operations of a cell that compute more than subscripts, in order."""
    wanted = {*nest.inner.next_values, *nest.inner.stacked_values}
    kept: list[Operation] = []
    for op in reversed([*nest.before, *nest.cell]):
        if not wanted.isdisjoint(op.results):
            kept.append(op)
            wanted.update(v for v in op.operands if not _only_places(op, v, nest))
    return reversed(kept)


def _only_places(op: Operation, value: Value, nest: Nest) -> bool:
    return isinstance(op, kernel.Load | kernel.Store) and value in nest.forms
