"""Statements, loops, functions and whole programs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tests.property.net import taylor
from tests.property.net.arrays import Index, extents, stack
from tests.property.net.syntax import (
    Compare,
    Data,
    Env,
    Expr,
    Node,
    RecordType,
    Scalar,
    Trace,
    Type,
    Typed,
    integer,
    lift,
    real,
    rounded,
)
from tests.property.net.taylor import Jet


class Statement(Node):
    def text(self) -> str:
        raise NotImplementedError

    def run(self, env: Env) -> None:
        raise NotImplementedError


def braces(statements: Sequence[Statement], result: Expr | None = None) -> str:
    lines = [s.text() for s in statements] + ([result.text()] if result is not None else [])
    return "{\n" + textwrap.indent("\n".join(lines), "    ") + "\n}"


@dataclass(frozen=True)
class Block(Expr):
    """Statements and a value; stands where the grammar takes a block."""

    statements: tuple[Statement, ...]
    result: Expr

    @property
    def type(self) -> Type:
        return self.result.type

    def text(self) -> str:
        return braces(self.statements, self.result)

    def arm(self) -> str:
        return self.text()

    def value(self, env: Env) -> Data:
        for statement in self.statements:
            statement.run(env)
        return self.result.value(env)


@dataclass(frozen=True)
class Let(Statement):
    name: str
    of: Expr
    is_var: bool = False

    def text(self) -> str:
        annotation = f": {self.of.type}" if self.is_var else ""
        return f"{'var' if self.is_var else 'let'} {self.name}{annotation} = {self.of.text()}"

    def run(self, env: Env) -> None:
        env.names[self.name] = self.of.value(env)


def combine(env: Env, type_: Type, how: str, old: Data, new: Data) -> Data:
    """What `target how new` assigns."""
    if how == "=":
        return new

    def apply(a: Scalar, b: Scalar) -> Scalar:
        if isinstance(a, Jet):
            return rounded(type_.elem, real(env, how[0], a, b))
        return integer(how[0], int(a), int(b if not isinstance(b, Jet) else 0))

    return lift(env, apply, old, new)


@dataclass(frozen=True)
class Assign(Statement):
    """`name = value`, or with `+=` and its like."""

    name: str
    how: str
    of: Expr

    def text(self) -> str:
        return f"{self.name} {self.how} {self.of.text()}"

    def run(self, env: Env) -> None:
        new = self.of.value(env)
        old = env.names[self.name]
        env.names[self.name] = combine(env, self.of.type, self.how, old, new)


@dataclass(frozen=True)
class Store(Statement):
    """`name[indexes] = value`; an index of rank 1 gathers, and then each element counts."""

    name: str
    indexes: tuple[Expr, ...]
    how: str
    of: Expr

    def text(self) -> str:
        inside = ", ".join(i.text() for i in self.indexes)
        return f"{self.name}[{inside}] {self.how} {self.of.text()}"

    def run(self, env: Env) -> None:
        new = self.of.value(env)
        array = env.names[self.name].copy()
        points = [i.value(env) for i in self.indexes]
        if isinstance(points[0], np.ndarray):
            for place, first in enumerate(points[0]):
                part = new[place] if isinstance(new, np.ndarray) else new
                self._store(env, array, [int(first)], part)
        else:
            self._store(env, array, [int(p) for p in points], new)
        env.names[self.name] = array

    def _store(self, env: Env, array: np.ndarray, point: Sequence[int], new: Data) -> None:
        known = len(env.trace.outside)
        pairs = zip(point, array.shape, strict=False)
        place = tuple(env.trace.nearest(i, n) for i, n in pairs)
        if len(env.trace.outside) == known or not env.trace.spoils:
            array[place] = combine(env, self.of.type, self.how, array[place], new)


@dataclass(frozen=True)
class For(Statement):
    """A loop; with `stacked` its value is bound to that name."""

    index: Index
    body: tuple[Statement, ...]
    stacked: str | None = None
    result: Expr | None = None
    is_checkpoint: bool = False

    def text(self) -> str:
        head = f"{'checkpoint ' if self.is_checkpoint else ''}for {self.index.text()} "
        bound = f"let {self.stacked} = " if self.stacked is not None else ""
        return bound + head + braces(self.body, self.result)

    def run(self, env: Env) -> None:
        items: list[Data] = []
        for step in self.index.values(env):
            env.trace.step()
            env.names[self.index.name] = step
            for statement in self.body:
                statement.run(env)
            if self.result is not None:
                items.append(self.result.value(env))
        if self.stacked is not None and self.result is not None:
            env.names[self.stacked] = stack(items, extents(env, self.result.type))


@dataclass(frozen=True)
class Rows(Statement):
    """`for row in x`."""

    name: str
    of: Expr
    body: tuple[Statement, ...]

    def text(self) -> str:
        return f"for {self.name} in {self.of.text()} {braces(self.body)}"

    def run(self, env: Env) -> None:
        for row in list(self.of.value(env)):
            env.trace.step()
            env.names[self.name] = row
            for statement in self.body:
                statement.run(env)


@dataclass(frozen=True)
class Times(Statement):
    """A loop whose count is a number."""

    name: str
    count: Expr
    body: tuple[Statement, ...]

    def text(self) -> str:
        return f"for {self.name} in 0..{self.count.text()} {braces(self.body)}"

    def run(self, env: Env) -> None:
        for step in range(self.count.value(env)):
            env.trace.step()
            env.names[self.name] = step
            for statement in self.body:
                statement.run(env)


@dataclass(frozen=True)
class While(Statement):
    condition: Compare
    body: tuple[Statement, ...]
    is_checkpoint: bool = False

    def text(self) -> str:
        head = f"{'checkpoint ' if self.is_checkpoint else ''}while {self.condition.text()} "
        return head + braces(self.body)

    def run(self, env: Env) -> None:
        while self.condition.value(env):
            env.trace.step()
            for statement in self.body:
                statement.run(env)


@dataclass(frozen=True)
class Branch(Statement):
    condition: Expr
    body: tuple[Statement, ...]
    other: tuple[Statement, ...] = ()

    def text(self) -> str:
        other = f" else {braces(self.other)}" if self.other else ""
        return f"if {self.condition.text()} {braces(self.body)}{other}"

    def run(self, env: Env) -> None:
        for statement in self.body if self.condition.value(env) else self.other:
            statement.run(env)


# Declarations


@dataclass(frozen=True)
class Make(Expr):
    """A record from its fields."""

    record: RecordType
    values: tuple[Expr, ...]

    def text(self) -> str:
        names = (name for name, _ in self.record.fields)
        inside = ", ".join(f"{n} = {v.text()}" for n, v in zip(names, self.values, strict=True))
        return f"{self.record.name}({inside})"

    def value(self, env: Env) -> Data:
        names = (name for name, _ in self.record.fields)
        return {n: v.value(env) for n, v in zip(names, self.values, strict=True)}


@dataclass(frozen=True)
class Mix(Expr):
    """`a + scale * b` of whole records."""

    left: Expr
    scale: Expr
    right: Expr

    def text(self) -> str:
        return f"({self.left.text()} + {self.scale.text()} * {self.right.text()})"

    def value(self, env: Env) -> Data:
        a, s, b = self.left.value(env), self.scale.value(env), self.right.value(env)

        def apply(x: Scalar, y: Scalar, z: Scalar) -> Scalar:
            assert isinstance(x, Jet)
            assert isinstance(y, Jet)
            assert isinstance(z, Jet)
            return taylor.add(x, taylor.multiply(y, z))

        return {name: lift(env, apply, a[name], s, b[name]) for name in a}


@dataclass(frozen=True)
class Tuple(Expr):
    items: tuple[Expr, ...]

    def text(self) -> str:
        return f"({', '.join(i.text() for i in self.items)})"

    def value(self, env: Env) -> Data:
        return tuple(i.value(env) for i in self.items)


@dataclass(frozen=True)
class Whole(Expr):
    """A record by name."""

    name: str
    record: RecordType

    def text(self) -> str:
        return self.name

    def value(self, env: Env) -> Data:
        return env.names[self.name]


@dataclass(frozen=True)
class Call(Typed):
    function: str
    arguments: tuple[Expr, ...]
    holds: Type

    def text(self) -> str:
        return f"{self.function}({', '.join(a.text() for a in self.arguments)})"

    def value(self, env: Env) -> Data:
        function: Function = env.functions[self.function]
        sizes: dict[str, int] = {}
        values = [a.value(env) for a in self.arguments]
        for parameter, value in zip(function.parameters, values, strict=True):
            bind(sizes, parameter.type, value)
        names = {p.name: v for p, v in zip(function.parameters, values, strict=True)}
        return function.body.value(Env(sizes, env.functions, env.trace, names))


def bind(sizes: dict[str, int], type_: Type | RecordType, value: Data) -> None:
    """Find the sizes that an argument decides."""
    if isinstance(type_, RecordType):
        for name, of in type_.fields:
            bind(sizes, of, value[name])
        return
    for size, extent in zip(type_.shape, np.shape(value), strict=True):
        if len(size.names) == 1:
            sizes[size.names[0]] = extent - size.offset


@dataclass(frozen=True)
class Parameter(Node):
    name: str
    type: Type | RecordType

    def text(self) -> str:
        return f"{self.name}: {self.type}"


@dataclass(frozen=True)
class Function(Node):
    name: str
    sizes: tuple[tuple[str, int], ...]
    """Size parameters, and the least value of each."""
    parameters: tuple[Parameter, ...]
    body: Block

    def head(self, name: str, extra: Sequence[str], result: str) -> str:
        sizes = f"[{', '.join(n for n, _ in self.sizes)}]" if self.sizes else ""
        parameters = ", ".join([*(p.text() for p in self.parameters), *extra])
        duties = ", ".join(f"{n} >= {least}" for n, least in self.sizes if least)
        requires = f" requires {duties}" if duties else ""
        return f"fn {name}{sizes}({parameters}) -> {result}{requires}"

    def text(self) -> str:
        return f"{self.head(self.name, (), self.result)} {self.body.text()}"

    @property
    def result(self) -> str:
        made = self.body.result
        if isinstance(made, Tuple):
            return f"({', '.join(str(i.type) for i in made.items)})"
        return str(made.record if isinstance(made, Whole | Make) else made.type)


@dataclass(frozen=True)
class Program(Node):
    """Functions, the last of which is the entry; it returns an f64, or any value."""

    records: tuple[RecordType, ...]
    functions: tuple[Function, ...]
    hidden: tuple[tuple[str, str], ...] = ()
    """Parameters that are read only where a mask, another parameter, holds."""

    @property
    def entry(self) -> Function:
        return self.functions[-1]

    def text(self) -> str:
        parts = [r.declaration for r in self.records] + [f.text() for f in self.functions]
        return "\n\n".join(parts) + "\n"

    def value(self, sizes: Mapping[str, int], arguments: Mapping[str, Data], trace: Trace) -> Data:
        functions = {f.name: f for f in self.functions}
        env = Env(sizes, functions, trace, dict(arguments))
        return self.entry.body.value(env)
