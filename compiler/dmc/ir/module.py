"""The module: the top-level operation that holds functions by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter

from dmc.ir.attributes import SymbolRef
from dmc.ir.declarations import Trait
from dmc.ir.location import UNKNOWN, Location
from dmc.ir.operation import Block, Operation, Region, VerifyError, region
from dmc.ir.types import Type


class Module(Operation):
    """`builtin.module`: a list of operations with a `sym_name`.

    C1: the names are distinct.
    """

    name = "builtin.module"
    traits = frozenset({Trait.LISTS})
    body = region()

    @staticmethod
    def empty(location: Location = UNKNOWN) -> Module:
        return Module(regions=[Region(Block())], location=location)

    def infer(self) -> Sequence[Type]:
        return ()

    def verify_(self) -> None:
        names = [name for name, _ in self.symbols()]
        self.require(1, len(set(names)) == len(names), "symbol names repeat")

    def symbols(self) -> Iterator[tuple[str, Operation]]:
        for op in self.body:
            name = op.attributes.get("sym_name")
            if isinstance(name, str):
                yield name, op

    def lookup(self, symbol: str | SymbolRef) -> Operation:
        """The operation named `symbol`. Raises KeyError when there is none."""
        wanted = symbol.name if isinstance(symbol, SymbolRef) else symbol
        for name, op in self.symbols():
            if name == wanted:
                return op
        raise KeyError(wanted)

    def fresh_name(self, base: str) -> str:
        """`base`, or `base_1`, `base_2`… when it is taken."""
        taken = {name for name, _ in self.symbols()}
        candidate, count = base, 0
        while candidate in taken:
            count += 1
            candidate = f"{base}_{count}"
        return candidate

    def verify_uses_end(self) -> None:
        """Raises VerifyError for operations of the module that refer to each other in a circle."""
        named = dict(self.symbols())
        used = {name: set(_references(op)) & named.keys() for name, op in named.items()}
        try:
            TopologicalSorter(used).prepare()
        except CycleError as failure:
            circle: list[str] = failure.args[1]
            told = " needs ".join(f"@{name}" for name in reversed(circle))
            raise VerifyError(named[circle[0]], 0, f"{told}: a program has no recursion") from None

    def copy(self) -> Module:
        """A deep copy."""
        new = self.clone({})
        assert isinstance(new, Module)
        return new

    def part(self, name: str) -> Module:
        """A copy of a function and of all that it refers to."""
        named = dict(self.symbols())
        new, pending = Module.empty(), [name]
        seen = {name}
        while pending:
            op = named[pending.pop()]
            new.append(op.clone({}))
            found = dict.fromkeys(_references(op))
            pending += [other for other in found if other not in seen]
            seen.update(found)
        return new

    def append(self, op: Operation) -> None:
        """Add an operation whose `sym_name` is still free."""
        self.body.insert(op)


def _references(op: Operation) -> Iterator[str]:
    for inner in op.walk():
        for value in inner.attributes.values():
            if isinstance(value, SymbolRef):
                yield value.name
