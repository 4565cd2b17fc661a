"""Functions, records and whole programs."""

from __future__ import annotations

from tests.property.net.arrays import Reduce
from tests.property.net.generate.base import ELEMS, Guarded, Scope
from tests.property.net.generate.loops import Loops
from tests.property.net.statements import Block, Call, Function, Parameter, Program, Tuple
from tests.property.net.syntax import (
    F64,
    I64,
    Binary,
    Convert,
    Elem,
    Expr,
    Literal,
    Name,
    RecordType,
    Size,
    Type,
    Unary,
)

NAMES = (
    *("f", "g", "main", "entry", "scan", "map", "map_8", "reduce", "reduce_8", "concatenate"),
    *("scatter_2", "gather", "dot", "sort_1", "generic", "transpose", "arena", "task_0", "fill"),
    *("exp", "memcpy", "malloc", "pow", "broadcast_3", "loss", "slice_2", "select", "copy", "rows"),
)
RESERVED = {"exp", "map"}


class Programs(Loops):
    def __init__(self, seed: int, *, small: bool = False) -> None:
        super().__init__(seed)
        self.fuels = ((4, 8, 8, 14), (4,)) if small else ((10, 20, 35, 60), (8, 16))
        """How many constructs an entry has, and another function."""
        self.records: list[RecordType] = []
        self.elems = self.pick((ELEMS, ELEMS, (Elem.F64,), (Elem.F64, Elem.F64, Elem.I64)))
        self.unused = [name for name in NAMES if name not in RESERVED]
        self.random.shuffle(self.unused)

    # Functions

    def sizes(self) -> dict[str, int]:
        names = ("N", "M", "K")[: self.pick((1, 2, 2, 3))]
        return {name: self.pick((0, 1, 1, 1, 2, 3)) for name in names}

    def parameters(self, *, is_entry: bool) -> list[Parameter]:
        made: list[Parameter] = []

        def add(prefix: str, type_: Type | RecordType) -> str:
            made.append(Parameter(self.fresh(prefix), type_))
            return made[-1].name

        # Every size is the extent of something.
        for name in self.least:
            extra = self.shape(1) if self.chance(0.4) else ()
            shape = (Size((name,)), *extra)
            add("x", Type(Elem.F64, shape if self.chance(0.7) else shape[::-1]))
        for elem in self.elems:
            if self.chance(0.35):
                prefix = "n" if elem is Elem.I64 else "a"
                add(prefix, Type(elem, self.shape(self.pick((0, 1, 1, 2)))))
        if self.chance(0.5):
            add("y", F64)
        if self.chance(0.4):
            add("n", I64)
        if is_entry and self.chance(0.25) and Elem.BOOL in self.elems:
            shape = self.shape(self.pick((1, 2)))
            array, mask = add("g", Type(Elem.F64, shape)), add("m", Type(Elem.BOOL, shape))
            pair = Guarded(Name(array, Type(Elem.F64, shape)), Name(mask, Type(Elem.BOOL, shape)))
            self.scope.guarded.append(pair)
        if is_entry and self.chance(0.25):
            self.records.append(self.record())
            add("p", self.records[-1])
        return made

    def record(self) -> RecordType:
        names = self.random.sample(sorted(self.least), self.random.randint(1, len(self.least)))
        fields = [(self.fresh("f"), Type(Elem.F64, (Size((name,)),))) for name in sorted(names)]
        fields.append((self.fresh("f"), F64))
        return RecordType("Pair", tuple(sorted(names)), tuple(fields))

    def function(self, *, is_entry: bool) -> Function:
        self.scope = Scope()
        self.least = self.sizes()
        parameters = self.parameters(is_entry=is_entry)
        hidden = {g.array.name for g in self.scope.guarded}
        for parameter in parameters:
            if isinstance(parameter.type, RecordType):
                self.add_record(parameter.name, parameter.type)
            elif parameter.name not in hidden:
                self.scope.values.append(Name(parameter.name, parameter.type))
        self.fuel = self.pick(self.fuels[0 if is_entry else 1])
        statements = self.statements(self.pick((1, 1, 2, 3)) if is_entry else 1, 3)
        if is_entry:
            result = self.outcome()
        else:
            type_ = Type(self.pick(self.elems), self.shape(self.pick((0, 0, 1, 2))))
            result = self.array(type_, 2)
        sizes = tuple(self.least.items())
        body = Block(tuple(statements), result)
        return Function(self.unused.pop(), sizes, tuple(parameters), body)

    def call(self, type_: Type, depth: int) -> Expr | None:
        """A call of an earlier function with the caller's sizes for its own."""
        if not self.functions or not self.spend():
            return None
        function = self.pick(self.functions)
        made = function.body.result.type
        if made.elem is not type_.elem or made.rank != type_.rank:
            return None
        sizes: dict[str, str] = {}
        for own, wanted in zip(made.shape, type_.shape, strict=True):
            if own.offset != wanted.offset or len(own.names) != len(wanted.names):
                return None
            for a, b in zip(own.names, wanted.names, strict=True):
                if sizes.setdefault(a, b) != b:
                    return None
        for name, least in function.sizes:
            options = [other for other in sorted(self.least) if self.least[other] >= least]
            if name not in sizes and options:
                sizes[name] = self.pick(options)
            if name not in sizes or self.least[sizes[name]] < least:
                return None
        arguments: list[Expr] = []
        for parameter in function.parameters:
            of = parameter.type
            assert isinstance(of, Type)
            shape = tuple(
                Size(tuple(sizes[name] for name in size.names), size.offset) for size in of.shape
            )
            arguments.append(self.array(Type(of.elem, shape), depth - 1))
        return Call(function.name, tuple(arguments), type_)

    def any_call(self, depth: int) -> Expr | None:
        if not self.functions:
            return None
        function = self.pick(self.functions)
        wanted = function.body.result.type
        sizes: dict[str, str] = {}
        for name, least in function.sizes:
            options = [other for other in sorted(self.least) if self.least[other] >= least]
            if not options:
                return None
            sizes[name] = self.pick(options)
        shape = tuple(
            Size(tuple(sizes[name] for name in size.names), size.offset) for size in wanted.shape
        )
        return self.call(Type(wanted.elem, shape), depth)

    # Results

    def outcome(self) -> Expr:
        if self.chance(0.25):
            chosen = self.random.sample(self.scope.values, min(len(self.scope.values), 4))
            if len(chosen) >= 2:
                return Tuple(tuple(chosen))
        return self.loss()

    def loss(self) -> Expr:
        """One f64 to which most values in scope contribute."""
        made: Expr = self.scalar(Elem.F64, 2)
        values = self.scope.values
        for value in values[-4:] + self.random.sample(values, min(2, len(values))):
            made = Binary(self.pick("++-*" if made.type == F64 else "+"), made, self.summary(value))
        return made

    def summary(self, value: Expr) -> Expr:
        of: Expr = value
        elem = value.type.elem
        if elem is not Elem.F64:
            of = Convert(Elem.F64, of)
        shape = value.type.shape
        match self.pick(("sum", "square", "curved", "shifted")):
            case "square":
                of = Binary("**", of, Literal(2, I64))
            case "curved":
                of = Unary(self.pick(("sin", "tanh", "softplus")), of)
            case "shifted":
                shifted = Binary("-", of, Literal(self.pick((0.5, 1.0)), F64))
                of = Binary("**", shifted, Literal(2, I64))
            case _:
                pass
        if shape:
            return Reduce("sum", of)
        return of


def draw_program(seed: int, *, small: bool = False) -> Program:
    """The program of a seed; `small` ones are another series."""
    drawer = Programs(seed, small=small)
    for _ in range(drawer.pick((0, 0, 1, 1, 2, 3))):
        drawer.functions.append(drawer.function(is_entry=False))
    entry = drawer.function(is_entry=True)
    used = {c.function for c in entry.walk() if isinstance(c, Call)}
    for function in reversed(drawer.functions):
        if function.name in used:
            used |= {c.function for c in function.walk() if isinstance(c, Call)}
    kept = [f for f in drawer.functions if f.name in used]
    hidden = tuple((g.array.name, g.mask.name) for g in drawer.scope.guarded)
    return Program(tuple(drawer.records), (*kept, entry), hidden)
